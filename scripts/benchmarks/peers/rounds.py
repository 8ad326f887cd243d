"""All peers in turns: in each round each of them is started, measured and ended."""

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scripts.benchmarks.peers.catalogue import Entry
from scripts.benchmarks.peers.environments import Unavailable, python_of
from scripts.benchmarks.peers.running import Running

PAYLOADS: Final = (100, 10_000, 1_000_000, 50_000_000)
# An order that takes longer is not repeated in later rounds.
_TOO_LONG: Final = 6.0
# How long a peer may take for one order beyond what it was told.
_PATIENCE: Final = 90.0
_SLOW: Final = 3e6


@dataclass(frozen=True, slots=True)
class Sizes:
    """
    How much is measured.

    Attributes:
        rounds: At most.
        clients: The larger number of clients; the smaller one is 1.
        calls: Of one client, for each payload.
        calls_of_many: Of each of many clients, for each payload.
        casts: Messages without a reply.
        starts: Of an actor.
        restarts: Of an actor.
        seconds: For each order.
        total: Seconds after which no further round begins that might take longer than these.
    """

    rounds: int
    clients: int
    calls: Sequence[int]
    calls_of_many: Sequence[int]
    casts: int
    starts: int
    restarts: int
    seconds: float
    total: float


FULL: Final = Sizes(5, 8, (2000, 1000, 100, 5), (500, 250, 25, 2), 20_000, 20, 5, 1.0, 840)
SMOKE: Final = Sizes(1, 2, (20, 10, 2, 1), (10, 5, 2, 1), 200, 2, 1, 0.5, 60)


def orders(sizes: Sizes) -> dict[str, dict[str, Any]]:
    """Return what every peer is told, by key; last what may take some of them too long."""
    found: dict[str, dict[str, Any]] = {
        "cast": {"do": "cast", "payload": 100, "count": sizes.casts},
        "start": {"do": "start", "count": sizes.starts},
        "restart": {"do": "restart", "count": sizes.restarts},
    }
    for place, payload in enumerate(PAYLOADS):
        for clients, counts in ((1, sizes.calls), (sizes.clients, sizes.calls_of_many)):
            found[echo_key(payload, clients)] = {
                "do": "echo",
                "payload": payload,
                "clients": clients,
                "count": counts[place],
            }
    return {key: {**order, "seconds": sizes.seconds} for key, order in found.items()}


def echo_key(payload: int, clients: int) -> str:
    """Return the key of calls of a size by so many clients."""
    return f"echo_{payload}_{clients}"


@dataclass(slots=True)
class Result:
    """
    What is known of a peer.

    Attributes:
        entry: Which.
        version: What was measured.
        unavailable: Why it was not.
        answers: Those of all rounds, by the key of the order.
        left: What it left behind, for people.
    """

    entry: Entry
    version: str = ""
    unavailable: str = ""
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def median(self, key: str, name: str) -> float | None:
        """Return the median over the rounds; None if there is no figure."""
        values = [answer[name] for answer in self.answers.get(key, ()) if name in answer]
        return statistics.median(values) if values else None

    def why_not(self, key: str) -> str:
        """Return why there is no figure."""
        for answer in self.answers.get(key, ()):
            for word in ("missing", "failed"):
                if word in answer:
                    return str(answer[word])
        return "not measured"


def measure(entries: Sequence[Entry], sizes: Sizes) -> tuple[list[Result], int]:
    """Measure peers in turns; return what was found, and in how many rounds."""
    pythons: dict[str, str] = {}
    results = [Result(entry) for entry in entries]
    for result in results:
        try:
            pythons[result.entry.key] = python_of(result.entry)
        except Unavailable as reason:
            result.unavailable = str(reason)
    begin = time.monotonic()
    done = 0
    while done < sizes.rounds:
        before = time.monotonic()
        for result in results:
            if not result.unavailable:
                _play(result, pythons[result.entry.key], sizes)
        done += 1
        now = time.monotonic()
        _say(f"round {done} of {sizes.rounds}: {now - before:.0f} s")
        if now - begin + (now - before) > sizes.total:
            break
    return results, done


def _play(result: Result, python: str, sizes: Sizes) -> None:
    """Start a peer, measure it once, and end it."""
    _say(f"  {result.entry.key}")
    with Running(result.entry, python) as peer:
        opened = peer.ask({"do": "open", "clients": sizes.clients}, _PATIENCE)
        if "version" not in opened:
            result.unavailable = f"it did not start: {opened.get('failed')}"
            print(peer.said(), file=sys.stderr)
        else:
            result.version = opened["version"]
            _ask_all(result, peer, sizes)
    result.left += peer.left


def _ask_all(result: Result, peer: Running, sizes: Sizes) -> None:
    for key, order in orders(sizes).items():
        known = result.answers.setdefault(key, [])
        if any("took" in answer and answer["took"] > _TOO_LONG for answer in known):
            continue
        answer = _too_slow(result, order) or _timed(peer, order)
        if "failed" in answer:
            _say(f"    {key}: {answer['failed']}")
        known.append(answer)


def _too_slow(result: Result, order: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return why many clients need not try what takes a single one too long."""
    if order["do"] != "echo" or order["clients"] == 1:
        return None
    alone = result.median(echo_key(order["payload"], 1), "p50")
    if alone is None or alone < _SLOW:
        return None
    return {"missing": f"not measured, for one call of one client takes {alone / 1e6:.1f} s"}


def _timed(peer: Running, order: Mapping[str, Any]) -> dict[str, Any]:
    begin = time.monotonic()
    answer = peer.ask(order, order["seconds"] + _PATIENCE)
    return {**answer, "took": time.monotonic() - begin}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
