"""
What is visited, and what it can be told to do there.

Children import this module, so it imports little.
"""

import contextlib
import os
import resource
from pathlib import Path
from typing import Any

from beethoven import Caller, NoReply, Role, cast, log
from beethoven.cluster.directory import Directory, NodeEntry
from tests.integration.roles import Puppet


class LoggedPuppet(Puppet):
    """A puppet that writes its log, debug lines included, to a file."""

    def init(self, args: str) -> None:
        stream = Path(args).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as we live
        log.send_to(stream, level="debug")
        super().init(None)


def use_up_descriptors(role: Puppet, spare: int) -> None:
    """Leave room for so many more descriptors, no more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    role.kept = []
    with contextlib.suppress(OSError):
        while True:
            role.kept.append(os.open(os.devnull, os.O_RDONLY))
    for _ in range(spare):
        os.close(role.kept.pop())


def free_descriptors(role: Puppet) -> None:
    while role.kept:
        os.close(role.kept.pop())


class Directing(Role):
    """A core server that tells a directory of so many nodes; none at all if there are less."""

    def init(self, args: int) -> None:
        self.nodes = args
        self.asked = 0

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request == "asked":
            return self.asked
        assert request == "directory"
        self.asked += 1
        if self.nodes < 0:
            return NoReply
        names = range(self.nodes)
        return Directory(tuple(NodeEntry(f"id-{n}", f"node-{n}", "127.0.0.1:1") for n in names))


def callers(role: Puppet) -> int:
    """Return how many callers the process has."""
    return len(role._process._clients)


def pass_on(role: Puppet, other: str) -> Any:
    """Let another process answer."""
    cast(other, (answer_for, role.caller))
    return NoReply


def answer_for(role: Puppet, caller: Caller) -> None:
    role.reply(caller, f"from {role.ref.name}")


def name_of_caller(role: Puppet) -> tuple[int, str]:
    return role.caller.pid, repr(role.caller.client)
