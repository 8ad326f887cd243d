"""References to processes on other nodes."""

import pickle
from dataclasses import dataclass, field
from typing import Any, Final

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.dial import Answered, Unanswered
from beethoven.cluster.messages import Purpose
from beethoven.errors import NoProcess, Overloaded, ProcessExited, SpecError
from beethoven.remote.calling_state import LONGEST_DIAL
from beethoven.remote.sealed_connection import SealedConnection
from beethoven.remote.way import Way, arriving_way, way_from_here, why
from beethoven.runtime import connection, framing
from beethoven.runtime.here import here
from beethoven.runtime.line import Connection
from beethoven.runtime.reason import NORMAL, ExitReason, as_reason
from beethoven.runtime.reference import Ref, Reference, check_timeout
from beethoven.runtime.unixsocket import close_quietly

_GLANCE: Final = 2.0
_NO_WAY: Final = "this program is no part of a node; get a reference with connect().ref(...)"


class NodeSilent(NoProcess):
    """Its node has not answered for as long as it was dialled. It may be there, and busy."""


@dataclass(frozen=True, slots=True)
class RemoteRef(Reference):
    """
    A process on another node: one incarnation, or whichever has the role's name there.

    It may be sent to other processes of the cluster, and in replies to programs that have called
    by a connection, which it goes by there. There are no links and monitors across nodes.

    Attributes:
        node: The name of its node.
        node_id: Which boot of it.
        address: Where its beacon listens.
        purpose: Whether `target` is the name of a role, or the identity of a process.
        target: Which one.
        way: How this process gets there; by the node that it belongs to if None.
        dial: For how many seconds its node may be dialled, within the timeout of what is wanted.
    """

    node: str
    node_id: str
    address: str
    purpose: Purpose
    target: str
    way: Way | None = field(default=None, repr=False, compare=False)
    dial: float = field(default=LONGEST_DIAL, repr=False, compare=False)
    identity: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Connections are kept by it, and one that a way has opened ends with that way.
        key = "" if self.way is None else self.way.key
        identity = f"{key}{self.node_id}/{self.purpose}/{self.target}"
        object.__setattr__(self, "identity", identity)

    def __str__(self) -> str:
        return f"{self.target} on {self.node}"

    def __reduce__(self) -> tuple[Any, ...]:
        # The way is this process's own, and may know a secret.
        return _arrived, (self.node, self.node_id, self.address, self.purpose, self.target)

    def connect(self, timeout: float | None) -> Connection:
        """Open a connection to it; see `line.Target`."""
        way = self.way or way_from_here()
        if way is None:
            raise NoProcess(target=str(self), cause=_NO_WAY)
        way.check_open()
        if self.node == way.node:
            line = self._near(way).connect(timeout)
            way.opened(line)
            return line
        deadline = None if timeout is None else clock.monotonic() + timeout
        limit = self.dial if timeout is None else min(timeout, self.dial)
        dialled_at = clock.elapsed()
        result = way.dial(Address.parse(self.address), self.purpose, self.target, limit)
        if not isinstance(result, Answered):
            kind = NodeSilent if isinstance(result, Unanswered) else NoProcess
            raise kind(target=str(self), cause=f"{self.address} {why(result)}")
        is_other = result.established.peer.node_id != self.node_id
        if is_other and self.purpose is Purpose.PROCESS:
            result.stream.close()
            raise NoProcess(target=str(self), cause="its node has booted anew")
        line = SealedConnection(result.stream, result.established, dialled_at)
        try:
            way.opened(line)
            left = None if deadline is None else max(0.0, deadline - clock.monotonic())
            line.wait_welcome(self, left)
        except BaseException:
            close_quietly(line.stream)
            raise
        return line

    def _near(self, way: Way) -> Ref:
        """Return the process, which is on the node of this machine."""
        found = way.local(self.target) if self.purpose is Purpose.ROLE else way.process(self.target)
        if found is None:
            raise NoProcess(target=str(self))
        return found

    def death(self, timeout: float) -> ExitReason | None:
        """Return None: only its own node knows why it has ended."""
        return None

    def stop(self, reason: object = NORMAL, timeout: float | None = None) -> None:
        """
        End the process with a reason, and return when it has said that it ends.

        Args:
            reason: As for `Ref.stop`.
            timeout: Seconds; None waits for ever.

        Raises:
            NoProcess: It is gone already.
            CallTimeout: It still lives; it goes on terminating.
            ProcessExited: It ended for another reason.
        """
        check_timeout(timeout, self)
        wanted = as_reason(reason)
        try:
            connection.request(self, framing.STOP, pickle.dumps(wanted, 5), timeout)
        except ProcessExited as exited:
            if exited.reason != wanted:
                raise

    def exit(self, reason: object) -> None:
        """
        Send the process an exit signal; see `Ref.exit`.

        Raises:
            SpecError: The reason is "kill", which reaches processes of this machine only.
        """
        if isinstance(reason, str) and reason == "kill":
            rule = "one that it can hear; only its own node can kill it"
            raise SpecError(subject=str(self), field="reason", expected=rule, got=reason)
        inhabitant = here.process
        own = Ref("", "") if inhabitant is None else inhabitant.ref
        connection.post(self, framing.EXIT_SIGNAL, pickle.dumps((own, as_reason(reason)), 5))

    def is_alive(self, timeout: float = _GLANCE) -> bool:
        """Whether its node can be reached within `timeout` seconds, and has the process."""
        try:
            return connection.reaches(self, timeout)
        except Overloaded:
            # It is there, and busy.
            return True


def _arrived(node: str, node_id: str, address: str, purpose: Purpose, target: str) -> RemoteRef:
    """Return a reference that comes from another process."""
    return RemoteRef(node, node_id, address, purpose, target, arriving_way())
