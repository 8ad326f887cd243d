"""The peers as tables of Markdown."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from scripts.benchmarks.peers.rounds import PAYLOADS, Result, echo_key

NAMES: Final = {100: "100 B", 10_000: "10 kB", 1_000_000: "1 MB", 50_000_000: "50 MB"}
_DASH: Final = "\u2013"
_OTHERS: Final = {"cast": "casts", "start": "start", "restart": "restart"}


def tables(results: Sequence[Result], clients: int) -> str:
    """Return three tables, and why they have gaps."""
    there = [result for result in results if not result.unavailable]
    sizes = [NAMES[payload] for payload in PAYLOADS]
    parts = [
        "Call and reply, one client: p50 (p99).",
        _table(["peer", *sizes], there, [_latency(payload, 1) for payload in PAYLOADS]),
        f"Call and reply, {clients} clients at once: p50 (p99), and calls in a second "
        "of all together.",
        _table(["peer", *sizes], there, [_crowded(payload, clients) for payload in PAYLOADS]),
        "Messages without a reply, sent by one client and handled; until a new actor answers; "
        "from SIGKILL until the successor answers: p50 (p99).",
        _table(["peer", "an actor is", "casts in a second", "start", "restart"], there, _lives()),
        *_notes(results, clients),
    ]
    return "\n\n".join(parts)


_Column = Callable[[Result], str]


def _table(head: Sequence[str], results: Sequence[Result], columns: Sequence[_Column]) -> str:
    lines = [head, ["---"] * len(head)]
    lines += [[_title(result), *(column(result) for column in columns)] for result in results]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _title(result: Result) -> str:
    return f"{result.entry.title} {_number(result)}".strip()


def _number(result: Result) -> str:
    # What comes with Python has Python's version, which stands above the tables.
    return "" if result.version.startswith("Python") else result.version


def _latency(payload: int, clients: int) -> _Column:
    return lambda result: _shares(result, echo_key(payload, clients), 1e-6)


def _crowded(payload: int, clients: int) -> _Column:
    def column(result: Result) -> str:
        key = echo_key(payload, clients)
        rate = result.median(key, "rate")
        return _DASH if rate is None else f"{_shares(result, key, 1e-6)}, {per_second(rate)}"

    return column


def _lives() -> list[_Column]:
    def casts(result: Result) -> str:
        rate = result.median("cast", "rate")
        return _DASH if rate is None else per_second(rate)

    return [
        lambda result: result.entry.actor,
        casts,
        lambda result: _shares(result, "start", 1e-3),
        lambda result: _shares(result, "restart", 1e-3),
    ]


def _shares(result: Result, key: str, unit: float) -> str:
    p50, p99 = result.median(key, "p50"), result.median(key, "p99")
    if p50 is None or p99 is None:
        return _DASH
    return f"{duration(p50 * unit)} ({duration(p99 * unit)})"


def duration(seconds: float) -> str:
    """Return a duration with a unit that suits it."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{digits(seconds * factor)} {unit}"
    return f"{digits(seconds)} s"


def per_second(rate: float) -> str:
    """Return how many there are in a second."""
    return f"{digits(rate / 1000)} k/s" if rate >= 1000 else f"{digits(rate)} /s"


def digits(value: float) -> str:
    """Return two digits of a number, or all before the point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _notes(results: Sequence[Result], clients: int) -> list[str]:
    lines = []
    for result in results:
        if result.unavailable:
            lines.append(f"- {result.entry.title} is missing: {result.unavailable}.")
            continue
        lines += [
            f"- {result.entry.title}, {what}: {why}."
            for why, what in _gaps(result, clients).items()
        ]
        if result.left:
            lines.append(f"- {result.entry.title} left behind: {', '.join(set(result.left))}.")
    return ["What a dash stands for:\n\n" + "\n".join(lines)] if lines else []


def _gaps(result: Result, clients: int) -> dict[str, str]:
    """Return for each reason what is missing for it."""
    keys: dict[str, str] = dict(_OTHERS)
    for number in (1, clients):
        for payload in PAYLOADS:
            people = "1 client" if number == 1 else f"{number} clients"
            keys[echo_key(payload, number)] = f"{NAMES[payload]} of {people}"
    found: dict[str, list[str]] = {}
    for key, what in keys.items():
        value: Any = result.median(key, "rate" if key == "cast" else "p50")
        if value is None:
            found.setdefault(result.why_not(key), []).append(what)
    return {why: ", ".join(whats) for why, whats in found.items()}
