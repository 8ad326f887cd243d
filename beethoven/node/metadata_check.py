"""
Asks the metadata service of the machine what a node would ask it, once, and says what follows.

What that takes is loaded only if it is asked.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from beethoven import clock
from beethoven.cloud.azure_summary import notices_told, outlook_told, site_told
from beethoven.cloud.notice import Notice
from beethoven.cloud.notices_state import NoticesRead, NoticesState
from beethoven.cloud.provider import (
    Absent,
    Answered,
    Ask,
    Event,
    Learned,
    Note,
    Noticed,
    Provider,
    Started,
    Ticked,
    Unanswered,
)
from beethoven.cloud.site import Site
from beethoven.node.addresses import network
from beethoven.node.azure_words import forecasts
from beethoven.node.findings import Finding, in_words, ok, warning
from beethoven.node.metadata import notices_settings, provider_of
from beethoven.node.settings import NodeSettings

_SLOW: Final = (
    "look again: on a machine that has never asked before, the first answer may take 2 min"
)
_NO_AZURE: Final = "set use_az_net = false if this is no machine of Azure; else see azure.endpoint"
_NO_NETWORK: Final = "set azure.interface to an address or a MAC address of this machine"
_SILENT: Final = "a node goes on asking; see whether a firewall or a route is in the way"
_UNWELL: Final = "a node goes on asking; look again, and see who answers there"
_ODD: Final = "a node leaves out the same; correct what Azure has of this machine"
_ACTS_ITSELF: Final = "a node does all of this by itself"


@dataclass(slots=True)
class Glance:
    """
    What a metadata service says to somebody who asks once.

    Attributes:
        site: Where the machine stands; None if it did not say.
        notices: All notices that there are; None if it did not say.
        is_absent: Whether there is no such service here.
        why: What failed last, in words.
        remarks: What it said and was left out, in words.
        is_heard: Whether anybody has answered, whatever that was.
        took: How long it was asked, in seconds.
    """

    site: Site | None = None
    notices: tuple[Notice, ...] | None = None
    is_absent: bool = False
    why: str = ""
    remarks: list[str] = field(default_factory=list)
    is_heard: bool = False
    took: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.is_absent or (self.site is not None and self.notices is not None)


def ask_azure(settings: NodeSettings, within: float) -> Glance:
    """
    Return what Azure's metadata service says.

    Args:
        settings: Those of the node.
        within: How long it is asked at most, in seconds.
    """
    from beethoven.cloud.http_client import ask

    endpoint = settings.azure.endpoint
    return glance(provider_of(settings), lambda each: ask(endpoint, each), within)


def glance(
    provider: Provider, ask: Callable[[Ask], Answered | Unanswered], within: float
) -> Glance:
    """
    Return what a provider learns within a time.

    Args:
        provider: It has asked nothing yet.
        ask: Asks one question, and returns when that is settled.
        within: How long, in seconds.
    """
    found, began = Glance(), clock.elapsed()
    answers = queue.SimpleQueue[Answered | Unanswered]()
    events: list[Event] = [Started()]

    def run(question: Ask) -> None:
        answers.put(ask(question))

    while True:
        for event in events:
            found.is_heard = found.is_heard or isinstance(event, Answered)
            for effect in provider.handle(event, now=clock.elapsed()):
                match effect:
                    case Ask():
                        question = replace(effect, timeout=min(effect.timeout, within))
                        threading.Thread(target=run, args=(question,), daemon=True).start()
                    case Learned(site):
                        found.site = site
                    case Noticed(notices):
                        found.notices = notices
                    case Absent(why):
                        found.is_absent, found.why = True, why
                    case Note("azure_part_ignored", _, fields):
                        found.remarks.append(str(fields["what"]))
        found.took = clock.elapsed() - began
        if found.is_complete or found.took >= within:
            found.why = found.why or str(provider.summary().get("failing") or "")
            return found
        events = _awaited(provider, answers, within - found.took)


def _awaited(
    provider: Provider, answers: queue.SimpleQueue[Answered | Unanswered], left: float
) -> list[Event]:
    """Return what happens next, if anything does in time."""
    due = provider.next_deadline()
    wait = left if due is None else min(left, max(0.0, due - clock.elapsed()))
    try:
        return [answers.get(timeout=wait)]
    except queue.Empty:
        return [Ticked()] if due is not None and due <= clock.elapsed() else []


def metadata_findings(settings: NodeSettings, found: Glance | None) -> list[Finding]:
    """
    Return what there is to say of the metadata service.

    Args:
        settings: Those of the node.
        found: What it says; None if it was not asked.
    """
    if found is None:
        return [ok("metadata", "not asked: use_az_net is false")]
    endpoint = settings.azure.endpoint
    facts: dict[str, Any] = {"endpoint": str(endpoint), "seconds": round(found.took, 2)}
    site, rest = found.site, f"a node uses {network(settings)} as configured"
    if found.is_absent:
        text = f"none of Azure at {endpoint}: {found.why}; {rest}"
        return [warning("metadata", text, _NO_AZURE, **facts)]
    if site is None and found.is_heard:
        text = f"nothing that helps from {endpoint}: {found.why}; {rest} until it tells"
        return [warning("metadata", text, _UNWELL, **facts)]
    if site is None:
        text = f"no answer of {endpoint} within {in_words(found.took)}: {found.why or 'silence'}"
        return [warning("metadata", f"{text}; {rest} until it answers", _SILENT, **facts)]
    facts |= {**site_told(site), "remarks": found.remarks}
    return [_place(site, facts, rest), _notices(settings, site, found)]


def _place(site: Site, facts: Mapping[str, Any], rest: str) -> Finding:
    """Return where the machine stands, and what was left out; `rest` is said without a network."""
    remarks = "; ".join(facts["remarks"])
    nets = " and ".join(facts["networks"]) or ("" if remarks else "no network")
    words = [site.zone, site.machine, nets, *site.addresses, *facts["labels"]]
    text = f"{', '.join(each for each in words if each)}; from {facts['endpoint']}"
    text += f"; remarks: {remarks}" if remarks else ""
    if not site.networks:
        return warning("metadata", f"{text}; {rest}", _NO_NETWORK, **facts)
    return warning("metadata", text, _ODD, **facts) if remarks else ok("metadata", text, **facts)


def _notices(settings: NodeSettings, site: Site, found: Glance) -> Finding:
    """Return what is announced for this machine and others, and what follows."""
    notices = found.notices
    if notices is None and found.why:
        return warning("notices", f"not told: {found.why}", _UNWELL)
    if notices is None:
        return warning("notices", "not told in time", _SLOW)
    if not notices:
        return ok("notices", "none", notices=[])
    state, now = NoticesState(notices_settings(settings), site.machine), clock.elapsed()
    state.handle(NoticesRead(notices), now=now)
    outlook = state.outlook
    assert outlook is not None
    told = {
        "site": site_told(site),
        "notices": notices_told(notices),
        "outlook": outlook_told(outlook, now=now),
    }
    text = "; ".join(forecasts(told))
    if outlook.is_cordoned or outlook.is_at_risk:
        return warning("notices", text, _ACTS_ITSELF, notices=told["notices"])
    return ok("notices", text, notices=told["notices"])
