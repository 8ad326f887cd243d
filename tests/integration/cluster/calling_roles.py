"""Roles for tests of calls across nodes."""

import asyncio
import os
import signal
import threading
from pathlib import Path

from beethoven import Answer, Role, multi_call, send_request
from beethoven.errors import BeethovenError


def outcome(function):
    """Return what a function returns, or the name and the text of its error."""
    try:
        return function()
    except BeethovenError as error:
        return f"{type(error).__name__}: {error}"


class Clerk(Role):
    """Answers, is busy, writes down, calls others, and dies, as it is asked to."""

    def init(self, args):
        self.args = args
        self.answers = []

    def handle_call(self, request, caller):
        match request:
            case "where":
                return self.node.name
            case "pid":
                return os.getpid()
            case ("echo", value):
                return value
            case ("length", value):
                return len(value)
            case ("sleep", seconds):
                threading.Event().wait(seconds)
                return self.node.name
            case ("write", text):
                self.write(text)
                return self.node.name
            case ("call", role, what, options):
                return outcome(lambda: self.node.call(role, what, **options))
            case ("call all", role):
                replies, errors = self.node.multi_call(role, "where")
                return replies, {node: type(each).__name__ for node, each in errors.items()}
            case ("cast", role, what):
                return self.node.cast(role, what)
            case ("everything", role):
                return self.everything(role)
            case "answers":
                return self.answers
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError(f"unexpected: {request!r}")

    def everything(self, role):
        """Speak to an instance elsewhere in all ways in which a process can be spoken to."""
        ref = self.node.ref(role)
        self.send_request(ref, "where", label="mine")
        ref.send(("note", "sent"))
        ref.cast(("note", "cast"))
        reply = send_request(ref, "where").receive_response(5)
        replies, errors = multi_call([ref], "where")
        return [ref.call("where"), reply, list(replies.values()), len(errors), ref.is_alive()]

    def handle_cast(self, request):
        match request:
            case ("note", value):
                self.answers.append(value)
            case ("write", text):
                self.write(text)

    def handle_info(self, message):
        match message:
            case Answer(label, response):
                self.answers.append((label, response.unwrap()))
            case ("note", value):
                self.answers.append(value)

    def write(self, text):
        with Path(self.args["file"]).open("a") as file:
            file.write(f"{text}\n")


class AsyncClerk(Clerk):
    """Calls others with `await`."""

    async def handle_call(self, request, caller):
        match request:
            case ("gather", role, what, count):
                calls = (self.node.call_async(role, what, 20) for _ in range(count))
                return await asyncio.gather(*calls)
            case ("all", role, what):
                replies, errors = await self.node.call_async(role, what, to="all")
                return [replies, {node: type(error).__name__ for node, error in errors.items()}]
        return super().handle_call(request, caller)
