"""
The remembered peers: a file of the addresses of nodes that were linked once.

A convenience, never a need: what cannot be read is ignored, what cannot be written is not kept.
Neither stops anybody. Whoever is remembered must prove itself like any stranger.
"""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final

from beethoven.cluster.addresses import Address
from beethoven.cluster.fields import ADDRESS, Unfit, shown
from beethoven.log import get_log

MOST_PEERS: Final = 128
_LONGEST_FILE: Final = 64 * 1024

log = get_log("peers_file")


class PeersFile:
    """
    The file of one node.

    Args:
        path: Where it lies; its folders are made with it. `None`: nothing is kept.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._is_unwritable = False

    def read(self) -> tuple[Address, ...]:
        """Return the addresses in the file, in order; none if it is not there or is not fit."""
        if self._path is None:
            return ()
        try:
            return _parse(_read_private(self._path))
        except FileNotFoundError:
            return ()
        except OSError as error:
            problem = error.strerror or str(error)
        except _NotFit as error:
            problem = str(error)
        log.warning("peers_file_ignored", file=str(self._path), problem=problem)
        return ()

    def write(self, addresses: Iterable[Address]) -> None:
        """
        Keep these addresses instead of those kept so far, and no more than `MOST_PEERS`.

        That the file cannot be written is logged once until it can be again.
        """
        if self._path is None:
            return
        peers = [str(address) for address in islice(addresses, MOST_PEERS)]
        data = json.dumps({"peers": peers}, indent=1).encode() + b"\n"
        try:
            _make_folder(self._path.parent)
            _replace(self._path, data)
        except OSError as error:
            if not self._is_unwritable:
                problem = error.strerror or str(error)
                log.warning("peers_file_unwritable", file=str(self._path), problem=problem)
            self._is_unwritable = True
        else:
            self._is_unwritable = False


class _NotFit(Exception):
    """The file is not what `write` would have made."""


def _read_private(path: Path) -> bytes:
    # Without waiting: the path may turn out to be a pipe.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise _NotFit(f"expected a regular file, got: {stat.filemode(about.st_mode)}")
        if about.st_uid != os.geteuid():
            raise _NotFit(f"expected a file of uid {os.geteuid()}, got: uid {about.st_uid}")
        if about.st_mode & 0o022:
            mode = f"{stat.S_IMODE(about.st_mode):04o}"
            raise _NotFit(f"expected a file that only its owner may write, got: mode {mode}")
        data = os.read(handle, _LONGEST_FILE + 1)
    finally:
        os.close(handle)
    if len(data) > _LONGEST_FILE:
        raise _NotFit(f"expected at most {_LONGEST_FILE} bytes, got: more")
    return data


def _parse(data: bytes) -> tuple[Address, ...]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _NotFit(f"expected JSON, got: {shown(data)}") from None
    peers: Any = value.get("peers") if isinstance(value, dict) else None
    if not isinstance(peers, list):
        raise _NotFit(f"expected an object with a list of peers, got: {shown(value)}")
    try:
        addresses = [Address.parse(ADDRESS.read(peer)) for peer in peers]
    except Unfit as unfit:
        raise _NotFit(f"expected a peer to be {unfit.rule}, got: {shown(unfit.value)}") from None
    return tuple(islice(dict.fromkeys(addresses), MOST_PEERS))


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, all of them for this user alone."""
    for each in reversed([folder, *folder.parents]):
        with contextlib.suppress(FileExistsError):
            if not each.is_dir():
                each.mkdir(mode=0o700)


def _replace(path: Path, data: bytes) -> None:
    """Put a file there as a whole. It is not forced to the disk: losing it costs little."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
