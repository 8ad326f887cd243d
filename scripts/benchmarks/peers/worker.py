"""
Runs one peer, in the peer's own environment, and does what it is told: a JSON object on each line.

    {"do": "open", "clients": 8}
        {"version": "6.0.2"}
    {"do": "echo", "payload": 100, "clients": 8, "count": 300, "seconds": 1.0}
        {"p50": µs, "p99": µs, "count": of samples, "rate": calls in a second of all clients}
    {"do": "cast", "payload": 100, "count": 20000, "seconds": 1.0}
        {"rate": sent and handled in a second}
    {"do": "start", "count": 10, "seconds": 3.0}, {"do": "restart", "count": 5, "seconds": 5.0}
        {"p50": ms, "p99": ms, "count": of samples}

What the peer does not have is answered with {"missing": "why"}, what went wrong with
{"failed": "how"}. At the end of its input the worker ends all that it has started.
"""

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from scripts.benchmarks.peers.peer import Missing, Peer
from scripts.benchmarks.peers.timing import shares, summary


def main(name: str) -> None:
    """Serve until the input ends."""
    answers = _own_output()
    peer: Peer = importlib.import_module(f"scripts.benchmarks.peers.{name}").PEER()
    try:
        for line in sys.stdin:
            print(json.dumps(_answer(peer, json.loads(line))), file=answers, flush=True)
    finally:
        peer.close()


def _own_output() -> TextIO:
    """Keep the standard output for answers; what a peer prints goes with its errors."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _answer(peer: Peer, order: dict[str, Any]) -> dict[str, Any]:
    try:
        return _do(peer, order)
    except Missing as missing:
        return {"missing": str(missing)}
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}


def _do(peer: Peer, order: dict[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "open":
            peer.open(order["clients"])
            return {"version": peer.version()}
        case "echo":
            peer.prepare(order["payload"], order["clients"])
            return summary(peer.echo(order["clients"], order["count"], order["seconds"]))
        case "cast":
            payload = os.urandom(order["payload"])
            return {"rate": peer.casts(payload, order["count"], order["seconds"])}
        case "start":
            return shares(_repeated(peer.start, order))
        case "restart":
            return shares(_repeated(peer.restart, order))
    raise ValueError(f"expected a known order, got: {order!r}")


def _repeated(measure: Callable[[], float], order: dict[str, Any]) -> list[float]:
    """Measure as often as asked for, the first time in vain, until time is over."""
    deadline = time.monotonic() + order["seconds"]
    first = measure()
    samples: list[float] = []
    while len(samples) < order["count"] and time.monotonic() < deadline:
        samples.append(measure())
    return samples or [first]


if __name__ == "__main__":
    main(sys.argv[1])
