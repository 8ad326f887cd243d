"""Roles with marked methods, for tests of fronts across nodes."""

import asyncio
from typing import Any

from beethoven import Later, Role, on


class Till(Role):
    """Adds up, and asks other tills."""

    def init(self, args: Any) -> None:
        self.sum = 0

    @on.call
    def where(self) -> str:
        return str(self.node.name)

    @on.call
    def add(self, amount: int, *, times: int = 1) -> int:
        self.sum += amount * times
        return self.sum

    @on.call
    def total(self) -> int:
        return self.sum

    @on.call
    def ask(self, role: str) -> str:
        asked: str = self.node.role(role, Till).where()
        return asked

    @on.call
    async def ask_slowly(self, role: str) -> str:
        asked: str = await self.node.role(role, Till).where.async_()
        return asked

    @on.call
    async def think(self, seconds: float) -> Later[str]:
        later = Later[str]()
        asyncio.get_running_loop().call_later(seconds, later.reply, self.where())
        return later

    @on.cast
    def pay(self, amount: int) -> None:
        self.sum -= amount

    def snapshot(self) -> Any:
        return self.sum

    def restore(self, state: Any) -> None:
        self.sum = state
