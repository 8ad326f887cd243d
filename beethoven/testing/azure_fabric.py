"""
A fabric: the world that several simulated virtual machines of Azure share, with its events.

It decides nothing: `azure_events_state` does. One thread waits for what is due, and does it.
"""

import contextlib
import os
import random
import threading
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, TypeVar

from beethoven.testing.arguments import LONGEST, expect, expect_seconds
from beethoven.testing.azure_events import (
    DESCRIPTIONS,
    LEAST_NOTICE,
    Announcement,
    TimeFormat,
    check_kind,
    check_time_format,
)
from beethoven.testing.azure_events_state import Deed, Effect, EventsState
from beethoven.testing.clocks import FabricClock, ManualClock, RealClock

Item = TypeVar("Item")

_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Approval:
    """
    Somebody has acknowledged an event.

    Attributes:
        event_id: Which.
        kind: What it announced.
        by: The name of the machine that did.
        at: In seconds by the clock of the fabric.
    """

    event_id: str
    kind: str
    by: str
    at: float


class Inhabitant(Protocol):
    """What a fabric needs of each of its machines."""

    @property
    def name(self) -> str:
        """As events name it."""

    def perform(self, deed: Deed) -> None:
        """Do something to the machine."""

    def close(self) -> None:
        """Be no more. May be called again."""


