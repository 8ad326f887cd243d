"""
Providers: whoever knows where a node stands and when it must go; each is a file of its own.

A provider is pure: events come in, effects go out, time is a number. It decides what to ask, when,
and what the answers mean. Three drive one: `first_look` at boot, `watcher` for the life of a node,
`metadata_check` for `doctor`. The first and the last look at no more than `Ask`, `Learned`,
`Noticed` and `Absent`, and the last at notes of parts that were ignored. A provider that has been
told nothing yet must be fit for `pickle`.

docs/azure.md has an example, and what one more cloud takes besides its file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from beethoven.cloud.notice import Notice
from beethoven.cloud.settings import Endpoint
from beethoven.cloud.site import Site


@dataclass(frozen=True, slots=True)
class Started:
    """
    The provider may begin to ask. It is told this once, before anything else.

    Attributes:
        is_known: Whether the provider has named the machine in a former life of the watcher, so
            that silence does not mean that nobody is there.
    """

    is_known: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """
    An answer has come, whatever it says.

    Attributes:
        purpose: That of the `Ask`.
        status: Of HTTP; a refusal and a redirection are answers, too.
        headers: By name in small letters.
        body: At most `LARGEST_BODY` bytes.
    """

    purpose: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer has come in time, or none that is HTTP; `why` says it in words."""

    purpose: str
    why: str


@dataclass(frozen=True, slots=True)
class AcknowledgeRequested:
    """
    The provider may go ahead with what these notices announce: nothing runs on the node any more.

    Told once for each notice whose kind the operator wants to be acknowledged, and again in another
    life of the watcher. Where nobody can be told that, nothing is to be done.

    Attributes:
        notice_ids: Those of `Noticed`; some may be gone by now.
    """

    notice_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """
    The moment that `next_deadline` has named has come; `now` is that moment or a later one.

    Whoever leaves the deadline where it is gets this again at once, for ever.
    """


Event = Started | Answered | Unanswered | AcknowledgeRequested | Ticked


@dataclass(frozen=True, slots=True)
class Ask:
    """
    Ask the metadata service. `Answered` or `Unanswered` follows, once.

    Attributes:
        purpose: Comes back with the answer. Of each, a provider has at most one question under way.
        method: Of HTTP.
        target: Path and query.
        headers: To send, besides `Host`.
        body: To send.
        timeout: How long the whole answer may take, in seconds.
    """

    purpose: str
    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout: float = 5.0


# Asks one question, and returns when that is settled.
Asker = Callable[[Endpoint, Ask], Answered | Unanswered]


@dataclass(frozen=True, slots=True)
class Learned:
    """
    Where the node stands; told when it is known first, and whenever it changes.

    Attributes:
        site: All that is known. What is empty is unknown, and stays what it was.
    """

    site: Site


@dataclass(frozen=True, slots=True)
class Noticed:
    """
    All notices that there are now; told after each answer that could be read, and only then.

    Attributes:
        notices: Those of all machines. What is no more among them is taken back.
    """

    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """
    There is no such provider here: the node goes on as it is configured. Told once.

    Attributes:
        why: In words, for the log and for `doctor`.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """
    Log something that people should know. Nothing else follows from it.

    Attributes:
        event: The name of the record; docs/operations.md lists all of them.
        level: `debug`, `info`, `warning` or `error`.
        fields: What the record says besides.
    """

    event: str
    level: str = "info"
    fields: Mapping[str, object] = field(default_factory=dict)


Effect = Ask | Learned | Noticed | Absent | Note


class Provider(Protocol):
    """Whoever knows where a node stands and when it must go."""

    @property
    def name(self) -> str:
        """What it is called in reports and in the log, such as `azure`."""

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        It must not raise, whatever was answered: that would end the boot of the node, or the
        watcher, whose successor begins anew.

        Args:
            event: What happened.
            now: Monotonic time in seconds, by `clock.elapsed`. Never decreases from one call to the
                next.
        """

    def next_deadline(self) -> float | None:
        """Return when to deliver `Ticked`, by the clock of `now`; None if nothing is due."""

    def summary(self) -> Mapping[str, Any]:
        """
        Return what it knows, when it learned that and what fails, for people, as JSON has it.

        Two keys are read; whatever else it has is shown by `status --json` alone:

        - `asked_ago`: How many seconds ago the notices were read; None if they never were.
          `status` says "not answered yet" then, and counts from it what it says of moments.
        - `failing`: What does not go well right now, in words; empty if nothing. `status` shows it,
          and `doctor` warns of it.
        """
