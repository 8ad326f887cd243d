"""Searches of networks, in network namespaces that nothing leads out of."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil

from scripts.benchmarks.cluster import ClusterSizes, row
from scripts.benchmarks.figures import Goal, Row, Skipped
from scripts.benchmarks.stage import Stage, staged

# A private range, in which nobody is but the node itself.
_NET = "10.83.0.0"
_OWN = "10.83.0.1"
# What is sent goes down a cable at whose end nobody looks; no neighbour is asked for first.
_SILENCE = (
    "ip link set lo up",
    "ip link add quiet type veth peer name end",
    "ip link set quiet arp off",
    "ip link set end up",
    "ip link set quiet up",
    "ip addr add {own}/{mask} dev quiet",
)
_LOOPBACK = ("ip link set lo up",)
_PATIENCE = 400.0
# See `search_pace`: 256 in a second where the table has its default size.
_PACED: Final = "as fast as the kernel's table of neighbours allows"


def inside(*commands: str) -> list[str]:
    """Return what has the words after it run in a new namespace, after these commands."""
    script = " && ".join((*commands, 'exec "$@"'))
    return ["unshare", "--net", "sh", "-c", script, "sh"]


def why_not() -> str | None:
    """Return why there can be no network namespaces here; `None` if there can."""
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            return f"it needs the program {program}"
    commands = [each.format(own=_OWN, mask=24) for each in _SILENCE]
    done = subprocess.run([*inside(*commands), "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        problem = (done.stderr.strip() or "unshare failed").splitlines()[0]
        return f"no network namespace can be made here: {problem}"
    return None


def scan(sizes: ClusterSizes) -> list[Row]:
    """Measure how long a search takes in which nobody answers, or all addresses refuse."""
    silent, wide = "search of a silent /24, from first to last", "search of a silent /16"
    refusing = "search of 127.0.0.0/16, where every address refuses"
    rows: list[Row] = []
    if (reason := why_not()) is not None:
        rows += [Skipped("scan_24", silent, reason), Skipped("scan_16", wide, reason)]
    else:
        found = [_search(_NET, 24, is_silent=True) for _ in range(min(sizes.rounds, 3))]
        against = {"upstream": 190.0}
        seconds = [each for each, _ in found]
        rows.append(row("scan_24", silent, seconds, unit="s", limit=1.5, against=against))
        if sizes.is_wide:
            rows.append(_costly("scan_16", wide, _NET, is_silent=True, upstream=13.7 * 3600))
        else:
            rows.append(Skipped("scan_16", wide, "takes minutes; asked for with --wide"))
    if sizes.is_whole:
        rows.append(_costly("scan_refusing", refusing, "127.0.0.0", is_silent=False, upstream=19.3))
    else:
        rows.append(Skipped("scan_refusing", refusing, "a smoke run"))
    return rows


def _costly(key: str, what: str, net: str, *, is_silent: bool, upstream: float) -> Row:
    seconds, cpu = _search(net, 16, is_silent=is_silent)
    share = cpu / seconds * 100
    figure = row(key, what, [seconds], unit="s", against={"upstream": upstream})
    goals = [
        Goal("at most 60 s", seconds, 60.0),
        Goal("locator at most 50 % of a core", share, 50.0),
    ]
    return replace(figure, goals=goals, note=_PACED if is_silent else "")


def _search(net: str, mask: int, *, is_silent: bool) -> tuple[float, float]:
    """Return how long a node's first search takes, and the CPU seconds of its locator."""
    commands: Sequence[str] = ()
    if is_silent:
        commands = inside(*(each.format(own=_OWN, mask=mask) for each in _SILENCE))
    with staged({"solo": 1}, net=net, mask=mask, before=commands) as stage:
        player = stage.start("one")
        stage.wait(lambda: player.events("searched"), _PATIENCE)
        line = player.events("searched")[0]
        times = psutil.Process(line["pid"]).cpu_times()
        return line["seconds"], times.user + times.system


def idle(sizes: ClusterSizes) -> list[Row]:
    """Measure what nodes with nothing to do send, and what CPU and memory they take."""
    rows: list[Row] = []
    reason = why_not()
    for count in sizes.crowds:
        if reason is None:
            rows += _idle(count, sizes.idle_seconds)
        else:
            rows.append(Skipped(f"idle_{count}", f"{count} idle nodes", reason))
    return [_memory(), *rows]


def _idle(count: int, seconds: float) -> list[Row]:
    """
    Watch a cluster in a namespace of its own, whose loopback carries nothing else.

    So its counter has every byte of every packet, headers, acknowledgements and searches too.
    """
    command = inside(*_LOOPBACK, "echo ready")
    with subprocess.Popen(
        [*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        enter = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        with staged({"solo": 1}, mask=27, before=enter) as stage:
            names = [f"n{number}" for number in range(count)]
            for name in names:
                stage.start(name)
            stage.wait_linked(*names)
            stage.rest(min(seconds, 10.0))
            sent, cpu = _watch(stage, holder.pid, seconds)
    what = f"an idle node among {count}"
    return [
        row(f"idle_bytes_{count}", f"{what}: bytes sent each second", [sent / count], unit="B/s"),
        row(f"idle_cpu_{count}", f"{what}: CPU", [cpu / count], unit="% of a core"),
    ]


def _watch(stage: Stage, pid: int, seconds: float) -> tuple[float, float]:
    """Return how many bytes all nodes send in a second, and their CPU, in percent of a core."""
    processes = [each for player in stage.players.values() for each in player.processes()]
    begun, sent, cpu = time.monotonic(), _sent(pid), sum(map(_cpu, processes))
    stage.rest(seconds)
    took = time.monotonic() - begun
    return (_sent(pid) - sent) / took, (sum(map(_cpu, processes)) - cpu) / took * 100


def _sent(pid: int) -> int:
    """Return how many bytes have gone through the loopback of a process's namespace."""
    with Path(f"/proc/{pid}/net/dev").open(encoding="ascii") as table:
        line = next(line for line in table if line.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[0])


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory() -> Row:
    """Measure the processes of a node that is alone, without its role."""
    with staged({"solo": 1}) as stage:
        player = stage.start("one")
        stage.wait(lambda: stage.running)
        stage.rest(3.0)
        shares = [each.memory_full_info().pss / 1e6 for each in player.own_processes()]
    what = f"memory of a node's own {len(shares)} processes, idle, alone (PSS)"
    return row("node_memory", what, [sum(shares)], unit="MB", against={"upstream, RSS": 62.9})
