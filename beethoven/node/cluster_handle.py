"""`ClusterHandle`: what a role, or a program, can do with the roles of its cluster, by name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from beethoven.cluster.task_placement import check_where
from beethoven.errors import CallError, SpecError
from beethoven.groups.groups import Groups
from beethoven.node import futures, task_map
from beethoven.node.component_names import NAMESPACE
from beethoven.node.errand import Terms
from beethoven.node.futures import Future
from beethoven.node.role_front import role_front
from beethoven.node.task_map import MapOptions
from beethoven.remote import calls
from beethoven.remote.calls import ALL
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.way import Way
from beethoven.runtime.reference import DEFAULT_TIMEOUT, Ref

T = TypeVar("T")


class ClusterHandle(ABC):
    """A cluster, seen from a role of it or from a program."""

    __slots__ = ()

    @property
    @abstractmethod
    def way(self) -> Way:
        """How this process reaches the nodes; for Beethoven itself."""

    @property
    def groups(self) -> Groups:
        """The process groups of the cluster."""
        return Groups(self.way)

    def call(
        self,
        role: str,
        request: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        *,
        to: str | None = None,
    ) -> Any:
        """
        Call a role, wherever it runs, and return its reply.

        The instance on this node gets it, if there is one, else that on the least busy node. A
        request that was not delivered goes to the next instance, also to one that is only started
        meanwhile; one that was delivered is never sent again. A role does not begin with a request
        whose time is up.

        Args:
            role: Its name.
            request: Any value that can be pickled.
            timeout: Seconds for all of it; None waits for ever.
            to: The name of the node that is meant, or "all" for what `multi_call` does.

        Raises:
            RoleNotRunning: The cluster has no such role, or it ran nowhere until the time was up.
            NodeNotFound: The cluster has no node named `to`.
            CallTimeout: No reply in time; the request may still be executed.
            ProcessExited: The instance, or its node, has ended before it replied. The request may
                have been executed.
            CallError: There is no reply for another reason; see `Ref.call`.
            SpecError: The request cannot be pickled, or an argument is wrong.
        """
        _check(role)
        if to == ALL:
            return calls.multi_call(self.way, role, request, timeout)
        return calls.call(self.way, role, request, timeout, to)

    async def call_async(
        self,
        role: str,
        request: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        *,
        to: str | None = None,
    ) -> Any:
        """Call a role from a coroutine: others run until the reply is there; else as `call`."""
        from beethoven.remote import async_calls

        _check(role)
        if to == ALL:
            return await async_calls.multi_call(self.way, role, request, timeout)
        return await async_calls.call(self.way, role, request, timeout, to)

    def cast(self, role: str, request: Any, *, to: str | None = None) -> None:
        """
        Send a role a request that has no reply, wherever it runs; else as `call`.

        Args:
            role: Its name.
            request: Any value that can be pickled.
            to: The name of the node that is meant, or "all" for all instances: then nothing happens
                for one that cannot be reached.

        Raises:
            RoleNotRunning: The cluster has no such role, or it ran nowhere for 5 s.
            NodeNotFound: The cluster has no node named `to`.
            Overloaded: The instance did not take the message within 5 s.
            SpecError: The request cannot be pickled, or an argument is wrong.
        """
        _check(role)
        if to == ALL:
            calls.cast_all(self.way, role, request)
        else:
            calls.cast(self.way, role, request, to)

    def multi_call(
        self, role: str, request: Any, timeout: float | None = DEFAULT_TIMEOUT
    ) -> tuple[dict[str, Any], dict[str, CallError]]:
        """
        Call all instances of a role at once, and wait for all of them together.

        Args:
            role: Its name.
            request: Any value that can be pickled.
            timeout: Seconds to wait for all replies; None waits for ever.

        Returns:
            The replies by the name of the node, and for every other node with an instance the
            error. Both are empty if the role runs nowhere at this moment.

        Raises:
            RoleNotRunning: The cluster has no such role.
            SpecError: The request cannot be pickled, or an argument is wrong.
        """
        _check(role)
        return calls.multi_call(self.way, role, request, timeout)

    def role(
        self,
        name: str,
        cls: type[T],
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        to: str | None = None,
    ) -> T:
        """
        Return what speaks to a role, wherever it runs, by the methods marked with `on`.

        Each request goes its own way, as those of `call` and `cast` do.

        Args:
            name: The name of the role.
            cls: Its class, or a base of that.
            timeout: Seconds that each call may take; None waits for ever.
            to: The name of the node that is meant, or "all", which is for casts only.

        Raises:
            SpecError: An argument is wrong.
        """
        _check(name)
        return role_front(lambda: self.way, name, cls, timeout, to)

    def ref(self, role: str, *, to: str | None = None) -> Ref | RemoteRef:
        """
        Return a reference to an instance of a role, chosen as `call` does.

        It stays with that instance, or with its node if that is another one: it does not follow the
        role to others.

        Raises:
            RoleNotRunning, NodeNotFound: As for `call`.
            SpecError: An argument is wrong.
        """
        _check(role)
        if to == ALL:
            rule = "the name of one node, or None"
            raise SpecError(subject="ref", field="to", expected=rule, got=to)
        return calls.ref(self.way, role, to)

    def run(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        where: str | Iterable[str] | None = None,
        timeout: float | None = None,
        retries: int = 0,
        **kwargs: Any,
    ) -> Future[T]:
        """
        Run a function in a process of its own, on the least busy node that fits.

        Returns when the process there has imported the function. It ends if the connection of this
        process to it does: no task works for nobody.

        Args:
            function: One that every node can import. Where it has an argument of the name of an
                option here, use `functools.partial`.
            args: Its positional arguments; any values that can be pickled.
            where: The name of a node, or a set of labels that the node must have. None is any node.
            timeout: How long it may run, in seconds; then it is ended there. None is no limit.
            retries: How often it is run again if it has ended by what was not its own doing: its
                node was lost, its process killed. Never because it has raised.
            kwargs: Its keyword arguments.

        Raises:
            NoNodeFits: No node can run it; says why for each.
            StartFailed: Its process ended before it could open the function.
            NodeNotFound, CallTimeout: The nodes of the cluster are not known.
            SpecError: Another node cannot find the function, an argument cannot be pickled, or an
                option is wrong.
        """
        terms = Terms(check_where(where), timeout, retries)
        return futures.run(self.way, function, args, kwargs, terms)

    def map(
        self,
        function: Callable[[Any], T],
        iterable: Iterable[Any],
        *,
        max_concurrency: int | None = None,
        ordered: bool = True,
        timeout: float | None = None,
        where: str | Iterable[str] | None = None,
        retries: int = 0,
        progress: bool = False,
    ) -> Generator[T, None, None]:
        """
        Run a function for each of many items, a few at a time, on all nodes that fit.

        The results come lazily: nothing happens before the first is asked for, and no more items
        are taken than are needed. However the loop over them ends, what still runs is ended.

        Args:
            function: Called with one item.
            iterable: The items; may be infinite.
            max_concurrency: How many run at the same time; None is one for each core of the nodes.
            ordered: Whether results come in the order of the items, else in that of completion.
            timeout: As for `run`, for each item.
            where: As for `run`.
            retries: As for `run`, for each item.
            progress: Whether to show a progress bar on stderr, if that is a terminal.

        Raises:
            SpecError: As for `run`. While iterating also what `run` and `Future.result` raise; the
                first failure ends all.
        """
        terms = Terms(check_where(where), timeout, retries)
        options = MapOptions(max_concurrency, ordered, None)
        return task_map.map_over(self.way, function, iterable, terms, options, progress=progress)


def _check(role: object) -> None:
    if not isinstance(role, str) or role.startswith(NAMESPACE):
        rule = "the name of a role, not of a part of the node"
        raise SpecError(subject="call", field="role", expected=rule, got=role)
