"""
Callers: who has made a call, and how it is answered later, also by another process.

Only the process that was called has the connection to the caller. Any other one of its tree sends
the reply to that process, which passes it on unread.
"""

from dataclasses import dataclass
from typing import Any

from beethoven.errors import SpecError
from beethoven.runtime.client import Client, DistantClient


@dataclass(unsafe_hash=True, slots=True)
class Caller:
    """Who made a call; hand it to `reply` to answer later. Any process of the tree may answer."""

    client: Client | DistantClient
    number: int

    @property
    def pid(self) -> int:
        """The system's number of the calling process; negative for one on another node."""
        return self.client.pid


def reply(caller: Caller, value: Any) -> None:
    """
    Answer a call for which `handle_call` returned `NoReply`.

    Nothing happens if the caller is gone or waits no more, if it has got an answer already, or if
    the process that it called has ended. That process passes on what another one replies, as soon
    as its callback has returned.

    Args:
        caller: Who is to get the reply.
        value: Any value that can be pickled; else the caller gets `ReplyNotPicklable`.

    Raises:
        Overloaded: The process that was called takes no messages.
        SpecError: `caller` is none.
    """
    if not isinstance(caller, Caller):
        rule = "the Caller that handle_call was given"
        raise SpecError(subject="reply", field="caller", expected=rule, got=caller)
    caller.client.reply(caller.number, value)
