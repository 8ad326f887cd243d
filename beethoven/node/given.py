"""The settings of a node that a program starts: from a file or from tables, and from options."""

import os
from collections.abc import Callable, Mapping
from datetime import date, time
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import Any, Final

from beethoven.errors import ConfigError
from beethoven.node.config import PROGRAM, read_settings, tables_settings
from beethoven.node.report import dotted
from beethoven.node.settings import NodeSettings
from beethoven.node.toml_lines import KeyPath

# The path of a file, tables as `tomllib.load` returns them, or nothing.
Configuration = str | os.PathLike[str] | Mapping[str, Any] | None


def given_settings(
    configuration: Configuration,
    roles: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    environ: Mapping[str, str],
) -> tuple[NodeSettings, str]:
    """
    Return the settings of a node, and what to call the configuration in messages.

    An option counts more than the environment, and that more than the configuration.

    Args:
        configuration: Where they come from.
        roles: Roles besides those of the configuration, or instead of them if they have their name.
        options: Keys of the table `[beethoven]`.
        environ: The variables.

    Raises:
        ConfigError: Something is wrong; every problem is in it.
    """
    given = {("beethoven", key): _plain(value, (key,)) for key, value in options.items()}
    given |= {("roles", name): _plain(role, ("roles", name)) for name, role in roles.items()}
    if isinstance(configuration, str | os.PathLike):
        path = Path(configuration)
        return read_settings(path, environ, given), str(path)
    # Paths are relative to the current folder, as for `open`.
    path = Path.cwd() / PROGRAM
    return tables_settings(_plain(configuration or {}, ()), path, environ, given), PROGRAM


def check_arguments(**arguments: object) -> None:
    """
    Check the arguments of `start_node`, apart from its options.

    Raises:
        ConfigError: Some are of another kind; every problem is in it.
    """
    problems = [
        f"{PROGRAM}: {name}: expected {_RULES[name][0]}, got: {value!r}"
        for name, value in arguments.items()
        if not _RULES[name][1](value)
    ]
    if problems:
        raise ConfigError(problems)


def _is_seconds(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= TIMEOUT_MAX  # type: ignore[operator]


def _is_log(value: object) -> bool:
    is_place = value is None or isinstance(value, int | str | os.PathLike)
    return hasattr(value, "fileno") or (is_place and not isinstance(value, bool))


_RULES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "config": (
        "the path of a configuration file, a dict of its shape, or None",
        lambda value: value is None or isinstance(value, str | os.PathLike | Mapping),
    ),
    "roles": (
        "a dict of tables, such as {'counter': {'module': 'counter:Counter'}}, or None",
        lambda value: value is None or isinstance(value, Mapping),
    ),
    "wait": ("True or False", lambda value: isinstance(value, bool)),
    "log": ("a file descriptor, an open file, the path of a file, or None", _is_log),
    "timeout": ("seconds >= 0", _is_seconds),
}


def _plain(value: object, path: KeyPath) -> Any:
    """Return a value as a file would give it."""
    match value:
        case str() | bool() | int() | float() | date() | time():
            return value
        case os.PathLike():
            return os.fspath(value)
        case list() | tuple() | set() | frozenset():
            items = sorted(value) if isinstance(value, set | frozenset) else value
            return [_plain(item, (*path, index)) for index, item in enumerate(items)]
        case Mapping():
            return {_key(key, path): _plain(value[key], (*path, str(key))) for key in value}
    place = f"{PROGRAM}: {dotted(path)}" if path else PROGRAM
    hint = ""
    if isinstance(value, type):
        hint = f"; a class is named by its module, as in 'counter:{value.__qualname__}'"
    raise ConfigError([f"{place}: expected a value as TOML has them, got: {value!r}{hint}"])


def _key(key: object, path: KeyPath) -> str:
    if isinstance(key, str):
        return key
    place = f"{PROGRAM}: {dotted(path)}" if path else PROGRAM
    raise ConfigError([f"{place}: expected keys that are strings, got: {key!r}"])