class AzureFabric:
    """
    The events of virtual machines that see each other's, as those of one scale set do.

    As a context manager it is closed at the end, with all of its machines.

    Args:
        seed: Of the ids of events and of the order of interfaces: the same seed, the same order.
        clock: Where the time comes from; None is the clock of this computer. With a `ManualClock`
            nothing happens until it is advanced.
        time_format: How events write moments, unless one is announced with another format.
        ahead: How far the time of day in all answers is ahead of that of `clock`, in seconds; a
            negative one is behind. So a machine is simulated whose own clock is wrong.

    Raises:
        ValueError: One of them is not what it should be.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        clock: FabricClock | None = None,
        time_format: TimeFormat = TimeFormat.RFC1123,
        ahead: float = 0.0,
    ) -> None:
        self.clock: FabricClock = RealClock() if clock is None else clock
        expect("clock", "a ManualClock or None", clock, holds=isinstance(self.clock, FabricClock))
        expect("seed", "an int", seed, holds=isinstance(seed, int))
        expect_seconds("ahead", ahead, least=-LONGEST)
        check_time_format(time_format)
        self._pid = os.getpid()
        self._ahead = ahead
        self._time_format = time_format
        self._chance = random.Random(seed)
        self._changed = threading.Condition()
        self._state = EventsState(self._new_id)
        self._machines: dict[str, Inhabitant] = {}
        self._kinds: dict[str, str] = {}
        self._approvals: list[Approval] = []
        self._due: list[Effect] = []
        self._is_busy = False
        self._is_closed = False
        self._performing: set[int] = set()
        self._problems: list[Exception] = []
        self._thread = threading.Thread(target=self._run, name="azure fabric", daemon=True)
        self._thread.start()
        if isinstance(self.clock, ManualClock):
            self.clock.follow(self._settle)

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """Who has acknowledged what, in order; also what had been acknowledged before."""
        with self._changed:
            return tuple(self._approvals)

    def wall(self) -> float:
        """Return the time of day of all answers, in seconds since 1970-01-01 UTC."""
        return self.clock.wall() + self._ahead

    def announce(
        self,
        kind: str,
        *machines: str,
        notice: float | None = None,
        late: float = 0.0,
        is_started: bool = False,
        evicted_after: float = 0.0,
        returns_after: float | None = None,
        listed_for: float | None = None,
        lasts: float = 5.0,
        duration: int | None = None,
        description: str | None = None,
        source: str = "Platform",
        time_format: TimeFormat | None = None,
    ) -> str:
        """
        Announce that something is to happen to machines; all machines of the fabric can read it.

        All durations are seconds from 0 to 1e9.

        Args:
            kind: An `EventKind`, written as Azure does. Any other text is announced, starts and
                vanishes, and does nothing to anybody.
            machines: Names; also of machines that are not there.
            notice: How long from now until it may begin; None is the least that Azure gives. A
                recommendation to rebalance never begins.
            late: How much later than that it does begin.
            is_started: Whether it begins right now, so that nobody sees it scheduled.
            evicted_after: How long after its beginning the processes of the machines are killed, if
                it is of a kind that ends them.
            returns_after: How long after their end the machines are back, with the same names and
                addresses; None is never.
            listed_for: How long after its beginning it vanishes from the list, at the latest when
                the machines are back; None is 5. A freeze vanishes when it is over. For a
                recommendation it counts from now, and None is for ever.
            lasts: For how long a freeze stops the processes of the machines.
            duration: What `DurationInSeconds` says; None is `lasts`, rounded, for a freeze, and -1,
                which is unknown, for others.
            description: In words; None is a sentence for the kind.
            source: `Platform` or `User`.
            time_format: How to write the moment; None is as the fabric does.

        Returns:
            The id of the event.

        Raises:
            ValueError: One of them is not what it should be, such as `preempt` for `Preempt`; no
                machine is named; or the fabric is closed.
        """
        check_kind(kind)
        least = LEAST_NOTICE.get(kind, 0.0)
        announcement = Announcement(
            str(kind),
            machines,
            least if notice is None else notice,
            late,
            is_started,
            evicted_after,
            returns_after,
            listed_for,
            lasts,
            duration,
            DESCRIPTIONS.get(kind, "") if description is None else description,
            source,
            self._time_format if time_format is None else time_format,
        )
        with self._changed:
            self._check_open()
            now = self._turn()
            event_id = self._state.announce(announcement, now=now, wall=self.wall())
            self._kinds[event_id] = announcement.kind
            self._changed.notify_all()
        return event_id

    def cancel(self, event_id: str) -> None:
        """
        Take back an event that is still scheduled: it vanishes, and nothing happens.

        Raises:
            ValueError: There is no such event, or it has started.
        """
        with self._changed:
            self._turn()
            self._state.cancel(event_id)

    def document(self, version: str = "2024-07-09") -> dict[str, object]:
        """Return the list of events as the machines read it now, in a version of Azure."""
        with self._changed:
            self._turn()
            return self._state.document(version)

    def approve(self, event_ids: tuple[str, ...], *, by: str) -> bool:
        """
        Acknowledge events, as a machine does by POST; they begin now, for all machines they name.

        Args:
            event_ids: Of events that are listed, or have been acknowledged.
            by: The name of the machine.

        Returns:
            Whether all of the ids are such; if not, nothing was done.
        """
        with self._changed:
            now = self._turn()
            if not self._state.approve(event_ids, now=now):
                return False
            kinds = self._kinds
            self._approvals += [Approval(each, kinds[each], by, now) for each in event_ids]
            self._changed.notify_all()
        return True

    def shuffled(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return the same items in an order of chance, by the seed of the fabric."""
        with self._changed:
            return tuple(self._chance.sample(items, len(items)))

    def enter(self, machine: Inhabitant) -> None:
        """
        Take a machine in.

        Raises:
            ValueError: One of that name is there, or the fabric is closed.
        """
        with self._changed:
            self._check_open()
            is_new = machine.name not in self._machines
            expect("name", "of a new machine", machine.name, holds=is_new)
            self._machines[machine.name] = machine

    def leave(self, machine: Inhabitant) -> None:
        """Do nothing more to a machine. It may have left before."""
        with self._changed:
            if self._machines.get(machine.name) is machine:
                del self._machines[machine.name]

    def close(self) -> None:
        """
        End: nothing more happens to any machine, and none answers. May be called again.

        A forked process only closes what it has inherited.

        Raises:
            ExceptionGroup: What was to be done to a machine has failed, or a function of the user
                that was called for it, or has not returned within 10 s; or a machine could not be
                closed.
        """
        if os.getpid() != self._pid:
            for machine in self._machines.values():
                machine.close()
            return
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify_all()
            machines = list(self._machines.values())
        if isinstance(self.clock, ManualClock):
            self.clock.unfollow(self._settle)
        if threading.get_ident() not in self._performing:
            self._thread.join(_PATIENCE)
            if self._thread.is_alive():
                late = f"what is done to machines has not ended within {_PATIENCE:g} s"
                self._problems.append(TimeoutError(late))
        for machine in machines:
            try:
                machine.close()
            except Exception as error:
                self._problems.append(error)
        if self._problems:
            raise ExceptionGroup("what was done to machines failed", self._problems)

    def __enter__(self) -> "AzureFabric":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        # What has failed first is what there is to be seen.
        with contextlib.suppress(ExceptionGroup):
            self.close()

    def _check_open(self) -> None:
        expect("fabric", "open", self, holds=not self._is_closed)

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def _turn(self) -> float:
        """Let the events be those of this moment, which is returned; the lock is held."""
        now = self.clock.monotonic()
        if effects := self._state.tick(now):
            self._due += effects
            self._changed.notify_all()
        return now

    def _settle(self) -> None:
        """Wait until what is due has been done."""
        if threading.get_ident() in self._performing:
            return
        with self._changed:
            self._turn()
            if not self._changed.wait_for(self._is_idle, _PATIENCE):
                raise TimeoutError(f"what is due was not done in {_PATIENCE:g} s")

    def _is_idle(self) -> bool:
        return self._is_closed or not (self._due or self._is_busy)

    def _run(self) -> None:
        while effects := self._next_effects():
            each_of: dict[str, list[Deed]] = {}
            for effect in effects:
                each_of.setdefault(effect.machine, []).append(effect.deed)
            # Side by side: whoever takes long over one machine delays no other.
            threads = [
                threading.Thread(target=self._perform, args=(name, deeds), daemon=True)
                for name, deeds in each_of.items()
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _next_effects(self) -> list[Effect]:
        """Wait for something to do; empty is the end."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            self._turn()
            while not self._due and not self._is_closed:
                self.clock.wait(self._changed, self._state.next_deadline())
                self._turn()
            effects, self._due = self._due, []
            self._is_busy = bool(effects)
            return [] if self._is_closed else effects

    def _perform(self, name: str, deeds: list[Deed]) -> None:
        with self._changed:
            machine = self._machines.get(name)
            self._performing.add(threading.get_ident())
        try:
            if machine is not None:
                for deed in deeds:
                    machine.perform(deed)
        # A function of the user has failed, which is the user's to see.
        except Exception as error:
            with self._changed:
                self._problems.append(error)
        finally:
            with self._changed:
                self._performing.discard(threading.get_ident())

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"state={self._state!r}"
        return f"AzureFabric(machines={sorted(self._machines)}, {state})"
