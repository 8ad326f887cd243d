"""
Allocator: measures how busy this node is, and tells the core server.

Nobody waits for it. It may die at any moment: its successor measures again, the processes that had
set signals set them again (see `signals`), and the core server answers a load whose number of roles
is not its own with `("roles", count)`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from beethoven import clock
from beethoven.cluster.load import Load, is_worth_telling, load_of, smoothed
from beethoven.cluster.machine import Machine, ThisMachine
from beethoven.cluster.signal_board import SignalBoard, check_setting
from beethoven.errors import SpecError
from beethoven.log import get_log
from beethoven.runtime import kernel
from beethoven.runtime.exit_signals import Down
from beethoven.runtime.reference import Ref, cast_or_drop
from beethoven.runtime.role import Role

NAME: Final = "beethoven.allocator"
CORE_SERVER: Final = "beethoven.core_server"

# A load is known after this many seconds: by then all who had set signals have set them again, and
# the CPU is not only that of the start.
_FIRST_SAMPLE: Final = 1.5

log = get_log("allocator")


class Allocator(Role):
    """
    The process.

    Casts that it takes:

    - `("signal", name, weight, kind, value, setter)`: the process `setter` sets a signal. The value
      is the whole one, not a difference, so that it can be said again.
    - `("forget_signal", name, setter)`: it takes the signal back; its end does so, too.
    - `("roles", count)`: this node runs so many role instances.
    - `("core_up",)`: the core server has begun, and is told the load.

    It casts `("load", Load)` to the core server when `is_worth_telling`, looking every `interval`
    seconds.

    Attributes:
        interval: Seconds between two samples.
        machine: Where the figures come from.
    """

    interval: ClassVar[float] = 2.0
    machine: ClassVar[Callable[[], Machine]] = ThisMachine

    def init(self, args: Any) -> None:
        self._machine = type(self).machine()
        self._board = SignalBoard()
        self._monitored: set[str] = set()
        self._roles = 0
        self._cpu: float | None = None
        self._failing: set[str] = set()
        self._has_refused = False
        self._load: Load | None = None
        self._told: Load | None = None
        self._told_at = self._sampled_at = clock.monotonic()
        # The import of psutil must not keep the node waiting.
        self.continue_with("begin")

    def handle_continue(self, argument: Any) -> None:
        self._measured("cpu", self._machine.cpu)
        self.send_after(min(_FIRST_SAMPLE, self.interval), "sample")

    def handle_info(self, message: Any) -> None:
        match message:
            case "sample":
                self._sample()
                self.send_after(self.interval, "sample")
            case Down():
                self._monitored.discard(message.ref.identity)
                self._board.forget_setter(message.ref.identity)
            case _:
                super().handle_info(message)

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("signal", name, weight, kind, value, Ref() as setter):
                self._set(name, weight, kind, value, setter)
            case ("forget_signal", str(name), Ref() as setter):
                self._board.forget(setter.identity, name)
            case ("roles", int(count)):
                self._roles = max(0, count)
            case ("core_up",):
                if self._load is not None:
                    self._tell(self._load)
            case _:
                super().handle_cast(request)

    def _set(self, name: object, weight: object, kind: object, value: object, setter: Ref) -> None:
        try:
            setting = check_setting(name, weight, kind, value)
        except SpecError as error:
            self._refuse(name, str(error), setter)
            return
        if not self._board.set(setter.identity, setting):
            self._refuse(name, "the node has too many signals", setter)
        elif setter.identity not in self._monitored:
            self._monitored.add(setter.identity)
            self.monitor(setter)

    def _refuse(self, name: object, reason: str, setter: Ref) -> None:
        """Log a refusal, if it is the first: roles set signals often."""
        if not self._has_refused:
            log.warning("signal_refused", signal=name, setter=setter, reason=reason)
        self._has_refused = True

    def _sample(self) -> None:
        now = clock.monotonic()
        sample = self._measured("cpu", self._machine.cpu)
        if sample is None:
            self._cpu = None
        else:
            self._cpu = smoothed(self._cpu, sample, now - self._sampled_at)
        self._sampled_at = now
        memory = self._measured("memory", self._machine.memory)
        points, cpus = self._board.points(), kernel.cores()
        self._load = load_of(self._cpu, memory, self._roles, points, cpus=cpus)
        if is_worth_telling(self._told, self._load, now - self._told_at):
            self._tell(self._load)

    def _measured(self, what: str, measure: Callable[[], float]) -> float | None:
        """Return a figure, or None if it cannot be had, for whatever reason."""
        try:
            return measure()
        except Exception as error:
            if what not in self._failing:
                reason = f"{type(error).__name__}: {error}"
                log.warning("load_unknown", what=what, reason=reason)
            self._failing.add(what)
            return None

    def _tell(self, load: Load) -> None:
        # Nothing told: while there is no core server, or it hangs, every sample is worth telling.
        self._told = load if cast_or_drop(CORE_SERVER, ("load", load)) else None
        self._told_at = clock.monotonic()
