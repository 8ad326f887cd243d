"""Reads a configuration and checks all of it before anything starts."""

import json
import os
import select
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from beethoven.cluster.addresses import network_of
from beethoven.cluster.cookie import (
    CookieSource,
    load_keyring,
    requires_cookie,
    source_of,
    user_cookie_file,
)
from beethoven.errors import ConfigError
from beethoven.node.addresses import network
from beethoven.node.config import read_settings
from beethoven.node.role_loading import role_problems
from beethoven.node.settings import NodeSettings, RoleSettings
from beethoven.runtime import kernel
from beethoven.runtime.role import Role

# How long the import of one role's module may take, in seconds.
_LONGEST_IMPORT: Final = 60.0


def checked_settings(file: str, overrides: Mapping[str, str]) -> NodeSettings:
    """
    Return the settings of a file whose roles can all be loaded.

    Args:
        file: The path.
        overrides: `BEETHOVEN_*` variables that count more than the environment's.

    Raises:
        ConfigError: Something is wrong; every problem is in it.
    """
    environ = {**os.environ, **overrides}
    settings = read_settings(Path(file), environ)
    check(settings, file, environ)
    return settings


def check(settings: NodeSettings, file: str, environ: Mapping[str, str]) -> None:
    """
    Check that the roles of a configuration can be loaded, and its cookie.

    The folder of the file is put on the module search path, here and for every role.

    Args:
        settings: What the configuration says.
        file: The configuration, as its user names it.
        environ: The variables of the environment.

    Raises:
        ConfigError: Something is wrong; every problem is in it.
    """
    problems = [*cookie_problems(file, settings, environ), *loading_problems(settings)]
    if problems:
        raise ConfigError(problems)


def loading_problems(settings: NodeSettings) -> list[str]:
    """
    Return why roles of a configuration cannot be loaded.

    The folder of the file is put on the module search path, here and for every role.
    """
    folder = str(settings.path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    roles, problems = list(settings.roles), []
    while roles:
        # A module may end Python when it is imported: the others are looked at all the same.
        problems += _problems_in_a_copy(roles)
    return problems


def cookie_problems(file: str, settings: NodeSettings, environ: Mapping[str, str]) -> list[str]:
    """
    Return what is wrong with the cluster's secret, or with not having one.

    The user's own cookie is not made here: a check leaves nothing behind.

    Args:
        file: The configuration, as its user names it.
        settings: What it says.
        environ: The variables of the environment.
    """
    source = source_of(settings.cookie_file, environ)
    networks = [network(settings)]
    if settings.bind is not None:
        networks.append(network_of(settings.bind))
    if settings.use_az_net:
        # What a service beyond this machine says leads to a network beyond it.
        networks.append(network_of(settings.azure.endpoint.host))
    for each in networks:
        if problem := requires_cookie(each, source):
            return [f"{file}: beethoven.cookie_file: {problem}"]
    try:
        if source is not CookieSource.USER or user_cookie_file(environ).exists():
            load_keyring(settings.cookie_file, environ)
    except ConfigError as error:
        return error.problems
    return []


def _problems_in_a_copy(roles: list[RoleSettings]) -> list[str]:
    """
    Import the classes of roles in a forked copy of this process, and say what is wrong.

    So user code, whatever it does when imported, never runs in the root of a node.

    Args:
        roles: Those that have been looked at are taken out, which is at least the first.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _look_at(roles, writer)
    os.close(writer)
    problems: list[str] = []
    try:
        for found in _answers(reader, len(roles)):
            problems += found
            roles.pop(0)
    finally:
        os.close(reader)
        status = _end(pid)
    if roles:
        problems.append(f"{roles.pop(0).place}: importing the module {_described(status)}")
    return problems


def _look_at(roles: Sequence[RoleSettings], writer: int) -> NoReturn:
    """Be the copy: write one line of JSON for each role."""
    try:
        os.setsid()
        kernel.die_with_parent()
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        # What a module prints is no part of our own output.
        os.dup2(2, 1)
        for role in roles:
            os.write(writer, json.dumps(role_problems([role], Role)).encode() + b"\n")
    finally:
        os._exit(0)


def _answers(reader: int, count: int) -> Iterator[list[str]]:
    """Yield the problems of each role, until all are known, or the copy ends or is late."""
    rest = b""
    while count and select.select([reader], [], [], _LONGEST_IMPORT)[0]:
        data = os.read(reader, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            count -= 1
            yield json.loads(line)


def _end(pid: int) -> int:
    """Bury the copy, with what its imports have started. Return its wait status."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _described(status: int) -> str:
    if os.WIFEXITED(status):
        return f"ended Python with exit code {os.WEXITSTATUS(status)}"
    if os.WTERMSIG(status) == signal.SIGKILL:
        return f"took longer than {_LONGEST_IMPORT:g} s, or was killed"
    return f"ended Python by {signal.Signals(os.WTERMSIG(status)).name}"
