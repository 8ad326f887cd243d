"""Two nodes on loopback for experiments: one has a role, by the other one it is spoken to."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from beethoven import Ref, clock
from beethoven.errors import BeethovenError
from beethoven.node.control import NodeClient
from scripts.ports import free_port

HOST: Final = "host"
VISITOR: Final = "visitor"

_ROOT: Final = Path(__file__).resolve().parent.parent
_PATIENCE: Final = 30.0

_APP: Final = """\
[beethoven]
cluster_net = "127.0.0.0"
cluster_net_mask = 29
listener_port = {port}
cookie_file = "{cookie}"
rebalance = false
"""

_ROLE: Final = """
[roles.{name}]
module = "{module}"
args = {args}
max_restarts = 1000000
"""


@contextlib.contextmanager
def pair(name: str, module: str, args: str = "") -> Iterator[None]:
    """
    Run the node `HOST`, which has a role, and the node `VISITOR`, which has none, until the end.

    Meanwhile `beethoven.connect` finds them by these names.

    Args:
        name: That of the role.
        module: Where its class is: "module:Class".
        args: What its `init` gets.
    """
    # The address of a socket has little room.
    with tempfile.TemporaryDirectory(prefix="pair", dir="/tmp") as folder, _here(folder):
        cookie = Path(folder, "cookie")
        cookie.touch(0o600)
        cookie.write_text(secrets.token_hex(32))
        app = _APP.format(port=free_port(), cookie=cookie)
        role = _ROLE.format(name=name, module=module, args=json.dumps(args))
        with _node(folder, HOST, app + role) as host, _node(folder, VISITOR, app) as visitor:
            _await_both(host, visitor, name)
            yield


def holder(role: str) -> Ref | None:
    """Return the process of a role on the node that has it; None if there is none now."""
    try:
        return NodeClient.find(HOST).process(role)
    except BeethovenError:
        return None


def _is_met(node: str) -> bool:
    try:
        members = NodeClient.find(node).status()["members"]
    except BeethovenError:
        return False
    return [member["state"] for member in members] == ["alive", "alive"]


@contextlib.contextmanager
def _here(folder: str) -> Iterator[None]:
    """Have the nodes, and whoever looks for them, use a folder."""
    changed = {
        "BEETHOVEN_RUNTIME_DIR": f"{folder}/run",
        "XDG_CONFIG_HOME": f"{folder}/home",
        "XDG_STATE_HOME": f"{folder}/home",
        "PYTHONPATH": str(_ROOT),
    }
    before = {key: os.environ.get(key) for key in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextlib.contextmanager
def _node(folder: str, name: str, text: str) -> Iterator["subprocess.Popen[bytes]"]:
    app, log = Path(folder, f"{name}.toml"), Path(folder, f"{name}.log")
    app.write_text(text)
    command = [sys.executable, "-m", "beethoven", "run", str(app), "--name", name]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=_ROOT)
    try:
        yield process
    except BaseException:
        print(f"{name} said:\n{log.read_text('utf-8', 'replace')[-3000:]}", file=sys.stderr)
        raise
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_both(
    host: "subprocess.Popen[bytes]", visitor: "subprocess.Popen[bytes]", role: str
) -> None:
    deadline = clock.monotonic() + _PATIENCE
    while not (_is_met(HOST) and _is_met(VISITOR) and holder(role)):
        if host.poll() is not None or visitor.poll() is not None:
            raise RuntimeError("a node has ended before the two have met")
        if clock.monotonic() > deadline:
            raise TimeoutError(f"the two nodes have not met within {_PATIENCE} s")
        threading.Event().wait(0.02)
