"""The programs in the documents run, and print what their comments say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

PROJECT = Path(__file__).parent.parent.parent
PAGES = ["README.md", "docs/roles.md", "docs/debugging.md", "docs/registry.md", "docs/tasks.md"]


def programs():
    for page in PAGES:
        text = (PROJECT / page).read_text("utf-8")
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        for number, block in enumerate(blocks):
            if "__main__" in block:
                yield pytest.param(block, id=f"{page} {number}")


@pytest.mark.parametrize("program", list(programs()))
def test_a_program_of_a_document_prints_what_it_says(program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(program, "utf-8")
    run = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    promised = re.findall(r"print\(.*\) +# ([^:\n]+?)(?::.*|  .*)?$", program, re.MULTILINE)
    printed = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert printed[: len(promised)] == promised or set(promised) <= set(printed)
    assert promised
