"""Marked methods: a role is spoken to by its methods, and type checkers know what they take."""

import asyncio

from beethoven import ChildSpec, Later, Role, Supervisor, on
from beethoven.errors import RequestRefused


class Box(Role):
    """Sells tickets, and keeps a queue when there are none left."""

    def init(self, args: int) -> None:
        self.left = args
        self.queue: list[Later[str]] = []

    @on.call
    def tickets(self) -> int:
        return self.left

    @on.call
    def buy(self, number: int = 1) -> str:
        if number > self.left:
            return f"only {self.left} left"
        self.left -= number
        return f"{number} sold"

    @on.call
    def wait(self) -> Later[str]:
        later = Later[str]()
        self.queue.append(later)
        return later

    @on.cast
    def give_back(self, number: int) -> None:
        self.left += number
        while self.queue and self.left:
            self.queue.pop(0).reply(self.buy())


async def main(box: Box) -> None:
    waiting = [asyncio.create_task(box.wait.async_()) for _ in range(2)]
    await asyncio.sleep(0)
    box.give_back(number=3)
    print("waited:", await asyncio.gather(*waiting))


if __name__ == "__main__":
    with Supervisor.start_link([ChildSpec("box", Box, 2, name="box")]):
        box = Box.front("box")
        print(box.buy(3))
        print(box.buy(2))
        asyncio.run(main(box))
        print("left:", box.tickets())
        try:
            box.buy("two", 2)  # type: ignore[arg-type, call-arg]
        except RequestRefused as refused:
            print("refused:", refused.cause)
