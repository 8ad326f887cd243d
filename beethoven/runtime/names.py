"""
Registered names: one flat table per tree of processes, kept as links in its private folder.

A name is a link to the identity of its holder. A link whose holder no longer listens counts as
free, so a name is free from the moment its holder is gone, whatever ended it; the fork server also
removes it before anybody learns of the death.
"""

import contextlib
import os
from pathlib import Path

from beethoven.errors import SpecError
from beethoven.runtime.folder import locked
from beethoven.runtime.unixsocket import is_listening

_LONGEST_NAME = 200


def check_name(name: object) -> str:
    """Return `name` if it can be registered, else raise SpecError."""
    if isinstance(name, str) and 0 < _quoted_length(name) <= _LONGEST_NAME:
        return name
    rule = f"a text of 1 to {_LONGEST_NAME} characters, none of them NUL"
    raise SpecError(subject="process", field="name", expected=rule, got=name)


def _quoted_length(name: str) -> int:
    """Return how long a name is as a file's name; 0 if it can be none."""
    try:
        return 0 if "\0" in name else len(_quote(name))
    except UnicodeEncodeError:
        return 0


def _quote(name: str) -> str:
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
    quoted = "".join(chr(b) if b in safe else f"%{b:02x}" for b in name.encode())
    return f"%2e{quoted[1:]}" if quoted.startswith(".") else quoted


def socket_path(folder: str, identity: str) -> str:
    """Return where the process of that identity listens."""
    return f"{folder}/{identity}.s"


def _link(folder: str, name: str) -> Path:
    return Path(folder, "names", _quote(name))


def register(folder: str, name: str, identity: str, pid: int) -> tuple[str, int] | None:
    """
    Give a name to a process.

    Returns:
        None, or the identity and pid of the living holder if the name is taken.
    """
    with locked(Path(folder, "names.lock")):
        living = lookup(folder, name)
        if living is not None:
            return living
        link = _link(folder, name)
        link.unlink(missing_ok=True)
        link.symlink_to(f"{identity}:{pid}")
        return None


def unregister(folder: str, name: str, identity: str) -> None:
    """Free a name if that process holds it."""
    link = _link(folder, name)
    with contextlib.suppress(OSError), locked(Path(folder, "names.lock")):
        if str(link.readlink()).partition(":")[0] == identity:
            link.unlink()


def lookup(folder: str, name: str) -> tuple[str, int] | None:
    """Return the identity and pid of the living holder of a name, or None."""
    found = holder(folder, name)
    if found is None or not is_listening(socket_path(folder, found[0])):
        return None
    return found


def begin_alike(folder: str, beginning: str) -> list[str]:
    """
    Return the names that are given, or were of late, and begin in a certain way.

    Args:
        folder: The private folder of the tree.
        beginning: Small letters, digits, `.`, `_` and `-`.
    """
    return [each.name for each in Path(folder, "names").glob(f"{beginning}*")]


def holder(folder: str, name: str) -> tuple[str, int] | None:
    """Return who holds a name, without disturbing that process; it may be about to be buried."""
    try:
        # A Path would cost more than all the rest of a lookup.
        link = os.readlink(f"{folder}/names/{_quote(name)}")  # noqa: PTH115
    except OSError:
        return None
    identity, _, pid = link.partition(":")
    return identity, int(pid)
