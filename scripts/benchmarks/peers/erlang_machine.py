"""Runs `echo_peer.erl` in one or two virtual machines, and speaks to it by lines of text."""

import os
import secrets
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from scripts.benchmarks.peers.peer import Missing, Peer
from scripts.benchmarks.peers.timing import Samples, warm_ups
from scripts.ports import free_port

_SOURCE = Path(__file__).parent / "echo_peer.erl"
_QUIET = ("-kernel", "logger_level", "none")


class Erlang(Peer):
    """
    A virtual machine with the clients; the server is there too, or in another one.

    Attributes:
        is_distributed: Whether it is in another one.
    """

    is_distributed: ClassVar[bool]

    def open(self, clients: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._machines: list[subprocess.Popen[str]] = []
        subprocess.run(["erlc", "-o", self._folder.name, str(_SOURCE)], check=True)
        if self.is_distributed:
            cookie = Path(self._folder.name, ".erlang.cookie")
            cookie.touch(0o600)
            cookie.write_text(secrets.token_hex(16))
            port = free_port()
            self._run("wait", *_listening("server", 2, port))
            self._machine = self._run("server@127.0.0.2", *_listening("clients", 1, port))
        else:
            self._machine = self._run("local")
        self._say("open", clients)

    def _run(self, role: str, *options: str) -> subprocess.Popen[str]:
        machine = subprocess.Popen(
            [
                "erl",
                "-noshell",
                *_QUIET,
                "-pa",
                self._folder.name,
                *options,
                "-run",
                "echo_peer",
                "main",
                role,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": self._folder.name, "ERL_CRASH_DUMP_SECONDS": "0"},
        )
        self._machines.append(machine)
        return machine

    def _say(self, *words: object) -> str:
        """Return the answer to an order."""
        assert self._machine.stdin is not None
        assert self._machine.stdout is not None
        print(*words, file=self._machine.stdin, flush=True)
        answer = self._machine.stdout.readline()
        if not answer:
            raise RuntimeError("the virtual machine has ended")
        return answer.strip()

    def prepare(self, size: int, clients: int) -> None:
        self._say("prepare", size, clients, warm_ups(size))

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        answer = self._say("echo", clients, count, int(seconds * 1000))
        found = [[int(number) for number in client.split()] for client in answer.split(";")]
        return [Samples(begin, end, taken) for begin, end, *taken in found]

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        return float(self._say("cast", len(payload), count, int(seconds * 1000)))

    def start(self) -> float:
        if self.is_distributed:
            raise Missing("as in one virtual machine")
        return int(self._say("start")) / 1e6

    def restart(self) -> float:
        if self.is_distributed:
            raise Missing("as in one virtual machine")
        return int(self._say("restart")) / 1e6

    def close(self) -> None:
        for machine in reversed(self._machines):
            assert machine.stdin is not None
            machine.stdin.close()
            try:
                machine.wait(5)
            except subprocess.TimeoutExpired:
                machine.kill()
                machine.wait()
            assert machine.stdout is not None
            machine.stdout.close()
        self._folder.cleanup()

    def version(self) -> str:
        ask = 'io:format("~s", [erlang:system_info(otp_release)]), halt().'
        command = ["erl", "-noshell", "-eval", ask]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _listening(name: str, place: int, port: int) -> list[str]:
    """Return the options of a node on loopback that finds the other one by the port of both."""
    return [
        *("-name", f"{name}@127.0.0.{place}"),
        *("-start_epmd", "false", "-erl_epmd_port", str(port)),
        *("-kernel", "inet_dist_use_interface", f"{{127,0,0,{place}}}"),
    ]
