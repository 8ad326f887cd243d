"""
Roles with marked methods, for tests.

Children import this module, so it imports little.
"""

from typing import Any

from beethoven import Caller, Later, Role, Stop, call, on


class Shop(Role):
    """Keeps goods, and those who wait for some."""

    def init(self, args: Any) -> None:
        self.goods: dict[str, int] = dict(args or {})
        self.waiting: list[Later[str]] = []
        self.infos: list[Any] = []

    @on.call
    def stock(self, kind: str, *, least: int = 0) -> int:
        """Return how many there are of a kind."""
        return max(self.goods.get(kind, 0), least)

    @on.call
    def total(self) -> int:
        return sum(self.stock(kind) for kind in self.goods)

    @on.call
    def wait_for_delivery(self) -> Later[str]:
        later = Later[str]()
        self.waiting.append(later)
        return later

    @on.call
    def wait_for(self, colleague: str) -> Later[str]:
        """Have somebody else answer, in the middle of the call."""
        later = Later[str]()
        call(colleague, ("answer", later))
        return later

    @on.call
    def waiters(self) -> int:
        return len(self.waiting)

    @on.call
    def seen(self) -> list[Any]:
        return self.infos

    @on.call
    def ask_colleague(self, name: str, kind: str) -> int:
        return Shop.front(name).stock(kind)

    @on.call
    def fail(self, text: str) -> int:
        raise TypeError(text)

    @on.call
    def close(self, reply: Any) -> Any:
        raise Stop("normal", reply=reply)

    @on.cast
    def deliver(self, kind: str, number: int = 1) -> None:
        self.goods[kind] = self.goods.get(kind, 0) + number
        for later in self.waiting:
            later.reply(kind)
        self.waiting.clear()

    @on.cast
    def burn(self) -> None:
        raise ValueError("it burns")

    @on.cast
    def nap(self, seconds: float) -> None:
        self.idle_timeout(seconds, "idle")

    @on.cast
    def misuse(self) -> None:
        return 5  # type: ignore[return-value]

    def handle_info(self, message: Any) -> None:
        self.infos.append(message)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return ("plain", request)

    def handle_cast(self, request: Any) -> None:
        self.infos.append(request)

    def snapshot(self) -> Any:
        return self.goods

    def restore(self, state: Any) -> None:
        self.goods = state


class Desk(Role):
    """Answers for others."""

    def init(self, args: Any) -> None:
        self.later: Later[str] | None = None

    def handle_call(self, request: Any, caller: Caller) -> None:
        self.later = request[1]

    def handle_cast(self, request: Any) -> None:
        assert self.later is not None
        self.later.reply(request)


class AsyncShop(Shop):
    """A shop some of whose methods wait."""

    @on.call
    async def order(self, kind: str, pause: float = 0.0) -> int:
        import asyncio

        await asyncio.sleep(pause)
        return self.stock(kind)

    @on.call
    async def order_later(self, pause: float) -> Later[str]:
        import asyncio

        later = Later[str]()
        asyncio.get_running_loop().call_later(pause, later.reply, "here it is")
        return later

    @on.call
    async def ask_async(self, name: str, kind: str) -> int:
        return await Shop.front(name).stock.async_(kind)

    @on.cast
    async def deliver_slowly(self, kind: str) -> None:
        import asyncio

        await asyncio.sleep(0)
        self.deliver(kind)


class Window(Role):
    """What callers know of a shop: one method, in a base class that runs nowhere."""

    @on.call
    def stock(self, kind: str, *, least: int = 0) -> int:
        raise NotImplementedError

    @on.call
    def price(self, kind: str) -> int:
        raise NotImplementedError
