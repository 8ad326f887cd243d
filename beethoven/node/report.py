"""Everything that is wrong with one configuration file, each problem with its place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Final

from beethoven.errors import ConfigError
from beethoven.log import quoted
from beethoven.node.toml_lines import KeyPath, line_of

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH: Final = 80


@dataclass(slots=True)
class Report:
    """
    Collects problems and notes while a file is read.

    Attributes:
        file: The file, as its user named it.
        lines: Where its keys stand; None if it is no file, but tables that a program has made.
        variables: What gave a value that does not come from the file, such as a variable of the
            environment.
    """

    file: str
    lines: Mapping[KeyPath, int] | None
    variables: Mapping[KeyPath, str] = field(default_factory=dict)
    _problems: list[tuple[int, str]] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)

    def place(self, path: KeyPath) -> str:
        """Return where a value comes from: `app.toml:12: roles.test.instances`, or a variable."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                return self.variables[path[:length]] + "".join(map(_step, path[length:]))
        key = f": {dotted(path)}" if path else ""
        line = "" if self.lines is None else f":{line_of(self.lines, path)}"
        return f"{self.file}{line}{key}"

    def problem(self, path: KeyPath, text: str, *, fix: str | None = None) -> None:
        """Note that a value is wrong; what may help becomes a second line."""
        lines = [f"{self.place(path)}: {text}", *([fix] if fix else [])]
        # A text may quote the file, and a string there may have line breaks.
        shown = "\n  ".join(" ".join(line.splitlines()) for line in lines)
        self._problems.append((line_of(self.lines or {}, path), shown))

    def note(self, path: KeyPath, text: str) -> None:
        """Note that a value was read in another way than it was written."""
        self._notes.append(f"{self.place(path)}: {text}")

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def raise_problems(self) -> None:
        """
        Return if there is no problem.

        Raises:
            ConfigError: There are problems; it holds them all, in the order of the file.
        """
        if self._problems:
            in_order = sorted(self._problems, key=lambda problem: problem[0])
            raise ConfigError([text for _, text in in_order])


def dotted(path: KeyPath) -> str:
    """Return a path as one would write it in TOML, with positions in brackets."""
    return "".join(map(_step, path)).removeprefix(".")


def _step(key: str | int) -> str:
    return f"[{key}]" if isinstance(key, int) else f".{_key(key)}"


def shown(value: object) -> str:
    """Return a value as TOML writes it, on one line and not too long."""
    text = _toml(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else quoted(key)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > _WIDTH:
            # Python refuses to write thousands of decimal digits.
            return hex(value)
        case str():
            return quoted(value)
        case date() | datetime() | time():
            return value.isoformat()
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{_key(key)} = {_toml(value[key])}' for key in value)}}}"
    return repr(value)
