"""Rewrites the list of files in docs/architecture.md: in import order, with first sentences."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from tests.unit.test_architecture import FLOORS, floor, modules, ours, source  # noqa: E402

PAGE = PROJECT / "docs" / "architecture.md"
TITLES = {"words": "Words and edges", "cli": "Command line"}


def main() -> None:
    """Replace what stands between the two marks."""
    order = list(TopologicalSorter({name: sorted(ours(name)) for name in modules()}).static_order())
    lines: list[str] = []
    for name in FLOORS:
        lines += ["", f"### {TITLES.get(name, name.capitalize())}", ""]
        lines += [entry(module) for module in order if floor(module) == name]
    text = PAGE.read_text("utf-8")
    begin, end = "<!-- files -->", "<!-- end of files -->"
    pattern = f"{begin}.*{end}"
    body = "\n".join(lines).strip()
    PAGE.write_text(
        re.sub(pattern, lambda _: f"{begin}\n\n{body}\n\n{end}", text, flags=re.DOTALL), "utf-8"
    )


def entry(module: str) -> str:
    """Return the line of one file."""
    docstring = ast.get_docstring(source(module)) or ""
    sentence = " ".join(docstring.partition("\n\n")[0].split())
    return f"- `{module.replace('.', '/')}.py`: {sentence}"


if __name__ == "__main__":
    main()
