"""
Every exception of Beethoven, as one tree.

```text
BeethovenError
├─ SpecError                   yours: a child specification, option or setting is wrong
│  └─ ConfigError              a configuration file is wrong; carries every problem found
├─ MainNotGuarded              yours: the main script starts processes when it is imported
├─ ProcessError                one process or one message to it
│  ├─ StartError
│  │  ├─ StartFailed           the process ended before its `init` returned
│  │  ├─ StartTimeout          `init` took longer than allowed; the process was killed
│  │  ├─ StartIgnored          `init` returned `Ignore`
│  │  └─ AlreadyStarted        the name is held by a living process
│  ├─ RegistryError
│  │  ├─ AlreadyRegistered     the key is unique, and a living process has it
│  │  └─ NotRegistered         the process has no such key
│  └─ CallError
│     ├─ NoProcess             nobody lives at that name or reference
│     ├─ CallTimeout           no reply in time; the request may still be executed
│     │  └─ TaskTimeout        no result of a task in time, or none at all any more
│     ├─ ProcessExited         the process ended before it replied
│     ├─ CallingSelf           a process called itself
│     ├─ RequestRefused        the request could not be read on the other side
│     ├─ ReplyNotPicklable     the reply could not be sent back
│     ├─ NotOwner              somebody else has asked, and only they may wait for the answer
│     ├─ NoRequests            the collection has no request to wait for
│     ├─ StateNotReplaced      the function of a `replace_state` failed; the state is as it was
│     └─ Overloaded            the receiver did not drain its messages in time
├─ SupervisionError            a management call that the supervisor refused
│  ├─ ChildNotFound, ChildRunning, ChildRestarting, ChildAlreadyPresent, ChildStartFailed
│  └─ MaxChildren, NoPartitions
├─ ClusterError                another node, or the way to it
│  ├─ WireError                what arrived is not what a node of this cluster sends
│  └─ HandshakeRefused         the two nodes do not belong together
└─ NodeError                   the node as a whole
   ├─ AlreadyRunning           a node of that name runs
   ├─ AddressTaken             others listen where the node was to listen
   ├─ NoAddress                there is no address that the node could listen on
   ├─ NodeNotFound             no such node runs
   └─ RoleNotRunning           the node has no such role, or it does not run there
```

Every error survives `pickle`, because every error may cross a process boundary.
"""

from typing import Any


def _rebuild(cls: type["BeethovenError"], state: dict[str, Any]) -> "BeethovenError":
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, state["message"])
    return error


class BeethovenError(Exception):
    """The base of every error that Beethoven raises."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__)


class SpecError(BeethovenError):
    """
    A child specification, an option or a setting is wrong.

    The message reads `child 'name': expected <field> to be <rule>, got: <value>`.
    """

    def __init__(self, *, subject: str, field: str, expected: str, got: object) -> None:
        super().__init__(f"{subject}: expected {field} to be {expected}, got: {got!r}")
        self.subject = subject
        self.field = field
        self.expected = expected


class ConfigError(BeethovenError):
    """A configuration file is wrong. `problems` holds every problem found, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class MainNotGuarded(BeethovenError):
    """The main script starts processes while it is imported for one of them; has the fix."""

    def __init__(self) -> None:
        super().__init__(
            "the main script starts a process while it is being imported, because the new process "
            "needs a class that is defined in it. Put the part that starts things under a guard:\n"
            "\n"
            '    if __name__ == "__main__":\n'
            "        with Supervisor.start_link(...) as tree:\n"
            "            tree.wait()"
        )


class ProcessError(BeethovenError):
    """The base of errors about one process."""


class StartError(ProcessError):
    """The base of reasons why a process did not start."""


