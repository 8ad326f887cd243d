"""
An actor: the child of a real supervisor in a scene, which does what its script says.

Every line of the story is appended to one file. Children import this module.
"""

import os
import pickle
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beethoven
from beethoven import ExitReason, Role, Stop
from beethoven.runtime.reason import SHUTDOWN
from tests.supervision_world import CRASH, Defy, Fail, Hang, Ignore, Obey, Up

NEVER = 600.0


@dataclass(frozen=True)
class Part:
    """
    Who an actor is.

    Attributes:
        folder: Where the story and the scripts are.
        id: Its id.
        padding: Makes the part large.
    """

    folder: str
    id: str
    padding: bytes = b""

    @property
    def story(self) -> Path:
        """The file of what has happened."""
        return Path(self.folder, "story")

    def script(self, act: str) -> Path:
        """Return the file of the outcomes of its starts, or of its answers to being stopped."""
        return Path(self.folder, f"{self.id}.{act}")

    def write(self, act: str, outcomes: tuple[Any, ...]) -> None:
        """Replace a script: its lines are taken one after another, and the last one stays."""
        path = self.script(act)
        draft = path.with_suffix(".draft")
        draft.write_bytes(pickle.dumps(outcomes))
        draft.replace(path)

    def next(self, act: str, default: Any) -> Any:
        """Take the next line of a script."""
        if not self.script(act).exists():
            return default
        first, *others = pickle.loads(self.script(act).read_bytes())
        if others:
            self.write(act, tuple(others))
        return first

    def tell(self, line: str) -> None:
        """Append a line to the story, whole."""
        handle = os.open(self.story, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, f"{line}\n".encode())
        os.close(handle)


class Actor(Role):
    """Starts, ends by itself and answers to being stopped as its script says."""

    trap_exit = True

    def init(self, args: Part) -> Any:
        self.part = args
        self.is_leaving = False
        args.tell(f"start {args.id}")
        outcome = args.next("init", Up())
        sleep(NEVER if isinstance(outcome, Hang) else outcome.after)
        if isinstance(outcome, Ignore):
            return beethoven.Ignore
        if isinstance(outcome, Fail):
            args.tell(f"{args.id} ended: {outcome.reason}")
            leave(outcome.reason)
        return None

    def handle_cast(self, request: ExitReason) -> None:
        self.is_leaving = True
        leave(request)

    def terminate(self, reason: ExitReason) -> None:
        if self.is_leaving:
            self.part.tell(f"{self.part.id} ended: {reason}")
            return
        self.part.tell(f"stop {self.part.id}")
        answer = self.part.next("stop", Obey())
        if isinstance(answer, Defy):
            sleep(NEVER)
        sleep(answer.after)
        self.part.tell(f"{self.part.id} ended: {answer.reason}")
        if answer.reason != SHUTDOWN:
            leave(answer.reason)


def sleep(seconds: float) -> None:
    """Do what a user's callback may do."""
    threading.Event().wait(seconds)


def leave(reason: ExitReason) -> None:
    """End this process for that reason."""
    if reason == CRASH:
        raise ValueError("boom")
    raise Stop(reason)
