"""What stands around a watcher: a scripted provider, a settler that keeps notes, a core server."""

import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beethoven import Caller, Role, clock
from beethoven.cloud import provider
from beethoven.cloud.provider import Answered, Ask, Unanswered
from beethoven.cloud.settings import Endpoint
from beethoven.cloud.site import Site
from beethoven.cloud.watcher import Watcher, WatcherArgs
from beethoven.errors import NodeError
from beethoven.log import send_to

SITE = Site(machine="web_3", zone="westeurope-1", labels=frozenset({"az.zone=1"}))


@dataclass
class Scripted:
    """A provider that does what its script says for each purpose, and keeps what it is asked."""

    script: dict[str, list[provider.Effect]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tick_at: float | None = None

    name = "scripted"

    def handle(self, event: provider.Event, *, now: float) -> list[provider.Effect]:
        match event:
            case provider.Started():
                key = "started"
            case Answered(purpose) | Unanswered(purpose):
                key = f"{type(event).__name__.lower()} {purpose}"
            case provider.AcknowledgeRequested(notice_ids):
                key = f"acknowledge {','.join(notice_ids)}"
            case _:
                key, self.tick_at = "ticked", None
        self.asked.append(key)
        effects = self.script.get(key, [])
        if provider.Note("tick") in effects:
            self.tick_at = now + 0.05
        return effects

    def next_deadline(self) -> float | None:
        return self.tick_at

    def summary(self) -> dict[str, Any]:
        return {"asked": self.asked}


class Deaf:
    """A settler for which there is nothing to do; what it is told goes to a file."""

    def __init__(self, path: str, problem: str = "", machine: str = "") -> None:
        self.path, self.problem, self.name = path, problem, machine

    def machine(self) -> str:
        return self.name

    def settle(self, site: Site) -> None:
        self._write(f"settle {site.machine}")
        if self.problem:
            raise NodeError(self.problem)

    def guide(self, site: Site) -> None:
        self._write(f"guide {site.machine}")

    def _write(self, line: str) -> None:
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def answer(endpoint: Endpoint, question: Ask) -> Answered | Unanswered:
    """Answer by purpose: at once, never, or not as one should."""
    if question.purpose == "hang":
        threading.Event().wait(3600)
    if question.purpose == "refused":
        with socket.create_connection((endpoint.host, endpoint.port), 1.0):
            pass
    return Answered(question.purpose, 200)


class LoggedWatcher(Watcher):
    """A watcher whose log is a file."""

    def init(self, args: tuple[WatcherArgs, str]) -> None:  # type: ignore[override]  # a test's own
        watcher_args, log_file = args
        send_to(Path(log_file).open("a", encoding="utf-8"), level="debug")  # noqa: SIM115
        super().init(watcher_args)


class Core(Role):
    """Keeps what it is told, with the time."""

    def init(self, args: Any) -> None:
        self.told: list[tuple[float, Any]] = []

    def handle_cast(self, request: Any) -> None:
        self.told.append((clock.monotonic(), request))

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return list(self.told)
