"""Roles for tests of their life in a cluster."""

import json
from pathlib import Path

from beethoven import NodeDown, NodeLeft, NodeUp, Role


class Diarist(Role):
    """Writes what it is told into a file, one line each."""

    watches_nodes = True

    def init(self, args):
        self.path = Path(args["folder"], f"{self.context.role}-{self.context.node}")
        self.write("context", slot=self.context.slot, token=list(self.context.token))
        self.write("members", names=[member.name for member in self.node.members()])

    def write(self, event, **fields):
        with self.path.open("a") as file:
            file.write(json.dumps({"event": event, **fields}) + "\n")

    def handle_info(self, message):
        match message:
            case NodeUp(member):
                self.write("up", name=member.name)
            case NodeDown(member, cause):
                self.write("down", name=member.name, cause=str(cause))
            case NodeLeft(member):
                self.write("left", name=member.name)

    def handle_call(self, request, caller):
        if request == "slot":
            return self.context.slot
        if request == "allocate":
            return self.node.allocate()
        return [each["name"] for each in self.node.allocation_list()]


class Tally(Role):
    """Counts, and takes its count along when it moves."""

    def init(self, args):
        self.count = 0

    def handle_call(self, request, caller):
        if request == "count":
            self.count += 1
        return self.count

    def snapshot(self):
        return {"count": self.count}

    def restore(self, state):
        self.count = state["count"]


class AsyncTally(Tally):
    async def init(self, args):
        self.count = 0
