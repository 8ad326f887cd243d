"""A locator whose log is a file, and somebody in the place of its core server."""

import resource
from pathlib import Path
from typing import Any

from beethoven import Caller, Role, cast, clock
from beethoven.cluster.locator import NAME, Locator, LocatorArgs, Resolver
from beethoven.log import send_to


class ChattyLocator(Locator):
    def init(self, args: tuple[LocatorArgs, str]) -> None:  # type: ignore[override]
        locator_args, log_file = args
        send_to(Path(log_file).open("a", encoding="utf-8"), level="debug")  # noqa: SIM115
        super().init(locator_args)


class StuckLocator(ChattyLocator):
    """Its name servers never answer."""

    def init(self, args: tuple[LocatorArgs, str]) -> None:  # type: ignore[override]
        super().init(args)
        self._resolver = Resolver(lambda _: None, lambda _: ())


class PoorLocator(ChattyLocator):
    """May have a hundred files open."""

    def init(self, args: tuple[LocatorArgs, str]) -> None:  # type: ignore[override]
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        super().init(args)


class FakeCore(Role):
    """Keeps what it is told, with the time; answers a locator that comes up if it is to."""

    def init(self, linked: Any) -> None:
        self.linked = linked
        self.told: list[tuple[float, Any]] = []

    def handle_cast(self, request: Any) -> None:
        self.told.append((clock.monotonic(), request))
        if request == ("locator_up",) and self.linked is not None:
            cast(NAME, ("linked", self.linked))

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return list(self.told)
