"""Allocators that are quick, steady or broken, somebody in the place of their core, and users."""

import sys
from pathlib import Path
from typing import Any

from beethoven import Caller, Role, clock, signal
from beethoven.cluster.allocator import Allocator
from beethoven.log import send_to


class FakeCore(Role):
    """Keeps the loads that it is told."""

    def init(self, args: Any) -> None:
        self.told: list[Any] = []

    def handle_cast(self, request: Any) -> None:
        word, load = request
        assert word == "load"
        self.told.append(load)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return list(self.told)


class QuickAllocator(Allocator):
    """Looks often, and logs to the file that it is given."""

    interval = 0.05

    def init(self, args: str | None) -> None:
        if args is not None:
            self.log = Path(args).open("a", encoding="utf-8")  # noqa: SIM115 - open to its end
            send_to(self.log)
        super().init(args)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return request in sys.modules


class SteadyMachine:
    """Always the same, but for a little noise; knows how often it was asked."""

    def __init__(self) -> None:
        self.samples = 0

    def cpu(self) -> float:
        self.samples += 1
        return 40.0 + self.samples % 3

    def memory(self) -> float:
        return 20.0 + self.samples % 2


class SteadyAllocator(QuickAllocator):
    machine = SteadyMachine

    def handle_call(self, request: Any, caller: Caller) -> Any:
        assert isinstance(self._machine, SteadyMachine)
        return self._machine.samples


class NoCpu(SteadyMachine):
    def cpu(self) -> float:
        super().cpu()
        raise KeyError("a column that this kernel does not have")


class Nothing(NoCpu):
    def memory(self) -> float:
        raise ImportError("no module named 'psutil'")


class WithoutCpu(SteadyAllocator):
    machine = NoCpu


class Blind(SteadyAllocator):
    machine = Nothing


class User(Role):
    """Sets signals as it is told, and returns how many seconds that took."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        begun = clock.monotonic()
        match request:
            case ("set", name, value):
                signal(name).set(value)
            case ("set", name, value, options):
                signal(name, **options).set(value)
            case ("count", name, times):
                for _ in range(times):
                    signal(name).increment()
            case ("forget", name):
                signal(name).forget()
        return clock.monotonic() - begun
