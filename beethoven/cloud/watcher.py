"""
The watcher: asks the provider of the machine, for ever; what it asks and when, a provider decides.

It tells the core server what follows from the notices, and has the node follow its site. It may die
at any moment: its successor asks again, and tells again. Nothing here waits: each question has a
thread of its own, which ends with its time, and which keeps no process from ending.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, assert_never

from beethoven import clock
from beethoven.cloud import notices_state, provider
from beethoven.cloud.azure_summary import notices_told, outlook_told, site_told
from beethoven.cloud.notices_state import NoticesSettings, NoticesState
from beethoven.cloud.provider import Answered, Ask, Asker, Provider, Unanswered
from beethoven.cloud.settings import Endpoint
from beethoven.cloud.site import Site
from beethoven.errors import NodeError
from beethoven.log import get_log
from beethoven.runtime.loop import Timeout
from beethoven.runtime.reference import cast_or_drop
from beethoven.runtime.role import Caller, Role

CORE_SERVER: Final = "beethoven.core_server"

# How often what follows from the notices is told again, in seconds.
_RESEND: Final = 5.0
# How often it is looked whether the node stands where it should, in seconds.
_REVIEW: Final = 30.0
# In the tree's private folder, once notices were read in the life of the node.
_READ: Final = "notices-read"

log = get_log("azure")

Event = provider.Event | notices_state.Event
Effect = provider.Effect | notices_state.Effect


class Settler(Protocol):
    """Has the node follow its site."""

    def machine(self) -> str:
        """Return what the provider has called the machine last; empty is unknown."""

    def settle(self, site: Site) -> None:
        """
        Have the node stand where the provider says; nothing happens if it does.

        Raises:
            NodeError: It cannot, and stays where it is.
        """

    def guide(self, site: Site) -> None:
        """Tell the locator where other nodes are."""


@dataclass(frozen=True, slots=True)
class WatcherArgs:
    """
    What the watcher is started with.

    Attributes:
        provider: Decides what to ask; it has asked nothing yet.
        endpoint: Who is asked.
        notices: What the operator says about notices.
        settler: Has the node follow its site.
        ask: Asks one question, and returns when that is settled.
    """

    provider: Provider
    endpoint: Endpoint
    notices: NoticesSettings
    settler: Settler
    ask: Asker


class Watcher(Role):
    """The process."""

    def init(self, args: WatcherArgs) -> None:
        self._args = args
        self._provider = args.provider
        # A predecessor may have cordoned the node: what is known of the machine stays known.
        self._mark = Path(self.ref.folder, _READ)
        self._notices = NoticesState(
            args.notices, args.settler.machine(), is_successor=self._mark.exists()
        )
        self._site: Site | None = None
        self._problem = ""
        self._events: deque[Event] = deque()
        self._is_busy = False
        self._timer, self._timer_at = 0, float("inf")
        self.send_after(_RESEND, "resend")
        self.send_after(_REVIEW, "review")
        self.continue_with("start")

    def handle_continue(self, argument: Any) -> None:
        self._on_event(provider.Started(is_known=bool(self._args.settler.machine())))

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request == "report":
            return self._report()
        return f"expected 'report', got: {request!r}"

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("core_up",):
                self._tell_core()
            case ("locator_up",):
                if self._site is not None:
                    self._args.settler.guide(self._site)
            case ("emptied", bool(is_empty)):
                self._on_event(notices_state.Emptied(is_empty))
            case _:
                log.warning("unexpected_message", role="Watcher", message=repr(request))

    def handle_info(self, message: Any) -> None:
        match message:
            case Answered() | Unanswered():
                self._on_event(message)
            case "tick":
                self._timer_at = float("inf")
                self._tick()
            case "resend":
                self._tell_core()
                self.send_after(_RESEND, "resend")
            case "review":
                self._settle()
                self.send_after(_REVIEW, "review")
            case _:
                super().handle_info(message)

    def _tick(self) -> None:
        now = clock.elapsed()
        if _is_due(self._provider.next_deadline(), now):
            self._on_event(provider.Ticked())
        if _is_due(self._notices.next_deadline(), now):
            self._on_event(notices_state.Ticked())
        self._set_timer()

    def _on_event(self, event: Event) -> None:
        """Do what an event leads to, and what that leads to at once, one after the other."""
        self._events.append(event)
        if self._is_busy:
            return
        self._is_busy = True
        while self._events:
            for effect in self._decide(self._events.popleft()):
                self._perform(effect)
        self._is_busy = False
        self._set_timer()

    def _decide(self, event: Event) -> Sequence[Effect]:
        now = clock.elapsed()
        if isinstance(event, notices_state.Event):
            return self._notices.handle(event, now=now)
        return self._provider.handle(event, now=now)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case provider.Ask():
                self._begin(effect)
            case provider.Learned(site):
                self._site = site
                self._settle()
                if site.machine:
                    self._on_event(notices_state.MachineLearned(site.machine))
            case provider.Noticed(notices):
                with contextlib.suppress(OSError):
                    self._mark.touch(mode=0o600)
                self._on_event(notices_state.NoticesRead(notices))
            case provider.Absent(why):
                # The root has said so already, as far as something follows for the node.
                log.debug("provider_absent", provider=self._provider.name, why=why)
            case provider.Note(event, level, fields):
                getattr(log, level)(event, **fields)
            case notices_state.Foresee():
                self._tell_core()
            case notices_state.Acknowledge(notice_ids):
                self._on_event(provider.AcknowledgeRequested(notice_ids))
            case _:
                assert_never(effect)

    def _begin(self, question: Ask) -> None:
        thread = threading.Thread(target=self._run, args=(question,), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._post(Unanswered(question.purpose, str(error)))

    def _run(self, question: Ask) -> None:
        try:
            answer = self._args.ask(self._args.endpoint, question)
        except Exception as error:
            answer = Unanswered(question.purpose, f"{type(error).__name__}: {error}")
        self._post(answer)

    def _post(self, answer: Answered | Unanswered) -> None:
        self._process.post(Timeout(answer))

    def _tell_core(self) -> None:
        """Tell what follows, once anything has been read; what gets lost is told again."""
        if self._notices.outlook is not None:
            cast_or_drop(CORE_SERVER, ("outlook", self._notices.outlook))

    def _settle(self) -> None:
        """Have the node follow its site, as soon as that can be done."""
        if self._site is None:
            return
        try:
            self._args.settler.settle(self._site)
        except (NodeError, OSError) as error:
            if self._problem != (problem := str(error)):
                log.warning("site_not_followed", cause=problem)
                self._problem = problem
        else:
            self._problem = ""

    def _set_timer(self) -> None:
        moments = (self._provider.next_deadline(), self._notices.next_deadline())
        moment = min((each for each in moments if each is not None), default=float("inf"))
        # One that comes too early does no harm, and most that are set need not be moved.
        if moment < self._timer_at:
            self.cancel_timer(self._timer)
            self._timer_at = moment
            self._timer = self.send_after(max(0.0, moment - clock.elapsed()), "tick")

    def _report(self) -> dict[str, Any]:
        """Return what is known, as JSON has it."""
        site, outlook = self._site, self._notices.outlook
        return {
            "provider": self._provider.name,
            "endpoint": str(self._args.endpoint),
            "metadata": dict(self._provider.summary()),
            "site": None if site is None else site_told(site),
            "problem": self._problem,
            "notices": notices_told(self._notices.notices),
            "outlook": None if outlook is None else outlook_told(outlook, now=clock.elapsed()),
        }


def _is_due(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now
