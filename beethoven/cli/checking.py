"""Reads a configuration and checks all of it before anything starts."""

import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

from beethoven.errors import ConfigError
from beethoven.node.config import read_settings
from beethoven.node.role_loading import role_problems
from beethoven.node.settings import NodeSettings
from beethoven.runtime.role import Role


def checked_settings(file: str, overrides: Mapping[str, str]) -> NodeSettings:
    """
    Return the settings of a file whose roles can all be loaded.

    The folder of the file is put on the module search path, here and for every role.

    Args:
        file: The path.
        overrides: `BEETHOVEN_*` variables that count more than the environment's.

    Raises:
        ConfigError: Something is wrong; every problem is in it.
    """
    path = Path(file)
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    settings = read_settings(path, {**os.environ, **overrides})
    if problems := _problems_in_a_copy(settings):
        raise ConfigError(problems)
    return settings


def _problems_in_a_copy(settings: NodeSettings) -> list[str]:
    """
    Import the classes of the roles in a forked copy of this process, and say what is wrong.

    So user code, whatever it does when imported, never runs in the root of a node.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with os.fdopen(writer, "wb") as stream:
                stream.write(pickle.dumps(role_problems(settings.roles, Role)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        text = f"{settings.path}: importing the roles ended Python, wait status {status}"
        return [text]
    problems: list[str] = pickle.loads(answer)
    return problems
