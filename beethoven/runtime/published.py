"""
Published: one short text that a process of the tree lets others read without asking it.

It lies in the private folder as a link, so that it is read and replaced whole, and goes with its
process: the fork server removes it before anybody learns of the death.
"""

import contextlib
import os
from pathlib import Path


def _path(folder: str, identity: str) -> str:
    return f"{folder}/{identity}.p"


def publish(folder: str, identity: str, text: str) -> None:
    """Let others read `text`, in place of what that process has published before."""
    draft = Path(_path(folder, f"{identity}~"))
    draft.unlink(missing_ok=True)
    os.symlink(text, draft)  # noqa: PTH211 - a Path would tidy the text up
    draft.replace(_path(folder, identity))


def read(folder: str, identity: str) -> str | None:
    """Return what a process has published, or None if it has not, or is gone."""
    try:
        return os.readlink(_path(folder, identity))  # noqa: PTH115 - the same
    except OSError:
        return None


def withdraw(folder: str, identity: str) -> None:
    """Remove what a process has published."""
    for author in (identity, f"{identity}~"):
        with contextlib.suppress(OSError):
            Path(_path(folder, author)).unlink()
