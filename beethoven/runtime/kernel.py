"""What only the kernel knows or can do. Each function does nothing where the kernel cannot."""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_MANY: Final = 65_536


_libc: Final = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent has died (Linux sub-reaper)."""
    with contextlib.suppress(AttributeError):
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Have this process killed as soon as the thread that forked it ends."""
    with contextlib.suppress(AttributeError):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def allow_many_descriptors() -> None:
    """Let this process and those that it forks have as many open files as they may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most_descriptors()
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_descriptors() -> int:
    """Return how many open files a process of a node may have: as many as it is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY if hard == resource.RLIM_INFINITY else min(hard, _MANY)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def out_of_memory_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since it booted."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text("ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def open_descriptors() -> frozenset[int]:
    """Return the open file descriptors of this process."""
    with contextlib.suppress(OSError):
        return frozenset(int(name) for name in os.listdir("/dev/fd"))  # noqa: PTH208
    return frozenset()


def own_children() -> frozenset[int]:
    """Return the pids of this process's children, adopted ones and zombies included."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
        return frozenset(map(int, children.split()))
    return frozenset()


def kill_strays(session: int, mark: bytes) -> None:
    """
    Kill what a process of the tree has started itself, but not that process.

    For where no fork server lives that would have adopted it; those of the tree are left alone.

    Args:
        session: The session of the process, which is its number.
        mark: What is in the environment of every program that it has started.
    """
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            pid = int(entry.name) if entry.name.isdigit() else 0
            if pid and pid not in {session, os.getpid()}:
                with contextlib.suppress(OSError):
                    if os.getsid(pid) == session or _is_marked(entry, mark):
                        os.kill(pid, signal.SIGKILL)


def _is_marked(process: Path, mark: bytes) -> bool:
    if mark not in (process / "environ").read_bytes().split(b"\0"):
        return False
    # Fork servers inherit an environment like other programs; their children are copies of them.
    return b"beethoven.runtime." not in (process / "cmdline").read_bytes()


def kill_while(pid: int, is_alive: Callable[[], bool]) -> None:
    """Kill a process that nobody has reaped yet: `is_alive` tells whether the number is its own."""
    with contextlib.suppress(AttributeError, OSError):
        handle = os.pidfd_open(pid)
        try:
            if is_alive():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def socket_inode(descriptor: int) -> int:
    """Return the number by which the kernel knows an open socket."""
    return os.fstat(descriptor).st_ino


def descends_from(pid: int, *, session: int, mark: bytes, inode: int) -> bool | None:
    """
    Whether a process was started, directly or not, by one that has died.

    A child of that process is told by its session unless it left it; then by the mark in its
    environment if it has executed a program, else by the socket it inherited.

    Returns:
        None if that cannot be told yet, for the process is just ending, or executing a program.
    """
    process = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        if os.getsid(pid) == session:
            return True
        environment = (process / "environ").read_bytes()
        if mark in environment.split(b"\0"):
            return True
        holds = f"socket:[{inode}]"
        if any(str(entry.readlink()) == holds for entry in (process / "fd").iterdir()):
            return True
        # It loses its memory before its files when it ends, and its files first when it executes.
        return None if not environment and not (process / "cmdline").read_bytes() else False
    return False
