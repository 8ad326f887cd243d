"""A peer at work: its program, told what to do, and ended with all that it has started."""

import contextlib
import json
import os
import secrets
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import psutil

from scripts.benchmarks.births import ROOT
from scripts.benchmarks.peers import environments
from scripts.benchmarks.peers.catalogue import Entry

_TOKEN: Final = "BEETHOVEN_BENCH_PEER"
_PATIENCE: Final = 15.0


class Running:
    """
    The worker of a peer.

    Args:
        entry: Which peer.
        python: The interpreter of its environment.

    Attributes:
        left: What it had not ended itself when it was closed, for people.
    """

    def __init__(self, entry: Entry, python: str) -> None:
        # The address of a socket has little room.
        self._folder = tempfile.mkdtemp(prefix="bp", dir="/tmp")
        self._environ = _environ(self._folder)
        self._said = Path(self._folder, "said").open("w+b")  # noqa: SIM115 - it is read at the end
        module = "scripts.benchmarks.peers.worker"
        self._process = subprocess.Popen(
            [*environments.isolation(), python, "-m", module, entry.key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            cwd=ROOT,
            env=self._environ,
            start_new_session=True,
        )
        self._network = ""
        self._rest = b""
        self._is_given_up = False
        self.left: list[str] = []

    def __enter__(self) -> Self:
        return self

    def ask(self, order: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Return the answer to an order; that it did not come in time, or at all, is one too."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            line = self._line(timeout)
        except TimeoutError as error:
            # Its answer might come later, in place of another.
            self._process.kill()
            self._is_given_up = True
            return {"failed": str(error)}
        except (EOFError, BrokenPipeError):
            return {"failed": "it has ended"}
        answer: dict[str, Any] = json.loads(line)
        self._network = self._network or _network(self._process.pid)
        return answer

    def _line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError(f"no answer within {timeout:.0f} s")
            read = os.read(descriptor, 65536)
            if not read:
                raise EOFError("it has ended")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.left.append("the worker")
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._end_strays()
        self._said.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end_strays(self) -> None:
        """Kill what the peer has left behind."""
        deadline = time.monotonic() + _PATIENCE
        found = psutil.wait_procs(self._strays(), timeout=2)[1]
        while found and time.monotonic() < deadline:
            for each in found:
                with contextlib.suppress(psutil.Error):
                    if not self._is_given_up:
                        self.left.append(f"{each.name()} ({each.pid})")
                    each.kill()
            psutil.wait_procs(found, timeout=1)
            found = self._strays()

    def _strays(self) -> list[psutil.Process]:
        own = _network(os.getpid())
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = process.environ().get(_TOKEN) == self._environ[_TOKEN]
                # A program that writes its own title may have written it over its environment.
                is_there = self._network not in {"", own} and _network(process.pid) == self._network
                if (is_ours or is_there) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def said(self) -> str:
        """Return the end of what it has written to its errors; before it is closed."""
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace")[-2000:]


def _network(pid: int) -> str:
    """Return which network a process is in; empty if nobody knows."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _environ(folder: str) -> dict[str, str]:
    environ = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **environ,
        _TOKEN: secrets.token_hex(8),
        "HOME": folder,
        "TMPDIR": folder,
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(environments.folder() / "bytecode"),
        "BEETHOVEN_RUNTIME_DIR": f"{folder}/run",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