class StartFailed(StartError):
    """
    The process ended before its `init` returned, and not by an exception that could be raised here.

    `reason` is the `ExitReason`.
    """

    def __init__(self, *, process: str, reason: Any) -> None:
        text = getattr(reason, "traceback", "") or ""
        super().__init__(f"{process}: could not start: {reason}" + (f"\n{text}" if text else ""))
        self.process = process
        self.reason = reason


class StartTimeout(StartError):
    """`init` took longer than the start timeout allows; the process was killed."""

    def __init__(self, *, process: str, timeout: float) -> None:
        super().__init__(f"{process}: expected init to return within {timeout:g} s; it was killed")
        self.process = process
        self.timeout = timeout


class StartIgnored(StartError):
    """`init` returned `Ignore`: the process did not want to start, which is no failure."""

    def __init__(self, *, process: str) -> None:
        super().__init__(f"{process}: init returned Ignore")
        self.process = process


class AlreadyStarted(StartError):
    """The name is held by a living process. `holder` is its reference."""

    def __init__(self, *, name: Any, holder: Any) -> None:
        super().__init__(f"the name {name!r} is held by a living process: {holder!r}")
        self.name = name
        self.holder = holder


class RegistryError(ProcessError):
    """The base of what a registry refuses."""


class AlreadyRegistered(RegistryError):
    """The key is unique, and a living process has it. `holder` is its reference."""

    def __init__(self, *, registry: str, key: Any, holder: Any) -> None:
        super().__init__(f"registry {registry!r}: the key {key!r} is held by {holder!r}")
        self.holder = holder


class NotRegistered(RegistryError):
    """The process is not registered under that key."""

    def __init__(self, *, registry: str, key: Any) -> None:
        super().__init__(f"registry {registry!r}: this process does not hold the key {key!r}")


class CallError(ProcessError):
    """The base of reasons why a call brought no reply, or a cast could not be handed over."""


class NoProcess(CallError):
    """Nobody lives at that name or reference."""

    def __init__(self, *, target: str) -> None:
        super().__init__(f"no process: {target}")
        self.target = target


class CallTimeout(CallError):
    """
    No reply arrived in time.

    A timeout cancels nothing: the request may still be executed. Its late reply is dropped.
    """

    def __init__(self, *, target: str, timeout: float) -> None:
        super().__init__(f"{target}: no reply within {timeout:g} s")
        self.target = target
        self.timeout = timeout


class TaskTimeout(CallTimeout):
    """
    No result of a task arrived in time.

    It is dropped if it comes later. Of a task whose result has been taken, or given up, none comes.
    """

    def __init__(self, *, target: str, timeout: float, is_over: bool = False) -> None:
        why = "its result has been taken or given up" if is_over else f"no result in {timeout:g} s"
        ProcessError.__init__(self, f"task {target}: {why}")
        self.target = target
        self.timeout = timeout


class ProcessExited(CallError):
    """The process ended before it replied. `reason` is its `ExitReason`."""

    def __init__(self, *, target: str, reason: Any) -> None:
        text = getattr(reason, "traceback", "") or ""
        super().__init__(f"{target}: exited: {reason}" + (f"\n{text}" if text else ""))
        self.target = target
        self.reason = reason


class CallingSelf(CallError):
    """A process called itself, which could only end in a timeout."""

    def __init__(self, *, target: str) -> None:
        super().__init__(f"{target}: a process cannot call itself")
        self.target = target


class RequestRefused(CallError):
    """The request arrived, but could not be read there, or is not for such a process."""

    def __init__(self, *, target: str, cause: str) -> None:
        super().__init__(f"{target}: the request was refused: {cause}")
        self.target = target
        self.cause = cause


class ReplyNotPicklable(CallError):
    """The process replied with a value that cannot be sent."""

    def __init__(self, *, target: str, type_name: str, cause: str) -> None:
        super().__init__(
            f"{target}: expected a reply that can be pickled, got: {type_name}: {cause}"
        )
        self.target = target


