"""
Theory of operation of Azure as a provider: what is asked of its metadata service, and what follows.

The document of the instance is asked for every 10 s, the scheduled events every second, as soon as
the first document is there or a second has passed: the first question about events switches them on
for the machine, which may take two minutes. All questions together keep to `MOST_PER_SECOND`.

- Nobody is there at first, or somebody who is not Azure: `Absent`, once; asked on ever more rarely.
- A version is refused: the instance's is chosen anew from those that the service lists; for events
  there is an older one.
- 410, 429, errors of the server and silence: asked again after growing pauses.
- What cannot be read is noted once until it can; what is known stays known. A document in which a
  part is missing takes nothing back either.

Events come in, effects go out, time is a number: nothing here waits.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from beethoven import clock
from beethoven.cloud.azure_events import read_events
from beethoven.cloud.azure_instance import read_instance
from beethoven.cloud.azure_json import Unreadable
from beethoven.cloud.azure_pace import Limiter, Line, retry_after
from beethoven.cloud.azure_summary import notices_told, site_told
from beethoven.cloud.azure_versions import EVENTS, INSTANCE, best_version, read_versions
from beethoven.cloud.notice import Notice
from beethoven.cloud.own_addresses import own_addresses
from beethoven.cloud.provider import (
    Absent,
    AcknowledgeRequested,
    Answered,
    Ask,
    Effect,
    Event,
    Learned,
    Note,
    Noticed,
    Started,
    Ticked,
    Unanswered,
)
from beethoven.cloud.settings import AzureSettings
from beethoven.cloud.site import Site

# In seconds.
INSTANCE_PERIOD: Final = 10.0
EVENTS_PERIOD: Final = 1.0
# The longest from one question to the next where nobody is.
RARE_PERIOD: Final = 60.0
# How long the document may keep the events waiting.
EVENTS_AFTER: Final = 1.0
TIMEOUT: Final = 5.0
EVENTS_TIMEOUT: Final = 10.0
FIRST_EVENTS_TIMEOUT: Final = 15.0

_HEADERS: Final = {"Metadata": "true"}
_MOST_REFUSED: Final = 4
# Each is told once; what is hostile has no end.
_MOST_REMARKS: Final = 32


class Azure:
    """
    What a node asks Azure's metadata service.

    Args:
        settings: What its operator says.
        bind: The configured address to listen on, if there is one.
        own: Returns the addresses of this machine, that of the default route first.
        wall: Returns the seconds since 1970-01-01 UTC.
        elapsed: Returns the time by which `now` is told.
    """

    name = "azure"

    def __init__(
        self,
        settings: AzureSettings,
        bind: str | None = None,
        own: Callable[[], Sequence[str]] = own_addresses,
        *,
        wall: Callable[[], float] = clock.wall,
        elapsed: Callable[[], float] = clock.elapsed,
    ) -> None:
        self._settings, self._bind, self._own = settings, bind, own
        self._wall, self._elapsed = wall, elapsed
        self._own_addresses: tuple[str, ...] = ()
        self._limiter = Limiter()
        self._acknowledge = Line("acknowledge", 8.0)
        self._events = Line("events", 8.0)
        self._instance = Line("instance", RARE_PERIOD)
        self._versions = Line("versions", 60.0)
        # In the order in which they are asked.
        self._lines = (self._acknowledge, self._events, self._versions, self._instance)
        self._version, self._refused = INSTANCE, set[str]()
        self._event_version = EVENTS[0]
        self._site: Site | None = None
        self._notices: dict[str, Notice] = {}
        self._learned_at: float | None = None
        self._documented_at: float | None = None
        self._noticed_at: float | None = None
        # Whether anybody has answered, whether events are switched on, and what was told.
        self._is_heard = self._is_switched_on = self._is_absent = self._was_absent = False
        self._pending: dict[str, None] = {}
        self._sent: tuple[str, ...] = ()
        self._noted: dict[str, set[str]] = {line.purpose: set() for line in self._lines}
        self._remarks = set[str]()
        self._effects: list[Effect] = []

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        Args:
            event: What happened.
            now: Time in seconds, by `elapsed`. Never decreases from one call to the next.
        """
        match event:
            case Started(is_known):
                self._is_heard = is_known
                self._instance.due_at, self._events.due_at = now, now + EVENTS_AFTER
            case AcknowledgeRequested(notice_ids):
                self._pending.update({each: None for each in notice_ids if each in self._notices})
                if self._acknowledge.due_at is None:
                    self._acknowledge.due_at = now
            case Answered() | Unanswered():
                self._take(event, now)
            case Ticked():
                pass
        self._ask_due(now)
        effects, self._effects = self._effects, []
        return effects

    def next_deadline(self) -> float | None:
        """Return when to deliver `Ticked`, or None."""
        moments = [moment for line in self._lines if (moment := line.next_at()) is not None]
        return max(min(moments), self._limiter.next_at()) if moments else None

    def summary(self) -> Mapping[str, Any]:
        """
        Return what it knows, as JSON has it.

        `asked_ago` is how many seconds ago the notices were read, `failing` says what does not go
        well right now; `learned_at` is when the site came to be as it is.
        """
        now = self._elapsed()
        failing = (line.problem for line in self._lines)
        return {
            "site": None if self._site is None else site_told(self._site),
            "learned_at": None if self._learned_at is None else clock.utc(self._learned_at),
            "instance_ago": _ago(self._documented_at, now),
            "asked_ago": _ago(self._noticed_at, now),
            "notices": notices_told(self._notices.values()),
            "is_absent": self._is_absent,
            "failing": "; ".join(dict.fromkeys(each for each in failing if each)),
            "versions": {"instance": self._version, "events": self._event_version},
        }

    def __repr__(self) -> str:
        return f"<Azure {self._site} absent={self._is_absent} notices={len(self._notices)}>"

    def _ask_due(self, now: float) -> None:
        for line in self._lines:
            moment = line.next_at()
            is_due = moment is not None and max(moment, self._limiter.next_at()) <= now
            if is_due and (question := self._question(line)):
                self._limiter.spend(now=now)
                line.begin(now=now)
                self._effects.append(question)

    def _question(self, line: Line) -> Ask | None:
        """Return what to ask; None if there is nothing to ask any more."""
        events = f"/metadata/scheduledevents?api-version={self._event_version}"
        match line.purpose:
            case "instance":
                # Looked up beforehand: nobody waits for it once the answer is there.
                self._own_addresses = () if self._settings.interface else tuple(self._own())
                target = f"/metadata/instance?api-version={self._version}"
                return Ask("instance", "GET", target, _HEADERS, timeout=TIMEOUT)
            case "versions":
                return Ask("versions", "GET", "/metadata/versions", _HEADERS, timeout=TIMEOUT)
            case "events":
                timeout = EVENTS_TIMEOUT if self._is_switched_on else FIRST_EVENTS_TIMEOUT
                return Ask("events", "GET", events, _HEADERS, timeout=timeout)
        if not self._pending:
            line.due_at = None
            line.succeed()
            self._noted[line.purpose].clear()
            return None
        self._sent = tuple(self._pending)
        body = json.dumps({"StartRequests": [{"EventId": each} for each in self._sent]}).encode()
        headers = {**_HEADERS, "Content-Type": "application/json"}
        return Ask("acknowledge", "POST", events, headers, body, EVENTS_TIMEOUT)

    def _take(self, event: Answered | Unanswered, now: float) -> None:
        line = next((each for each in self._lines if each.purpose == event.purpose), None)
        if line is None or line.asked_at is None:
            return
        asked_at, line.asked_at = line.asked_at, None
        try:
            if isinstance(event, Unanswered):
                self._unanswered(line, event.why, asked_at, now)
            else:
                self._is_heard = True
                self._answered(line, event, asked_at, now)
        except Unreadable as error:
            line.fail(now=now, retry_after=EVENTS_PERIOD)
            self._note(line, "unreadable", f"the answer cannot be read: {error}")
        if line is self._versions and line.due_at is not None:
            # The document may be there again without any other version.
            self._instance.due_at, line.due_at = line.due_at, None

    def _answered(self, line: Line, answer: Answered, asked_at: float, now: float) -> None:
        """
        Take an answer.

        Raises:
            Unreadable: It cannot be read.
        """
        match line.purpose, answer.status:
            case "instance", 200:
                self._documented(answer, now)
            case "versions", 200:
                self._choose_version(answer, now)
            case "events", 200:
                self._announced(answer, asked_at, now)
            case "acknowledge", status if 200 <= status < 300:
                self._acknowledged(now)
            case _, status if status in {410, 429} or status >= 500:
                self._put_off(line, answer, now)
            case "instance", 400 | 404 if len(self._refused) < _MOST_REFUSED:
                self._refused.add(self._version)
                self._versions.due_at = now
            case "events", 400 | 404 if self._event_version != EVENTS[-1]:
                self._event_version = EVENTS[-1]
                line.due_at = now
            case "events", _:
                self._event_version = EVENTS[0]
                line.fail(now=now)
                self._note(line, "status", _refusal(answer))
            case "acknowledge", _:
                line.succeed()
                self._drop_sent(now)
                fields = {"ids": ",".join(self._sent), "cause": _refusal(answer)}
                self._effects.append(Note("azure_acknowledgement_refused", "warning", fields))
            case _:
                self._misunderstood(line, _refusal(answer), now)

    def _documented(self, answer: Answered, now: float) -> None:
        reading = read_instance(
            answer.body,
            interface=self._settings.interface,
            bind=self._bind,
            own=self._own_addresses,
        )
        self._well(self._versions)
        self._well(self._instance)
        self._remark("instance", reading.remarks)
        self._return(now)
        self._instance.due_at = now + INSTANCE_PERIOD
        self._refused.clear()
        self._documented_at = now
        site = _completed(reading.site, self._site)
        if self._site is None and self._events.asked_at is None:
            self._events.due_at = now
        if site != self._site:
            self._site, self._learned_at = site, self._wall()
            self._effects.append(Learned(site))

    def _choose_version(self, answer: Answered, now: float) -> None:
        version = best_version(read_versions(answer.body), self._refused)
        if version is None:
            why = f"it does not answer as of {', '.join(sorted(self._refused))}, nor as we know it"
            self._misunderstood(self._versions, why, now)
            return
        self._well(self._versions)
        self._version = version
        self._instance.due_at = now
        self._effects.append(Note("azure_version_chosen", "info", {"version": version}))

    def _misunderstood(self, line: Line, why: str, now: float) -> None:
        """Note that somebody answers who does not know what we ask for."""
        self._version = INSTANCE
        self._refused.clear()
        if self._site is None:
            self._stay_away(why, now, RARE_PERIOD)
        else:
            self._instance.fail(now=now, retry_after=RARE_PERIOD)
            self._note(line, "status", why)

    def _announced(self, answer: Answered, asked_at: float, now: float) -> None:
        date = answer.headers.get("date", "")
        machine = "" if self._site is None else self._site.machine
        events = read_events(
            answer.body, now=self._wall(), date=date, machine=machine, known=self._notices
        )
        self._well(self._events)
        self._remark("events", events.remarks)
        self._is_switched_on = True
        if self._is_absent:
            self._return(now)
            self._instance.due_at = now if self._instance.asked_at is None else None
        self._events.due_at = max(now, asked_at + EVENTS_PERIOD)
        self._notices = {each.notice_id: each for each in events.notices}
        self._noticed_at = now
        self._pending = {each: None for each in self._pending if each in self._notices}
        self._effects.append(Noticed(events.notices))

    def _acknowledged(self, now: float) -> None:
        self._well(self._acknowledge)
        self._drop_sent(now)
        self._effects.append(Note("azure_acknowledged", "info", {"ids": ",".join(self._sent)}))

    def _drop_sent(self, now: float) -> None:
        self._pending = {each: None for each in self._pending if each not in self._sent}
        self._acknowledge.due_at = now if self._pending else None

    def _put_off(self, line: Line, answer: Answered, now: float) -> None:
        """Ask again later, as the service wishes."""
        after = retry_after(answer.headers.get("retry-after", ""), wall=self._wall())
        if answer.status == 410:
            if line.await_return(now=now, retry_after=after):
                line.problem = "the service is gone for now (410)"
            else:
                self._note(line, "gone", "the service is gone for now (410), and stays so")
            return
        line.fail(now=now, retry_after=after, is_throttled=answer.status == 429)
        self._note(line, str(answer.status), _refusal(answer))

    def _unanswered(self, line: Line, why: str, asked_at: float, now: float) -> None:
        if line is self._events and now - asked_at >= EVENTS_TIMEOUT:
            # What switches the events on has been asked; who waits longer only hears less.
            self._is_switched_on = True
        is_document = line in {self._instance, self._versions}
        if self._is_absent or (is_document and self._site is None and not self._is_heard):
            self._stay_away(why, now)
            return
        line.fail(now=now)
        self._note(line, "unanswered", why)

    def _stay_away(self, why: str, now: float, at_least: float = 0.0) -> None:
        """Note that there is no Azure here, as far as one can tell."""
        if not self._was_absent:
            self._effects.append(Absent(why))
        self._is_absent = self._was_absent = True
        self._instance.problem = f"no metadata service of Azure: {why}"
        self._versions.due_at = None
        if self._instance.asked_at is None:
            self._instance.fail(now=now, retry_after=at_least)
        if self._events.asked_at is None:
            self._events.due_at = self._instance.due_at or now + RARE_PERIOD

    def _return(self, now: float) -> None:
        """Note that Azure is here."""
        if self._is_absent:
            self._is_absent = False
            if self._events.asked_at is None:
                self._events.due_at = now

    def _well(self, line: Line) -> None:
        line.succeed()
        if self._noted[line.purpose]:
            self._noted[line.purpose].clear()
            self._effects.append(Note("azure_recovered", "info", {"question": line.purpose}))

    def _note(self, line: Line, kind: str, why: str) -> None:
        """Log what fails, once for each kind until all is well again."""
        line.problem = f"{line.purpose}: {why}"
        if kind not in self._noted[line.purpose] and not self._is_absent:
            self._noted[line.purpose].add(kind)
            fields = {"question": line.purpose, "cause": why}
            self._effects.append(Note("azure_failed", "warning", fields))

    def _remark(self, purpose: str, remarks: Sequence[str]) -> None:
        for each in remarks:
            if each not in self._remarks and len(self._remarks) < _MOST_REMARKS:
                self._remarks.add(each)
                fields = {"question": purpose, "what": each}
                self._effects.append(Note("azure_part_ignored", "warning", fields))


def _completed(site: Site, known: Site | None) -> Site:
    """Return a site with what was known before instead of the parts that are missing."""
    if known is not None and not site.machine:
        site = replace(site, machine=known.machine, labels=known.labels, zone=known.zone)
    if known is not None and not site.networks:
        site = replace(site, networks=known.networks, addresses=known.addresses)
    return site


def _refusal(answer: Answered) -> str:
    return f"it answers with status {answer.status}"


def _ago(moment: float | None, now: float) -> float | None:
    return None if moment is None else round(max(0.0, now - moment), 1)
