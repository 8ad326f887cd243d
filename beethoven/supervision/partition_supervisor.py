"""
`PartitionSupervisor`: several copies of one child, and keys that say which copy to speak to.

Semantics are those of Elixir's `PartitionSupervisor`. Whoever looks a partition up asks nobody: the
supervisor publishes how many there are, and each partition is registered as `NAME/NUMBER`.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from beethoven.errors import NoPartitions, NoProcess
from beethoven.runtime import kernel, names, published, start
from beethoven.runtime.here import here
from beethoven.runtime.process import Process
from beethoven.runtime.reason import NORMAL, ExitReason
from beethoven.runtime.reference import Name, Ref, Target, resolve
from beethoven.runtime.via import Via
from beethoven.supervision.checks import check_count, refuse
from beethoven.supervision.child_spec import ChildSpec, SupervisorFlags, validate_tree
from beethoven.supervision.events import ChildCounts
from beethoven.supervision.listing import ChildEntry
from beethoven.supervision.partition_runner import PartitionRunner
from beethoven.supervision.routing import route
from beethoven.supervision.sealing import seal
from beethoven.supervision.supervisor import Supervisor, SupervisorRef
from beethoven.supervision.supervisor_state import SupervisorState
from beethoven.vocabulary import ChildType, Strategy

SUBJECT = "partition supervisor"

WithArguments = Callable[[Any, int], Any]
_Args = tuple[SupervisorFlags, tuple[ChildSpec, ...]]


class PartitionSupervisor:
    """
    A static supervisor whose children are copies of one specification, the partitions.

    Their ids are "0", "1" and so on. Everything but the start takes the supervisor's name, from
    any process of the tree.
    """

    child_type: ClassVar[ChildType] = ChildType.SUPERVISOR
    are_args = staticmethod(Supervisor.are_args)

    @classmethod
    def start_link(
        cls,
        child_spec: ChildSpec,
        *,
        name: Name,
        partitions: int | None = None,
        with_arguments: WithArguments | None = None,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
    ) -> SupervisorRef:
        """
        Start the partitions, and return when all of them are up.

        Args:
            child_spec: What each partition is; its id is replaced by the partition's number.
            name: Name of the supervisor, a text or a `Via`.
            partitions: How many; None for one for each core.
            with_arguments: Called here with the args of the specification and the number of a
                partition; returns the args of that partition. None gives all of them the same.
            strategy: See `Supervisor.start_link`, like the rest.
            max_restarts: Restarts allowed within `max_seconds`; one more ends the supervisor.
            max_seconds: The window, in seconds.

        Raises:
            SpecError: Something is wrong; nothing was started.
            StartFailed: A partition did not start; those before it have been stopped again.
        """
        flags = SupervisorFlags(strategy, max_restarts, max_seconds)
        args = _args(flags, child_spec, name, partitions, with_arguments)
        start.check_guard()
        return SupervisorRef(start.start(cls, args, name=name, timeout=None))

    @classmethod
    def child_spec(
        cls,
        child_spec: ChildSpec,
        *,
        name: Name,
        id: str | None = None,  # noqa: A002 - the field's name
        partitions: int | None = None,
        with_arguments: WithArguments | None = None,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        **options: Any,
    ) -> ChildSpec:
        """
        Return the specification of a nested one; its id is the name, unless another is given.

        Further `options` are those of `ChildSpec`.
        """
        flags = SupervisorFlags(strategy, max_restarts, max_seconds)
        args = _args(flags, child_spec, name, partitions, with_arguments)
        options.setdefault("start_timeout", "infinity")
        return ChildSpec(_id_of(name) if id is None else id, cls, args, name=name, **options)

    @staticmethod
    def partition(name: Target, key: object) -> Ref:
        """
        Return the process of the partition that a key belongs to.

        An integer belongs to partition `|key| mod n`, any other key to one that depends on nothing
        but the key and n. Nobody is asked, so what is returned may be about to end.

        Args:
            name: The partition supervisor.
            key: An int, str, bytes, float, None, a `Ref`, or a tuple of these.

        Raises:
            NoProcess: There is no such partition supervisor, or the partition is being restarted.
            NoPartitions: There are no partitions, after a `resize` to 0.
            SpecError: The key is none.
        """
        size, base = _published(name)
        if not size:
            raise NoPartitions(supervisor=base)
        number = route(key, size)
        found = names.holder(here.folder, _name_of(base, number))
        if found is None:
            raise NoProcess(target=f"partition {number} of {base!r}")
        return Ref(found[0], here.folder, found[1], _name_of(base, number))

    @staticmethod
    def partitions(name: Target) -> int:
        """
        Return over how many partitions keys are spread now.

        Raises:
            NoProcess: There is no such partition supervisor.
        """
        return _published(name)[0]

    @staticmethod
    def resize(name: Target, partitions: int) -> int:
        """
        Spread the keys over fewer or more partitions; return over how many they were spread.

        Fewer: keys are spread anew first, then the partitions with the highest numbers are stopped.
        More: these are started first, then keys are spread anew.

        Args:
            name: The partition supervisor.
            partitions: How many, from 0 to what the supervisor was started with.

        Raises:
            NoProcess: There is no such partition supervisor.
            SpecError: That many there cannot be.
            ChildStartFailed: A partition did not start; keys are spread as before.
            ChildNotFound: A partition is temporary, and was forgotten when it ended.
        """
        return int(_supervisor(name)._ask("resize", partitions))  # noqa: SLF001 - one of us

    @staticmethod
    def which_children(name: Target) -> list[ChildEntry]:
        """Return the partitions, those that are stopped included, highest number first."""
        return _supervisor(name).which_children()

    @staticmethod
    def count_children(name: Target) -> ChildCounts:
        """Return how many partitions there are."""
        return _supervisor(name).count_children()

    @staticmethod
    def stop(name: Target, reason: object = NORMAL, timeout: float | None = None) -> None:
        """Stop the supervisor with all partitions; see `SupervisorRef.stop`."""
        _supervisor(name).stop(reason, timeout)

    @classmethod
    def live(cls, process: Process, args: _Args) -> ExitReason:
        """Run a partition supervisor as the behaviour of `process`."""
        flags, specs = args
        base = process.ref.name or process.ref.identity
        named = [replace(spec, name=_name_of(base, int(spec.id))) for spec in specs]
        state = SupervisorState(base, flags, named)
        return PartitionRunner(process, state, base, partitions=len(named)).run()


def _args(
    flags: SupervisorFlags,
    spec: object,
    name: Name,
    partitions: int | None,
    with_arguments: WithArguments | None,
) -> _Args:
    """Return what the supervisor's process is handed: its flags and the sealed partitions."""
    if not isinstance(spec, ChildSpec):
        refuse(SUBJECT, "child_spec", "a ChildSpec(id, role, args, ...)", got=spec)
    if spec.name is not None:
        refuse(SUBJECT, "the name of its child_spec", "None, for it is of many", got=spec.name)
    count = kernel.cores() if partitions is None else partitions
    rule = "an integer >= 1 or None"
    if not check_count(SUBJECT, "partitions", count, rule):
        refuse(SUBJECT, "partitions", rule, got=count)
    if not isinstance(name, Via):
        names.check_name(_name_of(names.check_name(name), count))
    if with_arguments is not None:
        _check_arity(with_arguments)
    copies = []
    for number in range(count):
        args = spec.args if with_arguments is None else with_arguments(spec.args, number)
        copies.append(replace(spec, id=str(number), args=args))
    return flags, tuple(map(seal, validate_tree(flags, copies)))


def _check_arity(function: object) -> None:
    try:
        inspect.signature(function).bind(None, 0)  # type: ignore[arg-type]
    except TypeError:
        rule = "a function of two arguments, the args and the number of a partition"
        refuse(SUBJECT, "with_arguments", rule, got=function)
    except ValueError:
        return  # it does not tell


def _id_of(name: Name) -> str:
    return str(name.key if isinstance(name, Via) else name)


def _name_of(base: str, number: int) -> str:
    return f"{base}/{number}"


def _supervisor(name: Target) -> SupervisorRef:
    return SupervisorRef(resolve(name))


def _published(name: Target) -> tuple[int, str]:
    """Return how many partitions there are, and on what their names are based."""
    identity = _identity_of(name)
    text = None if identity is None else published.read(here.folder, identity)
    if text is None:
        raise NoProcess(target=f"partition supervisor {name!r}")
    size, _, base = text.partition(" ")
    return int(size), base


def _identity_of(name: Target) -> str | None:
    if not isinstance(name, str):
        return resolve(name).identity
    found = names.holder(here.folder, names.check_name(name)) if here.folder else None
    return None if found is None else found[0]