class StateNotReplaced(CallError):
    """The function given to `replace_state` failed: the state is as it was."""

    def __init__(self, *, target: str, cause: str, traceback: str = "") -> None:
        super().__init__(f"{target}: the state is not replaced: {cause}\n{traceback}".rstrip())
        self.target = target
        self.cause = cause


class NotOwner(CallError):
    """Who waits for an answer must be who has asked: `owner`, and not `user`."""

    def __init__(self, *, what: str, owner: str, user: str) -> None:
        super().__init__(f"{what}: expected to be used by its owner, {owner}, got: {user}")
        self.owner, self.user = owner, user


class NoRequests(CallError):
    """The collection has no request to wait for."""

    def __init__(self) -> None:
        super().__init__("expected a collection with at least one request, got: an empty one")


class Overloaded(CallError):
    """The receiver did not drain its messages in time; this message was not handed over."""

    def __init__(self, *, target: str, timeout: float) -> None:
        super().__init__(f"{target}: did not take the message within {timeout:g} s")
        self.target = target
        self.timeout = timeout


class SupervisionError(BeethovenError):
    """The base of management calls that a supervisor refused."""


class ChildNotFound(SupervisionError):
    """The supervisor has no such child."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"no child {child}")
        self.child = child


class ChildRunning(SupervisionError):
    """The child runs, so it cannot be restarted or deleted by hand."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"child {child} is running")
        self.child = child


class ChildRestarting(SupervisionError):
    """The supervisor is restarting the child."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"child {child} is restarting")
        self.child = child


class ChildAlreadyPresent(SupervisionError):
    """A child of that id is specified already, but does not run. `restart_child` starts it."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"child {child} is already present")
        self.child = child


class ChildStartFailed(SupervisionError):
    """
    A child did not start. `reason` is the `ExitReason`.

    `cause` is the pickled `AlreadyStarted`, if a name was taken.
    """

    cause: bytes = b""

    def __init__(self, *, child: str, reason: Any) -> None:
        text = getattr(reason, "traceback", "") or ""
        super().__init__(f"child {child} could not start: {reason}" + (f"\n{text}" if text else ""))
        self.child = child
        self.reason = reason


class MaxChildren(SupervisionError):
    """The dynamic supervisor has as many children as it may have."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"expected at most {limit} children")
        self.limit = limit


class NoPartitions(SupervisionError):
    """A partition supervisor has been resized to 0: no key belongs anywhere."""

    def __init__(self, *, supervisor: str) -> None:
        super().__init__(f"partition supervisor {supervisor!r} has no partitions; resize it first")
        self.supervisor = supervisor


class ClusterError(BeethovenError):
    """The base of errors about another node, or about the way to it."""


class WireError(ClusterError):
    """What arrived is not what a node of this cluster sends; the link it came on is of no use."""


class HandshakeRefused(ClusterError):
    """
    Two nodes do not belong together.

    `code` is a `RefusalCode`, `text` the line for this node's log.
    """

    def __init__(self, *, code: str, text: str) -> None:
        super().__init__(f"handshake refused: {code}: {text}")
        self.code = code
        self.text = text


class NodeError(BeethovenError):
    """The base of errors about a whole node."""


class AlreadyRunning(NodeError):
    """A node of that name runs on this machine, under this user."""

    def __init__(self, *, name: str, pid: int) -> None:
        # One that has just begun has not said its pid yet.
        super().__init__(
            f"a node named {name!r} is already running"
            + (f", pid {pid}" if pid else "")
            + "; to run another one beside it, give it a name with --name"
        )
        self.name = name
        self.pid = pid


class AddressTaken(NodeError):
    """Others listen on every address that the node may have."""


class NoAddress(NodeError):
    """This machine has no address that the node may have, or does not let it listen there."""


class NodeNotFound(NodeError):
    """No such node runs on this machine under this user, or several do and none was named."""


class RoleNotRunning(NodeError):
    """The node has no such role, or has it and it does not run there."""
