"""
The private folder of one tree of processes: its sockets, its names, its lock.

Lies under `$BEETHOVEN_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/beethoven`, else `/tmp/beethoven-<uid>`;
all of them 0700 and owned by the user. A folder whose owners are all dead is removed by the next
one to be made, unless a file in it says that somebody will look into it first.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from beethoven.errors import NodeError

# The kernel takes socket addresses of up to 104 bytes on some systems, 108 on others.
_LONGEST_ADDRESS: Final = 103
# The name of that file.
KEPT: Final = "kept"

_NAME: Final = re.compile("[0-9a-f]{8}")
_LONGEST_FILE: Final = len("/01234567/0123456789abcdef.s")


def base_folder() -> Path:
    """
    Return the user's folder for all runtime files of Beethoven, making it if need be.

    Raises:
        NodeError: It cannot be made, belongs to somebody else, or is open to others.
    """
    base = _base_path()
    try:
        with contextlib.suppress(FileExistsError):
            base.mkdir(mode=0o700, parents=True)
        about = base.lstat()
    except OSError as error:
        raise NodeError(f"the runtime folder {base} cannot be made: {error.strerror}") from error
    private = stat.S_ISDIR(about.st_mode) and not about.st_mode & 0o077
    if not private or about.st_uid != os.geteuid():
        message = f"{base}: expected a folder of this user with mode 0700"
        raise NodeError(f"{message}, got: uid {about.st_uid}, mode {stat.filemode(about.st_mode)}")
    return base


def has_base_folder() -> bool:
    """Whether that folder is there already; it is not made."""
    return _base_path().exists()


def _base_path() -> Path:
    fallback = Path(f"/tmp/beethoven-{os.geteuid()}")
    if chosen := os.environ.get("BEETHOVEN_RUNTIME_DIR"):
        path = Path(chosen).absolute()
    elif (session := os.environ.get("XDG_RUNTIME_DIR")) and os.access(session, os.W_OK):
        path = Path(session) / "beethoven"
    else:
        return fallback
    return path if len(bytes(path)) + _LONGEST_FILE <= _LONGEST_ADDRESS else fallback


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of a file, making it if need be. The lock ends with its process."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_folder() -> tuple[Path, int]:
    """
    Make a new private folder, and sweep away those whose owners are dead.

    Returns:
        The folder and an open handle. The folder is alive as long as a copy of the handle is open.
    """
    base = base_folder()
    with locked(base / "lock"):
        for other in base.iterdir():
            if is_tree_folder(other) and not (other / KEPT).exists():
                _sweep(other)
        folder = base / os.urandom(4).hex()
        folder.mkdir(mode=0o700)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
    (folder / "names").mkdir(mode=0o700)
    return folder, handle


def write_whole(path: Path, data: bytes) -> None:
    """
    Write a file that others find as it was or as it is, whatever kills this process meanwhile.

    Raises:
        OSError: It cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)


def let_go(folder: Path) -> None:
    """Remove a folder that was kept, if its owners are dead."""
    with locked(base_folder() / "lock"):
        if is_tree_folder(folder):
            (folder / KEPT).unlink(missing_ok=True)
            _sweep(folder)


def _sweep(folder: Path) -> None:
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        remove_folder(folder)
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_folder(folder)
    except BlockingIOError:
        pass
    finally:
        os.close(handle)


def is_tree_folder(path: Path) -> bool:
    """Whether this is the private folder of a tree, and not something that lies beside one."""
    is_named = path.is_absolute() and _NAME.fullmatch(path.name) is not None
    return is_named and path.parent == base_folder() and not path.is_symlink() and path.is_dir()


def remove_folder(folder: Path) -> None:
    """
    Remove the private folder of a tree. Others may be removing it at the same time.

    Raises:
        NodeError: It is anything else; nothing has been removed.
    """
    # Hazard: what is removed here is gone with all that is in it. An empty path is the current
    # folder; a user's own folder may lie beside those of trees.
    if not os.path.lexists(folder):
        return
    if not is_tree_folder(folder):
        raise NodeError(
            f"expected the folder of a tree under {base_folder()}, got: {str(folder)!r}"
        )
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                Path(parent, name).unlink()
        for name in folders:
            path = Path(parent, name)
            with contextlib.suppress(OSError):
                path.unlink() if path.is_symlink() else path.rmdir()
    with contextlib.suppress(FileNotFoundError, OSError):
        folder.rmdir()
