"""
Speak to a role a million times in each way, and weigh both sides before and after.

Nothing may stay of a message once it is over: no object, no memory, no descriptor, no thread, at
neither side. Prints the weights as JSON; exits 1 if anything has stayed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

if __name__ == "__main__":
    # The checkout has to be found first.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from beethoven import ChildSpec, RequestCollection, Supervisor, clock, connect, send_request
from beethoven.node.cluster_handle import ClusterHandle
from scripts.leaks_role import (
    Echo,
    Weight,
    weigh,
)
from scripts.pair import VISITOR, pair

ROLE: Final = "echo"

_UNDER_WAY: Final = 20
_REQUEST: Final = b"r" * 100
_LARGE: Final = b"r" * 300_000

# What may come by itself in a whole run: another list of nodes than before, what the interpreter
# keeps for later, a page of memory.
_SLACK: Final = Weight(objects=5, blocks=500, descriptors=0, threads=0, kilobytes=1024)


class Partner(Protocol):
    """Who can be called and cast to."""

    def call(self, request: Any, timeout: float) -> Any: ...
    def cast(self, request: Any) -> None: ...


class Named(NamedTuple):
    """The role, spoken to by its name in the cluster."""

    cluster: ClusterHandle

    def call(self, request: Any, timeout: float) -> Any:
        return self.cluster.call(ROLE, request, timeout)

    def cast(self, request: Any) -> None:
        self.cluster.cast(ROLE, request)


def call(partner: Partner, count: int) -> None:
    """Make calls."""
    for _ in range(count):
        partner.call(_REQUEST, 60)


def cast(partner: Partner, count: int) -> None:
    """Send casts, and wait until all are handled."""
    for _ in range(count):
        partner.cast(_REQUEST)
    partner.call(_REQUEST, 60)


def request(partner: Any, count: int) -> None:
    """Make requests, several at a time."""
    waiting = RequestCollection()
    for number in range(count):
        waiting.add(send_request(partner, _REQUEST), number)
        if len(waiting) >= _UNDER_WAY:
            waiting.receive_response(60)
    while len(waiting):
        waiting.receive_response(60)


def abandoned(partner: Any, count: int) -> None:
    """Make requests that nobody waits for."""
    for number in range(count):
        send_request(partner, _REQUEST).abandon()
        if number % _UNDER_WAY == 0:
            partner.call(_REQUEST, 60)
    partner.call(_REQUEST, 60)


def large(partner: Partner, count: int) -> None:
    """Make calls that do not fit into the buffer of a socket."""
    for _ in range(count):
        partner.call(_LARGE, 60)


WAYS: Final[dict[str, Callable[[Any, int], None]]] = {
    each.__name__: each for each in (call, cast, request, abandoned, large)
}

BY_NAME: Final = ("call", "cast")

# What takes long is done less often: one time for so many of the others.
_RARER: Final = {"large": 100}


class Weights(NamedTuple):
    """The weights of both sides."""

    caller: Weight
    role: Weight


def weights(partner: Partner) -> Weights:
    """Weigh both sides."""
    role = partner.call("weigh", 60)
    return Weights(weigh(), role)


def stayed(before: Weights, after: Weights) -> list[str]:
    """Return what has stayed, beyond the slack."""
    found = []
    for side, one, other in zip(Weights._fields, before, after, strict=True):
        for name, was, now, slack in zip(Weight._fields, one, other, _SLACK, strict=True):
            if now - was > slack:
                found.append(f"{side}: {name} {was} before, {now} after")
    return found


def measure(way: str, partner: Partner, count: int) -> dict[str, Any]:
    """Speak to a role `count` times, or less often, in one way."""
    begin = clock.monotonic()
    count //= _RARER.get(way, 1)
    # Whatever is made once is made now, by the weighing too.
    for _ in range(2):
        WAYS[way](partner, max(100, count // 20))
        before = weights(partner)
    WAYS[way](partner, count)
    after = weights(partner)
    return {
        "count": count,
        "seconds": round(clock.monotonic() - begin, 1),
        "before": {side: each._asdict() for side, each in before._asdict().items()},
        "after": {side: each._asdict() for side, each in after._asdict().items()},
        "stayed": stayed(before, after),
    }


def in_a_tree(ways: Sequence[str], count: int) -> dict[str, Any]:
    """Speak to a role of this tree."""
    with Supervisor.start_link([ChildSpec(ROLE, Echo)]) as tree:
        return {way: measure(way, tree.child(ROLE), count) for way in ways}


def across_nodes(ways: Sequence[str], count: int) -> dict[str, Any]:
    """Speak to a role from another node: by a reference, and by its name."""
    with pair(ROLE, "scripts.leaks_role:Echo"), connect(node=VISITOR) as cluster:
        ref = cluster.ref(ROLE)
        found = {way: measure(way, ref, count) for way in ways}
        named = [way for way in ways if way in BY_NAME]
        found |= {f"{way} by name": measure(way, Named(cluster), count) for way in named}
        return found


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="scripts/leaks", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="of each (default: 1000000)")
    parser.add_argument("--only", action="append", choices=WAYS, help="repeatable")
    parser.add_argument("--nodes", action="store_true", help="from one node to another")
    parser.add_argument("--smoke", action="store_true", help="20000 of each")
    options = parser.parse_args()
    count = 20_000 if options.smoke else options.count
    ways = options.only or list(WAYS)
    found = (across_nodes if options.nodes else in_a_tree)(ways, count)
    print(json.dumps(found, indent=2))
    return 1 if any(each["stayed"] for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
