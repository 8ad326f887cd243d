"""A role for tests of upstream's defects."""

from pathlib import Path
from typing import Any

from beethoven import Caller, Role


class Moody(Role):
    """
    Starts only while a file is not there.

    Args of `init`: the path of the file.
    """

    def init(self, args: str) -> None:
        if Path(args).exists():
            raise RuntimeError("not in the mood")

    def handle_call(self, request: Any, caller: Caller) -> str:
        return "well"
