"""
Call one role from many processes while it is killed again and again, and check every reply.

A reply that came belongs to its request, and that was executed once. A call that was interrupted by
the death of the role was executed once or not at all. One that reached nobody is made again, and
is executed once all the same. The role writes down what it executes (`load_role.py`). Prints a
summary as JSON; exits 1 if anything was violated. The clients are processes of the role's tree, or
with --nodes they speak to it from another node.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

if __name__ == "__main__":
    # The checkout has to be found first.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from beethoven import ChildSpec, Ok, Ref, Supervisor, Task, clock, whereis, yield_many
from scripts.load_role import (
    RECORD,
    ROLE,
    Ledger,
    Outcome,
    Told,
    by_calls,
    by_nodes,
    by_requests,
)
from scripts.pair import holder, pair

# Long enough for anything but a defect.
LIMIT: Final = 900.0


def check(records: Sequence[tuple[int, int]], told: Sequence[Told], kills: int) -> list[str]:
    """
    Return what was violated.

    Args:
        records: Client and number of each execution.
        told: What each client has told.
        kills: How often the role was killed.
    """
    executed = Counter(records)
    doubled = [key for key, times in executed.items() if times > 1]
    found = [f"executed {executed[key]} times: call {key[1]} of client {key[0]}" for key in doubled]
    for client, each in enumerate(told):
        for number, outcome in enumerate(each.outcomes):
            if outcome == Outcome.REPLIED and (client, number) not in executed:
                found.append(f"a reply without an execution: call {number} of client {client}")
            elif outcome == Outcome.WRONG:
                found.append(f"the reply to another request: call {number} of client {client}")
            elif outcome == Outcome.LATE:
                found.append(f"no reply: call {number} of client {client}")
    interrupted = sum(each.outcomes.count(Outcome.INTERRUPTED) for each in told)
    if interrupted and not kills:
        found.append(f"{interrupted} calls were interrupted though nobody was killed")
    return found


def read(path: Path) -> list[tuple[int, int]]:
    """Return what the role has written down."""
    return [(client, number) for client, number in RECORD.iter_unpack(path.read_bytes())]


class Kills(NamedTuple):
    """When the role is killed: after so many seconds and so many executions since the last time."""

    seconds: float
    executions: int = 1


def run(clients: int, calls: int, kills: Kills, *, nodes: bool) -> dict[str, Any]:
    """
    Return the summary of so many calls of each client.

    Args:
        clients: How many there are.
        calls: How many each of them makes.
        kills: When the role is killed.
        nodes: Whether the clients call across nodes.
    """
    with tempfile.TemporaryDirectory(prefix="load", dir="/tmp") as folder:
        path = Path(folder, "executed")
        path.touch()
        began = clock.monotonic()
        told, killed = (_across_nodes if nodes else _in_a_tree)(path, clients, calls, kills)
        return summary(read(path), told, killed, clock.monotonic() - began)


def _in_a_tree(path: Path, clients: int, calls: int, kills: Kills) -> tuple[list[Told], int]:
    """Half of the clients call by name, the others have several requests under way."""
    spec = ChildSpec(ROLE, Ledger, str(path), name=ROLE)
    with Supervisor.start_link([spec], max_restarts=1_000_000):
        ways = [by_requests if client % 2 else by_calls for client in range(clients)]
        tasks = [Task.async_(way, client, calls) for client, way in enumerate(ways)]
        return _while_killing(tasks, kills, path, lambda: whereis(ROLE))


def _across_nodes(path: Path, clients: int, calls: int, kills: Kills) -> tuple[list[Told], int]:
    """All clients call by name, by way of another node than that of the role."""
    with pair(ROLE, "scripts.load_role:Ledger", str(path)):
        tasks = [Task.async_(by_nodes, client, calls) for client in range(clients)]
        return _while_killing(tasks, kills, path, lambda: holder(ROLE))


def _while_killing(
    tasks: Sequence[Task], kills: Kills, path: Path, find: Callable[[], Ref | None]
) -> tuple[list[Told], int]:
    """Kill the role again and again until the tasks have ended; return their results, and kills."""
    deadline = clock.monotonic() + LIMIT
    pending, killed, executed = list(tasks), 0, 0
    told: dict[Task, Told] = {}
    while pending:
        if clock.monotonic() > deadline:
            raise TimeoutError(f"the clients have not ended within {LIMIT} s")
        ended = {
            task: result
            for task, result in yield_many(pending, kills.seconds)
            if result is not None
        }
        for task, result in ended.items():
            if not isinstance(result, Ok):
                raise RuntimeError(f"a client has ended: {result.reason}")
            told[task] = result.value
        pending = [task for task in pending if task not in ended]
        now = path.stat().st_size // RECORD.size
        if pending and now - executed >= kills.executions and _kill(find()):
            killed, executed = killed + 1, now
    return [told[task] for task in tasks], killed


def _kill(ref: Ref | None) -> bool:
    """Kill the role if it lives; return whether it did."""
    if ref is None:
        return False
    try:
        os.kill(ref.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def summary(
    records: Sequence[tuple[int, int]], told: Sequence[Told], kills: int, seconds: float
) -> dict[str, Any]:
    """Return what has happened, in numbers, and what was violated."""
    executed = set(records)
    cut = [
        (client, number) in executed
        for client, each in enumerate(told)
        for number, outcome in enumerate(each.outcomes)
        if outcome == Outcome.INTERRUPTED
    ]
    calls = sum(len(each.outcomes) for each in told)
    return {
        "clients": len(told),
        "calls": calls,
        "replied": sum(each.outcomes.count(Outcome.REPLIED) for each in told),
        "interrupted": {"executed": cut.count(True), "not executed": cut.count(False)},
        "made again": sum(each.undelivered for each in told),
        "kills": kills,
        "seconds": round(seconds, 1),
        "calls in a second": round(calls / seconds),
        "violations": check(records, told, kills)[:20],
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="scripts/load", description=__doc__)
    parser.add_argument("--clients", type=int, default=8, help="how many (default: 8)")
    parser.add_argument("--calls", type=int, default=100_000, help="of each (default: 100000)")
    parser.add_argument(
        "--every", type=float, default=1.0, help="seconds between two kills (default: 1)"
    )
    parser.add_argument("--nodes", action="store_true", help="from one node to another")
    parser.add_argument("--smoke", action="store_true", help="1000 calls, a kill after every 500")
    options = parser.parse_args()
    calls, kills = options.calls, Kills(options.every)
    if options.smoke:
        calls, kills = 1000, Kills(0.01, 500)
    found = run(options.clients, calls, kills, nodes=options.nodes)
    print(json.dumps(found, indent=2))
    return 1 if found["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
