"""The kernel ends a role for want of memory, for real: in a memory control group of the test's."""

import os
from pathlib import Path

import pytest

from beethoven import ReasonKind, Role
from beethoven.errors import ProcessExited

pytestmark = pytest.mark.process

_LIMIT = 60_000_000
_ROOT = Path("/sys/fs/cgroup")


class Hog(Role):
    """Moves into a control group and takes more memory than it has."""

    def handle_call(self, request, caller):
        Path(request, "cgroup.procs").write_text(str(os.getpid()), "ascii")
        taken = bytearray(4 * _LIMIT)
        for start in range(0, len(taken), 4096):
            taken[start] = 1
        return len(taken)


@pytest.fixture
def small_group():
    """A control group with little memory, under whichever version the machine has."""
    version_1 = (_ROOT / "memory").is_dir()
    parent = _ROOT / "memory" if version_1 else _ROOT
    group = parent / f"beethoven-test-{os.getpid()}"
    limits = (
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        if version_1
        else ("memory.max", "memory.swap.max")
    )
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"may not make a control group here: {error}")
    try:
        for name, value in zip(limits, (_LIMIT, _LIMIT if version_1 else 0), strict=True):
            if (group / name).exists():
                (group / name).write_text(str(value), "ascii")
        if not (group / limits[0]).exists():
            pytest.skip("control groups cannot limit memory here")
        yield group
    finally:
        group.rmdir()


def test_a_role_that_the_kernel_kills_for_want_of_memory_ends_out_of_memory(small_group):
    hog = Hog.start_link()
    with pytest.raises(ProcessExited) as caught:
        hog.call(str(small_group), timeout=30)
    assert caught.value.reason.kind is ReasonKind.OUT_OF_MEMORY
