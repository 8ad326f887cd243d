"""
Variables in the strings of a configuration file.

`${NAME}` is a variable of the environment, `${NAME:-default}` has a default for when it is unset
or empty, `${NAME:?message}` says what is missing then, and `$$` is a dollar sign. Nothing nests,
and any other `$` stands for itself.
"""

import re
from collections.abc import Mapping
from typing import Final

from beethoven.log import quoted
from beethoven.node.toml_lines import KeyPath

_REFERENCE: Final = re.compile(
    r"\$(?:(?P<dollar>\$)"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<otherwise>:[-?])(?P<text>[^{}]*))?\}"
    r"|(?P<malformed>\{[^}]*\}?))"
)


class NotInterpolated(ValueError):
    """A reference has no value. The message says why, and `fix`, if known, what to do about it."""

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.fix = fix


Failure = tuple[KeyPath, NotInterpolated]


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """
    Return the text with every reference replaced.

    Raises:
        NotInterpolated: A variable without default is not set, or a reference is malformed.
    """
    return _REFERENCE.sub(lambda found: _replacement(found, environ), text)


def interpolate_deep(
    value: object, path: KeyPath, environ: Mapping[str, str], failures: list[Failure]
) -> object:
    """
    Return a value with every string inside it interpolated; keys of tables stay as they are.

    Args:
        value: Any value of TOML.
        path: Where it stands.
        environ: The variables.
        failures: Gets the place and the error of each string that could not be interpolated.
    """
    match value:
        case str():
            try:
                return interpolate(value, environ)
            except NotInterpolated as failure:
                failures.append((path, failure))
        case list():
            parts = enumerate(value)
            return [interpolate_deep(part, (*path, i), environ, failures) for i, part in parts]
        case dict():
            items = value.items()
            return {k: interpolate_deep(part, (*path, k), environ, failures) for k, part in items}
    return value


def _replacement(found: re.Match[str], environ: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    if found["malformed"]:
        raise NotInterpolated(
            f"expected ${{NAME}}, ${{NAME:-default}} or ${{NAME:?message}}, "
            f"got: {quoted(found.group())}",
            fix="a dollar sign that stands for itself is written $$",
        )
    name = found["name"]
    value = environ.get(name)
    match found["otherwise"]:
        case None if value is None:
            fix = f"set it, or give a default: ${{{name}:-default}}"
            raise NotInterpolated(f"the variable {name} is not set", fix=fix)
        case ":-" if not value:
            return found["text"]
        case ":?" if not value:
            raise NotInterpolated(f"the variable {name} is not set: {found['text']}")
    return value or ""
