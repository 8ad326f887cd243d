"""A call between two nodes on loopback, against a ping-pong over TCP."""

import socket
import statistics

import beethoven
from scripts.benchmarks import plain
from scripts.benchmarks.figures import Figure, Goal, Row, Sizes, ratio
from scripts.benchmarks.messages import REQUEST, Pings, Rounds, in_turns, plain_child, shares
from scripts.benchmarks.places import placed, places
from scripts.pair import VISITOR, holder, pair

_ROLE = "echo"


def remote(sizes: Sizes) -> list[Row]:
    """Measure calls by name and by reference in turns with exchanges over a socket of TCP."""
    rows: list[Row] = []
    with (
        pair(_ROLE, "scripts.benchmarks.roles:Echo"),
        beethoven.connect(node=VISITOR) as cluster,
    ):
        stream, theirs = _tcp_pair()
        ref = cluster.ref(_ROLE)

        def ping_tcp() -> None:
            stream.sendall(REQUEST)
            stream.recv(65536)

        pings: Pings = {
            "by name": lambda: cluster.call(_ROLE, REQUEST),
            "by reference": lambda: ref.call(REQUEST),
            "TCP": ping_tcp,
        }
        role = holder(_ROLE)
        assert role is not None
        with plain_child(plain.echo_socket, theirs, end=stream) as child:
            for place in places():
                with placed(place, (role.pid, child)):
                    rounds = in_turns(pings, sizes)
                rows += [
                    _latency(rounds, way, share, place)
                    for way in ("by name", "by reference")
                    for share in (0.5, 0.99)
                ]
    return rows


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection over loopback, which wait for nothing to fill a packet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def _latency(rounds: Rounds, way: str, share: float, place: str) -> Figure:
    by_round = shares(rounds, share)
    against_tcp = ratio(by_round[way], by_round["TCP"])
    goals = [
        Goal("at most 3 x TCP", against_tcp, 3.0),
        Goal("aim: 2.5 x TCP", against_tcp, 2.5),
    ]
    percent = f"p{share * 100:g}"
    return Figure(
        f"remote_{way[3:]}_{place.replace(' ', '_')}_{percent}",
        f"call between two nodes on loopback, {way}, 100 bytes, {place}, {percent}",
        statistics.median(by_round[way]),
        "µs",
        sum(len(each[way]) for each in rounds),
        {"TCP": statistics.median(by_round["TCP"])},
        goals if share == 0.5 else (),
    )
