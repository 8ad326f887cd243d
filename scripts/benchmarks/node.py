"""A whole node, from its exec until its first role runs."""

import contextlib
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks.births import ROOT, read_stamp, stamps
from scripts.benchmarks.figures import Figure, Goal, Row, Sizes, Skipped
from scripts.ports import free_port

WHAT = "exec of a node until its first role runs, alone, /29 of loopback"

_PATIENCE = 30.0

# The settings of examples/orchestra.toml, with a role that tells when it is up.
_APP = """\
[beethoven]
cluster_net = "127.0.0.0"
cluster_net_mask = 29
listener_port = {port}

[roles.stamped]
module = "scripts.benchmarks.roles:Stamped"
args = "{address}"
instances = 1
"""


def node(sizes: Sizes) -> list[Row]:
    """Measure `python -m beethoven run`."""
    for part in ("node/tree.py", "__main__.py"):
        if not (ROOT / "beethoven" / part).exists():
            return [Skipped("node", WHAT, f"there is no beethoven/{part} yet")]
    with tempfile.TemporaryDirectory(prefix="beethoven-bench-") as folder, stamps() as stream:
        _first_role(folder, stream)
        times = [_first_role(folder, stream) for _ in range(sizes.node_rounds)]
    median = statistics.median(times)
    goals = [Goal("at most 700 ms", median, 700.0)]
    return [Figure("node", WHAT, median, "ms", len(times), goals=goals)]


def _first_role(folder: str, stream: socket.socket) -> float:
    app = Path(folder, "app.toml")
    app.write_text(_APP.format(port=free_port(), address=stream.getsockname()))
    begin = time.monotonic_ns()
    with _running(app, folder) as process:
        while not select.select([stream], [], [], 0.1)[0]:
            is_late = time.monotonic_ns() - begin > _PATIENCE * 1e9
            if is_late or process.poll() is not None:
                log = Path(folder, "log").read_text("utf-8", "replace")
                raise RuntimeError(f"the node did not run its role; it said:\n{log}")
        return (read_stamp(stream) - begin) / 1_000_000


@contextlib.contextmanager
def _running(app: Path, folder: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": f"{folder}/cache",
        "BEETHOVEN_RUNTIME_DIR": f"{folder}/run",
        "XDG_CONFIG_HOME": f"{folder}/home",
        "XDG_STATE_HOME": f"{folder}/home",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "beethoven", "run", str(app)]
    with Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
