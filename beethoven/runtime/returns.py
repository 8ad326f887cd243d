"""What a callback returns instead of a value: `NoReply` and `Ignore`."""

from typing import Final


class _Word:
    """A constant that prints as its name and stays itself across processes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


NoReply: Final = _Word("NoReply")
Ignore: Final = _Word("Ignore")
