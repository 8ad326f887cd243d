"""Type checkers know what a front can do: mypy is run on a program, and its words are checked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import beethoven

# A comment after a line is what mypy is to say of it.
PROGRAM = """
from typing import reveal_type

from beethoven import Later, Node, Ref, Reply, Role, Via, on


class Orders(Role):
    @on.call
    def get(self, number: int, *, loud: bool = False) -> str | None: ...

    @on.call
    async def fetch(self, number: int) -> list[str]:
        reveal_type(self.get(number))  # "str | None"
        return await self.fetch.async_(number)

    @on.call
    def wait(self) -> Later[int]:
        later = Later[int]()
        later.reply("no number")  # incompatible type "str"; expected "int"
        return later

    @on.call
    async def fetch_later(self) -> Later[bytes]:
        return Later[bytes]()

    @on.cast
    def put(self, number: int, what: str) -> None:
        self.put("five", "x")  # incompatible type "str"; expected "int"

    @on.cast
    async def put_slowly(self, number: int) -> None: ...

    @on.cast  # incompatible type "Callable[[Orders], int]"
    def count(self) -> int:
        return 5

    def helper(self) -> None: ...


class Better(Orders):
    @on.call
    def get(self, number: int, *, loud: bool = False, more: int = 0) -> str:
        reveal_type(super().get(number))  # "str | None"
        return ""

    @on.call
    def wait(self, number: int) -> int:  # Signature of "wait" incompatible
        return 5


def use(node: Node, ref: Ref) -> None:
    orders = Orders.front("orders")
    reveal_type(orders.get(5))  # "str | None"
    reveal_type(orders.fetch(5))  # "list[str]"
    reveal_type(orders.wait())  # "int"
    reveal_type(orders.fetch_later())  # "bytes"
    reveal_type(Better.front(ref, timeout=None).get(5, more=1))  # "str"
    reveal_type(Orders.front(Via("registry", 1)).get(5))  # "str | None"
    reveal_type(node.role("orders", Orders, to="one").get(5))  # "str | None"
    orders.put(5, what="x")
    orders.put_slowly(5)
    orders.get("five")  # incompatible type "str"; expected "int"
    orders.get()  # Missing positional argument "number"
    orders.get(5, loud="very")  # incompatible type "str"; expected "bool"
    orders.get(5, 6)  # Too many positional arguments
    orders.put(5)  # Missing positional argument "what"
    orders.gett(5)  # "Orders" has no attribute "gett"; maybe "get"?
    Orders.front(5)  # incompatible type "int"
    match orders.get.send_request(5).receive_response():
        case Reply(value):
            reveal_type(value)  # "str | None"
    orders.get.send_request("five")  # incompatible type "str"; expected "int"


async def use_async(node: Node) -> None:
    orders = node.role("orders", Orders)
    reveal_type(await orders.get.async_(5))  # "str | None"
    reveal_type(await orders.fetch.async_(5))  # "list[str]"
    reveal_type((await orders.wait.send_request()).unwrap())  # "int"
    await orders.get.async_("five")  # incompatible type "str"; expected "int"
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return what mypy says of each line."""
    path = tmp_path_factory.mktemp("types") / "program.py"
    path.write_text(PROGRAM, "utf-8")
    # A cache of its own: with other options that of the whole project would be of no use.
    options = ["--strict", "--follow-imports=silent", "--cache-dir=.mypy_cache/types"]
    command = [sys.executable, "-m", "mypy", *options, str(path)]
    root = Path(beethoven.__file__).parents[1]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    found: dict[int, str] = {}
    for number, text in re.findall(r"^.*?program\.py:(\d+): (.*)$", run.stdout, re.MULTILINE):
        found[int(number)] = f"{found.get(int(number), '')}{text}\n"
    return found


LINES = list(enumerate(PROGRAM.splitlines(), start=1))


def test_mypy_says_what_the_comments_say_and_nothing_else(said):
    expected = {number: line.partition("  # ")[2] for number, line in LINES if "  # " in line}
    assert {number: said[number] for number in said.keys() - expected.keys()} == {}
    assert {
        number: text for number, text in expected.items() if text not in said.get(number, "")
    } == {}
