"""
Birth: what a parent hands to the fork server and to the child, and what they answer.

Three parties speak: the parent sends a `Request` to the fork server together with one end of a
socket pair, the *control*; the child reads its `Birth` from the control and answers on it.
"""

import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing import process, util
from pathlib import Path
from typing import Any, Final

from beethoven.errors import SpecError
from beethoven.runtime.here import here
from beethoven.runtime.reason import ExitReason, told_by
from beethoven.runtime.reference import Name, Ref

# To the fork server.
BIRTH: Final = 1
PRELOAD: Final = 4
# From the fork server.
BORN: Final = 5
# From the parent to the child: its birth, then at most one exit signal.
BEGIN: Final = 7
EXIT_SIGNAL: Final = 8
# From the child to the parent.
STARTED: Final = 9
IGNORED: Final = 10
FAILED: Final = 11
EXITED: Final = 12


@dataclass(frozen=True, slots=True)
class Request:
    """What the fork server needs to know of a birth. Fields must not hold NUL characters."""

    identity: str
    name: str
    parent: str
    linked: bool
    method: str
    folder: str

    def text(self) -> str:
        """Return the form that `parse` reads."""
        linked = "linked" if self.linked else ""
        fields = (self.identity, self.name, self.parent, linked, self.method, self.folder)
        return "\0".join(fields)

    @classmethod
    def parse(cls, text: str) -> "Request":
        """Read what `text` wrote."""
        identity, name, parent, linked, method, folder = text.split("\0")
        return cls(identity, name, parent, bool(linked), method, folder)


@dataclass(frozen=True, slots=True)
class Preload:
    """A module (or the program's main script) that a child has imported without harm."""

    main: str
    module: str
    path: tuple[str, ...]

    def text(self) -> str:
        """Return the form that `parse` reads."""
        return "\0".join((self.main, self.module, *self.path))

    @classmethod
    def parse(cls, text: str) -> "Preload":
        """Read what `text` wrote."""
        main, module, *path = text.split("\0")
        return cls(main, module, tuple(path))


@dataclass(frozen=True, slots=True)
class Birth:
    """
    What a child is to be.

    Attributes:
        behaviour: The class that lives in the process.
        args: The one value handed to its `init`.
        name: The name to register, if any.
        parent: Who started it; None for a program that is no process of the tree.
        linked: Whether the child ends with its parent.
        environment: Environment variables to set.
        working_directory: Where to run, or None to stay where the program is.
        label: What to call the process if it has no name; empty for the name of the class.
        ancestors: Its parent, whose parent, and so on to the root of the tree.
        supervised: Whether its parent tells the log how it ended.
    """

    behaviour: type
    args: Any
    name: Name | None
    parent: Ref | None
    linked: bool
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    label: str = ""
    ancestors: tuple[Ref, ...] = ()
    supervised: bool = False

    @property
    def title(self) -> str:
        """What to call the process."""
        return str(self.name or self.label or self.behaviour.__qualname__)

    @property
    def plain_name(self) -> str | None:
        """The name to register in the tree's own table, if any."""
        return self.name if isinstance(self.name, str) else None


@dataclass(frozen=True, slots=True)
class StartFailure:
    """Why a child did not start: its reason and, if it can be pickled, its exception."""

    reason: ExitReason
    error: bytes = b""


def pack_birth(birth: Birth) -> bytes:
    """
    Return the bytes from which a child begins.

    The program's main script is run again in the child only if the child needs it: if something
    that is handed over is defined there.

    Raises:
        SpecError: The class cannot be imported elsewhere, or the arguments cannot be pickled.
    """
    subject = f"process {birth.title!r}"
    check_importable(birth.behaviour, subject)
    try:
        inner = pickle.dumps(birth, 5)
    except Exception as error:
        got = type(birth.args).__qualname__
        raise SpecError(
            subject=subject,
            field="args",
            expected=f"a value that can be pickled ({told_by(error)})",
            got=got,
        ) from error
    runs_main = any(name in inner for name in _MAIN)
    return pickle.dumps((_facts(birth, runs_main=runs_main), inner), 5)


