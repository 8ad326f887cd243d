"""The tables `[roles.NAME]`: one role each."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from beethoven.cluster.role_spec import Handover, Reconcile
from beethoven.node import kinds
from beethoven.node.kinds import Kind, Unexpected
from beethoven.node.programs import command_in, folder_in
from beethoven.node.report import shown
from beethoven.node.settings import RoleSettings
from beethoven.node.tables import TableReader
from beethoven.vocabulary import Restart

_DEFAULT: Final = RoleSettings("")

_NAME: Final = kinds.matching("[a-z][a-z0-9_-]*", called="a role name", longest=64)

_KINDS: Final[dict[str, Kind[Any]]] = {
    "module": kinds.module,
    "args": kinds.anything,
    "instances": kinds.integer(1),
    "restart": kinds.one_of(Restart),
    "shutdown": kinds.shutdown,
    "max_restarts": kinds.integer(0),
    "max_seconds": kinds.duration,
    "start_timeout": kinds.duration,
    "stop_signal": kinds.stop_signal,
    "requires": kinds.labels,
    "prefers": kinds.labels,
    "handover": kinds.one_of(Handover),
    "reconcile": kinds.one_of(Reconcile),
    "version": kinds.integer(0),
}

# What means nothing for the other way to run a role.
_ONLY_FOR: Final = {"module": ("args",), "command": ("stop_signal",)}


def read_roles(table: TableReader, folder: Path) -> tuple[RoleSettings, ...]:
    """
    Return the roles, in the order of the file.

    Args:
        table: The table `[roles]`.
        folder: What paths are relative to: the folder of the file.
    """
    return tuple(_read_role(table, name, folder) for name in table.keys())  # noqa: SIM118 (not a dict)


def _read_role(roles: TableReader, name: str, folder: Path) -> RoleSettings:
    _check_name(roles, name)
    table = roles.table(name)
    environment = _read_environment(table.table("environment"))
    values = {key: table.read(key, kind, getattr(_DEFAULT, key)) for key, kind in _KINDS.items()}
    settings = replace(
        _DEFAULT,
        **values,
        name=name,
        command=table.read("command", command_in(folder, {**table.environ, **environment}), None),
        environment=environment,
        working_directory=table.read("working_directory", folder_in(folder), None),
        place=_place(table),
        folder=folder,
    )
    if table.is_sound:
        _check_what_runs(table)
    table.finish()
    return settings


def _role_name(value: object) -> str:
    """Check a name that does not collide with those of the node's own processes."""
    name = _NAME(value)
    if name.startswith("beethoven"):
        raise Unexpected('a role name that does not start with "beethoven"', name)
    return name


def _check_name(roles: TableReader, name: str) -> None:
    try:
        _role_name(name)
    except Unexpected as error:
        roles.report.problem(roles.path_of(name), str(error))


def _read_environment(table: TableReader) -> Mapping[str, str]:
    names = table.keys()
    for name in names:
        if not name or "=" in name or "\0" in name:
            text = f"expected the name of a variable, got: {shown(name)}"
            table.report.problem(table.path_of(name), text)
    return {name: table.read(name, kinds.text, "") for name in names}


def _check_what_runs(table: TableReader) -> None:
    """Report a role that has not exactly one of module and command, or a key for the other one."""
    present = [key for key in _ONLY_FOR if table.has(key)]
    if len(present) != 1:
        got = "both" if present else "neither"
        table.report.problem(table.path, f"expected either module or command, got: {got}")
        return
    for needed, keys in _ONLY_FOR.items():
        for key in keys:
            if table.has(key) and needed not in present:
                text = f"expected a role with a {needed}, got: a role with a {present[0]}"
                table.report.problem(table.path_of(key), text)


def _place(table: TableReader) -> str:
    runs = [key for key in _ONLY_FOR if table.has(key)]
    return table.report.place(table.path_of(runs[0]) if runs else table.path)
