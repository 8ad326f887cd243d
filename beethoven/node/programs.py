"""Files that a configuration names: programs, working directories and others."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from beethoven.node.kinds import Kind, Unexpected, command, text


def command_in(folder: Path, environ: Mapping[str, str]) -> Kind[tuple[str, ...]]:
    """
    Return the kind of commands whose program exists.

    Args:
        folder: What a program with a relative path is relative to.
        environ: Where PATH is, for a program without a path.
    """

    def check(value: object) -> tuple[str, ...]:
        program, *arguments = command(value)
        if os.sep not in program:
            if shutil.which(program, path=environ.get("PATH", os.defpath)) is None:
                raise Unexpected("a program on PATH", program)
            return (program, *arguments)
        path = folder / program
        if obstacle := _obstacle(path):
            raise Unexpected("an executable file", program, fix=obstacle)
        return (str(path), *arguments)

    return check


def folder_in(folder: Path) -> Kind[Path]:
    """Return the kind of folders that exist, relative to another one."""

    def check(value: object) -> Path:
        path = folder / text(value)
        if not _is_folder(path):
            raise Unexpected("an existing folder", value)
        return path

    return check


def file_in(folder: Path) -> Kind[Path]:
    """Return the kind of paths, relative to a folder, of files that need not exist."""

    def check(value: object) -> Path:
        written = text(value)
        if not written:
            raise Unexpected("the path of a file", value)
        return folder / written

    return check


def _obstacle(path: Path) -> str:
    """Return why a file cannot be executed, or nothing."""
    if not os.access(path, os.F_OK):
        return "it does not exist"
    if _is_folder(path):
        return "it is a folder"
    return "" if os.access(path, os.X_OK) else "it may not be executed"


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 (`Path.is_dir` raises if a name is too long)
