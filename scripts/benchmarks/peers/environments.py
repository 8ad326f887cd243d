"""An environment for each peer: a venv in the user's cache, and a network of its own."""

import os
import shutil
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path
from typing import Final

from scripts.benchmarks.peers.catalogue import Entry

_PATIENCE: Final = 300
# Brings up loopback in a new network, and becomes the program that is to run there.
_ENTER: Final = 'ip link set lo up && exec "$0" "$@"'


class Unavailable(Exception):
    """A peer cannot be run here; the text says why, and what to do."""


def folder() -> Path:
    """Return where the environments are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "beethoven-bench-peers")


def clean() -> None:
    """Remove all environments."""
    if folder().exists():
        shutil.rmtree(folder())


def python_of(entry: Entry) -> str:
    """
    Return the interpreter of a peer's environment, which is made if it is not there.

    Raises:
        Unavailable: It cannot be made, or a program is missing.
    """
    if entry.needs_isolation and not isolation():
        raise Unavailable(
            "it listens at all addresses, so it is only run in a network namespace; "
            "that needs `unshare` and `ip`, and the right to use them"
        )
    if entry.program and shutil.which(entry.program) is None:
        raise Unavailable(
            f"there is no `{entry.program}` on PATH; "
            f"on Debian, `apt-get install {entry.package}`, or run this with --install"
        )
    if not entry.requirement:
        return sys.executable
    place = folder() / entry.key
    stamp = place / "installed"
    if not stamp.exists() or stamp.read_text() != entry.requirement:
        _install(place, entry.requirement)
        stamp.write_text(entry.requirement)
    return str(place / "bin" / "python")


def _install(place: Path, requirement: str) -> None:
    print(f"installing {requirement} into {place} ...", file=sys.stderr)
    venv.create(place, with_pip=True, clear=True)
    command = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip took longer than {_PATIENCE} s to install {requirement}") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or "nothing").splitlines()
        raise Unavailable(f"pip cannot install {requirement}: {said[-1]}")


def install_program(entry: Entry) -> None:
    """
    Have Debian's package manager install the program of a peer.

    Raises:
        Unavailable: It cannot.
    """
    if not entry.program or shutil.which(entry.program):
        return
    command = ["apt-get", "install", "--yes", "--quiet", entry.package]
    try:
        subprocess.run(command, check=True, stdout=sys.stderr, timeout=_PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"cannot install {entry.package}: {error}") from None


@cache
def isolation() -> list[str]:
    """Return the command that runs another one in a network of its own; empty if it cannot be."""
    for options in (["--net"], ["--map-root-user", "--net"]):
        command = ["unshare", *options, "sh", "-c", _ENTER]
        try:
            done = subprocess.run([*command, "true"], capture_output=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return command
    return []
