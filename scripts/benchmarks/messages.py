"""Calls and casts on one node, against a pipe and bare sockets."""

import contextlib
import multiprocessing
import pickle
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from beethoven import Ref
from scripts.benchmarks import plain, roles
from scripts.benchmarks.figures import Figure, Goal, Row, Sizes, percentile, ratio
from scripts.benchmarks.places import placed, places

REQUEST = b"r" * 100


@contextlib.contextmanager
def plain_child(target: Callable[..., None], *arguments: Any, end: Any) -> Iterator[int]:
    """Run a child of a baseline that lives until the parent's `end` is closed; yield its pid."""
    process = multiprocessing.get_context("spawn").Process(
        target=target, args=arguments, daemon=True
    )
    process.start()
    arguments[0].close()
    try:
        yield process.pid or 0
    finally:
        end.close()
        process.join(10)
        process.kill()
        process.join()
        process.close()


def calls(sizes: Sizes) -> list[Row]:
    """Measure call and reply in turns with a ping-pong over a pipe and over a socket."""
    pipe, theirs = multiprocessing.get_context("spawn").Pipe()
    stream, other = socket.socketpair()
    role = roles.Echo.start_link()

    def ping_pipe() -> None:
        pipe.send(REQUEST)
        pipe.recv()

    def ping_socket() -> None:
        stream.sendall(REQUEST)
        stream.recv(65536)

    pings: Pings = {"call": lambda: role.call(REQUEST), "Pipe": ping_pipe, "AF_UNIX": ping_socket}
    rows: list[Row] = []
    with (
        plain_child(plain.echo_pipe, theirs, end=pipe) as first,
        plain_child(plain.echo_socket, other, end=stream) as second,
    ):
        for place in places():
            with placed(place, (role.pid, first, second)):
                rounds = in_turns(pings, sizes)
            rows += [_latency(rounds, share, place) for share in (0.5, 0.99)]
    role.stop()
    return rows


Pings: TypeAlias = dict[str, Callable[[], object]]
Rounds: TypeAlias = list[dict[str, list[float]]]


def in_turns(pings: Pings, sizes: Sizes) -> Rounds:
    """Return the latencies of every kind of exchange, in rounds over all of them."""
    for ping in pings.values():
        _latencies(ping, sizes.calls // 10)
    return [
        {name: _latencies(ping, sizes.calls) for name, ping in pings.items()}
        for _ in range(sizes.call_rounds)
    ]


def shares(rounds: Rounds, share: float) -> dict[str, list[float]]:
    """Return a percentile of each kind of exchange in each round."""
    return {name: [percentile(each[name], share) for each in rounds] for name in rounds[0]}


def _latencies(ping: Callable[[], object], count: int) -> list[float]:
    """Return the microseconds that each of `count` exchanges took."""
    samples = []
    now = time.perf_counter_ns
    for _ in range(count):
        begin = now()
        ping()
        samples.append((now() - begin) / 1000)
    return samples


def _latency(rounds: Rounds, share: float, place: str) -> Figure:
    by_round = shares(rounds, share)
    medians = {name: statistics.median(values) for name, values in by_round.items()}
    against_pipe = ratio(by_round["call"], by_round["Pipe"])
    goals = [
        Goal("at most 1.0 x Pipe", against_pipe, 1.0),
        Goal("aim: 0.8 x Pipe", against_pipe, 0.8),
    ]
    percent = f"p{share * 100:g}"
    return Figure(
        f"call_{place.replace(' ', '_')}_{percent}",
        f"call and reply, 100 bytes, {place}, {percent}",
        medians.pop("call"),
        "µs",
        sum(len(each["call"]) for each in rounds),
        medians,
        goals if share == 0.5 else (),
    )


def casts(sizes: Sizes) -> list[Row]:
    """Measure casts, sent and handled, in turns with frames of pickles between two plain loops."""
    stream, theirs = socket.socketpair()
    role = roles.Echo.start_link()
    with (
        plain_child(plain.receive_frames, theirs, sizes.casts, end=stream) as receiver,
        placed(places()[-1], (role.pid, receiver)),
    ):
        _rate_of_frames(stream, sizes.casts)
        _rate_of_casts(role, sizes.casts)
        rounds = [
            (_rate_of_casts(role, sizes.casts), _rate_of_frames(stream, sizes.casts))
            for _ in range(sizes.cast_rounds)
        ]
    role.stop()
    ours, plain_loop = zip(*rounds, strict=True)
    rate = statistics.median(ours)
    goals = [
        Goal("at least 200 k/s", rate, 200.0, is_floor=True),
        Goal("at least 0.5 x plain loop", ratio(ours, plain_loop), 0.5, is_floor=True),
    ]
    what = "casts of one sender to one role, sent and handled"
    baselines = {"plain loop": statistics.median(plain_loop)}
    return [Figure("casts", what, rate, "k/s", len(rounds), baselines, goals)]


def _rate_of_casts(role: Ref, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        role.cast(REQUEST)
    taken = role.call("taken", timeout=60)
    seconds = time.perf_counter() - begin
    if taken != count:
        raise AssertionError(f"expected {count} casts to be handled, got: {taken}")
    return count / seconds / 1000


def _rate_of_frames(stream: socket.socket, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        payload = pickle.dumps(REQUEST, 5)
        stream.sendall(plain.LENGTH.pack(len(payload)) + payload)
    stream.recv(1)
    return count / (time.perf_counter() - begin) / 1000