# A script's classes are pickled under either name: by the program, and by those that ran it again.
_MAIN: Final = (b"__main__", b"__mp_main__")


def check_importable(behaviour: type, subject: str) -> None:
    """
    Refuse a class that no other process can find.

    Raises:
        SpecError: It is local to a function or was typed into a session; has the fix.
    """
    if where := hiding_place(behaviour):
        got = Words(f"{behaviour.__qualname__}, defined {where}")
        raise SpecError(subject=subject, field="role", expected=_IMPORTABLE, got=got)


def hiding_place(thing: Any) -> str:
    """Return where a class or a function is defined if no other process can find it, else ""."""
    if "<locals>" in thing.__qualname__:
        return "inside a function"
    if thing.__module__ != "__main__":
        return ""
    if not (script := _main_script()):
        return "in an interactive session"
    # `multiprocessing` does not run such a file again, for it may lack a guard.
    return "in a __main__.py" if script.get(_BY_NAME, "").endswith("__main__") else ""


class Words(str):
    """A text that an error message shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


_BY_NAME: Final = "init_main_from_name"
_BY_PATH: Final = "init_main_from_path"
MAIN_SCRIPT: Final = frozenset({_BY_NAME, _BY_PATH})
_IMPORTABLE: Final = (
    "a class that the new process can import: "
    "put it at the top level of a file of its own, say my_roles.py, and import it from there"
)


def _main_script() -> Mapping[str, str]:
    """Return where the main script of the program that owns the tree is found, if it is a file."""
    if here.main is not None:
        return here.main
    main = sys.modules["__main__"]
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return {_BY_NAME: spec.name}
    if path is None or not Path(path).is_file():
        return {}
    return {_BY_PATH: str(Path(path).absolute())}


def _folder() -> str:
    """Return the current folder; the root of all where somebody has removed it under our feet."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "/"


def _facts(birth: Birth, *, runs_main: bool) -> dict[str, Any]:
    """Return what `multiprocessing.spawn.prepare` needs to make the child like this program."""
    main, folder = _main_script(), _folder()
    facts: dict[str, Any] = {
        "name": birth.title,
        "authkey": bytes(process.current_process().authkey),
        "sys_path": [entry or folder for entry in sys.path],
        "sys_argv": sys.argv,
        "orig_dir": folder,
        "dir": birth.working_directory or folder,
        "environment": dict(birth.environment),
        "context": here.context,
        "main": main,
        "module": "" if hasattr(birth.behaviour, "resolve") else module_of(birth),
    }
    return {**facts, **main} if runs_main else facts


def module_of(birth: Birth) -> str:
    """Return the module that the birth, and the next of its kind, needs."""
    of_args = getattr(birth.behaviour, "module_of", None)
    return birth.behaviour.__module__ if of_args is None else str(of_args(birth.args))


MARK: Final = "BEETHOVEN_PROCESS"


def mark_of(identity: str) -> bytes:
    """Return what is in the environment of every program that a process has started."""
    return f"{MARK}={identity}".encode()


def _with_content(content: bytes) -> int:
    """Return a descriptor from which `content` can be read."""
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("beethoven-path")
        os.write(memory, content)
        os.lseek(memory, 0, os.SEEK_SET)
        return memory
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return reader


def new_interpreter(call: str) -> tuple[list[str], int]:
    """
    Return the command of a fresh interpreter that makes `call`, and a descriptor it must inherit.

    The interpreter gets this one's module search path through that descriptor, so that it finds
    the same packages and nothing shows in process listings.
    """
    path = os.fsencode("\0".join(sys.path))
    reader = _with_content(path)
    os.set_inheritable(reader, True)
    code = (
        f"import os,sys;sys.path[:]=os.fsdecode(os.read({reader},{len(path)})).split(chr(0));"
        f"os.close({reader});{call}"
    )
    flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    return [sys.executable, *flags, "-P", "-c", code], reader
