"""
Orphans: what roles have started and nobody looks after.

The fork server adopts them, and kills them when their role is dead. Should it be dead itself, they
come to the root, which does the same here. Should all be dead at once, the next root of the node's
name does. Processes of the tree look after themselves.
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

from beethoven.runtime import birth, kernel, names
from beethoven.runtime.unixsocket import is_listening

_MARK: Final = f"{birth.MARK}=".encode()
# In the command line of every fork server and, since they are its copies, of its children.
_OURS: Final = b"beethoven.runtime."


def bury() -> None:
    """Take note of the children that have ended, those that came here as orphans included."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def end_orphans(folder: str) -> None:
    """
    Kill the orphans that have come to this process and whose role is dead.

    Args:
        folder: The private folder of the tree.
    """
    for pid in kernel.own_children():
        identity = _role_of(pid)
        if identity and not is_listening(names.socket_path(folder, identity)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def end_leftovers(folder: Path) -> None:
    """
    Kill what the roles of a dead node have left, if nobody of the node lived to do it.

    Args:
        folder: The private folder of its tree; in it lie the sockets of processes that were killed.
    """
    identities = {path.stem for path in folder.glob("*.s")}
    for process in Path("/proc").iterdir() if identities else ():
        if process.name.isdigit() and _is_of(int(process.name), folder, identities):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(process.name), signal.SIGKILL)


def _is_of(pid: int, folder: Path, identities: set[str]) -> bool:
    """Whether a process is of that tree, stuck or stopped, or was started by one that was."""
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if _OURS in command and os.fsencode(folder) in command:
            return True
    return _role_of(pid) in identities


def _role_of(pid: int) -> str:
    """Return the identity of the role that started a process; nothing if none did."""
    with contextlib.suppress(OSError):
        process = Path(f"/proc/{pid}")
        if _OURS not in (process / "cmdline").read_bytes():
            for variable in (process / "environ").read_bytes().split(b"\0"):
                if variable.startswith(_MARK):
                    return variable.removeprefix(_MARK).decode(errors="replace")
    return ""
