"""Asks a provider where the node stands, once and at once: at boot, before there is any process."""

import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from beethoven import clock
from beethoven.cloud.http_client import ask
from beethoven.cloud.provider import (
    Absent,
    Answered,
    Ask,
    Asker,
    Event,
    Learned,
    Provider,
    Started,
    Ticked,
    Unanswered,
)
from beethoven.cloud.settings import Endpoint
from beethoven.cloud.site import Site

_SILENT: Final = "no answer in time"


@dataclass(frozen=True, slots=True)
class FirstLook:
    """
    What came of the first look.

    Attributes:
        site: Where the node stands; None if nobody has said so in time.
        why: Why not, in words; empty if there is a site.
    """

    site: Site | None
    why: str = ""


def first_look(
    provider: Provider,
    endpoint: Endpoint,
    budget: float,
    *,
    ask: Asker = ask,
) -> FirstLook:
    """
    Return where the node stands, as soon as that is known, or that it is not.

    One question is asked after the other; what a provider asks later counts first, as it follows
    from an answer.

    Args:
        provider: It has asked nothing yet, and is of no use any more afterwards.
        endpoint: Who is asked.
        budget: How long all of it may take, in seconds.
        ask: Asks one question within its timeout.
    """
    deadline = clock.elapsed() + budget
    questions: deque[Ask] = deque()
    event: Event | None = Started()
    why = _SILENT
    while event is not None:
        why = _problem(event) or why
        for effect in provider.handle(event, now=clock.elapsed()):
            match effect:
                case Learned(site):
                    return FirstLook(site)
                case Absent(absence):
                    return FirstLook(None, absence)
                case Ask():
                    questions.append(effect)
        event = _next_event(provider, endpoint, questions, deadline, ask)
    return FirstLook(None, why)


def _next_event(
    provider: Provider,
    endpoint: Endpoint,
    questions: deque[Ask],
    deadline: float,
    ask: Asker,
) -> Event | None:
    """Return what happens next; None if nothing does in time."""
    now = clock.elapsed()
    if now >= deadline:
        return None
    if questions:
        question = questions.pop()
        return ask(endpoint, replace(question, timeout=min(question.timeout, deadline - now)))
    due = provider.next_deadline()
    if due is None or due >= deadline:
        return None
    threading.Event().wait(max(0.0, due - now))
    return Ticked()


def _problem(event: Event) -> str:
    match event:
        case Unanswered(_, why):
            return why
        case Answered(_, status) if status != 200:
            return f"it answers with status {status}"
        case Answered():
            return "the answer cannot be read"
    return ""
