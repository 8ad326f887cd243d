"""
An errand: one function on its way through the cluster, from the choice of its node to its end.

Nothing happens by itself: a thread of the caller starts an errand, and whenever it looks after it,
the errand takes the next step. The process of a task runs nothing before it has been asked for the
result. So what a node did not take for sure can be given to the next one, and no function runs of
which nobody knows.
"""

import contextlib
import os
import select
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from beethoven import clock
from beethoven.cluster.directory import NodeEntry
from beethoven.cluster.messages import Purpose
from beethoven.cluster.task_placement import Where, choose
from beethoven.errors import (
    BeethovenError,
    CallError,
    ClusterError,
    NodeError,
    NoNodeFits,
    NoProcess,
    ProcessError,
    ProcessExited,
    StartFailed,
    TaskCancelled,
)
from beethoven.node.component_names import TASK_SUPERVISOR
from beethoven.node.task_ends import End, end_of
from beethoven.node.task_starts import GLANCE, START_TIMEOUT, is_member, start_on
from beethoven.node.thread_life import life_of_this_thread
from beethoven.node.under_way import under_way
from beethoven.remote.openings import closed_way
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.way import Way
from beethoven.runtime import deaths
from beethoven.runtime.here import here
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.reference import Ref, check_timeout
from beethoven.runtime.requests import (
    Failure,
    Request,
    Response,
    check_owner,
    me,
    send_request,
)
from beethoven.supervision.checks import check_count
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.sealing import seal
from beethoven.tasks.portable import portable_work
from beethoven.tasks.task_process import RESULT, TIME_IS_OVER, TaskProcess
from beethoven.tasks.work import Work
from beethoven.vocabulary import Restart

# Between the exit signal to a task that is to end and its kill, in seconds.
_SHUTDOWN: Final = 1.0
# How long a node may take to end a task, or to tell how one has ended, in seconds.
_PATIENCE: Final = 5.0
_WHY_PATIENCE: Final = 2.0
# A node that is no member for so long is lost; one's own may need a while to know the others again.
_ABSENCE: Final = 10.0
_PAUSE: Final = 0.05
# What keeps a function from being run.
_NOT_BEGUN: Final = (NodeError, ProcessError, ClusterError)
_CUT: Final = ExitReason(ReasonKind.OTHER, "its connection was cut")


@dataclass(frozen=True, slots=True)
class Terms:
    """
    How functions are run.

    Attributes:
        where: On which nodes.
        limit: How long each run may take, in seconds; None is no limit.
        retries: How often it is run again after an end that was not its own doing, >= 0.

    Raises:
        SpecError: One of them is wrong.
    """

    where: Where = None
    limit: float | None = None
    retries: int = 0

    def __post_init__(self) -> None:
        check_timeout(self.limit, "task")
        check_count("task", "retries", self.retries, "an integer >= 0")


# Whose futures were dropped while they were at work: they run on, and are let go of at their end.
_forgotten: dict["Errand", bool] = {}


os.register_at_fork(after_in_child=_forgotten.clear)


class Errand:
    """
    One function that is run somewhere; used by the thread that has made it.

    Args:
        way: How nodes are reached.
        work: What to run.
        terms: How.
        is_question: Whether it asks how another one has ended, and needs no such answer itself.

    Attributes:
        task: What it is called.
        node: The node that it runs on, or ran on last.
        ref: Its process, as that node calls it.
        end: What came of it; None while it is at work.

    Raises:
        NoNodeFits: No node can run it.
        StartFailed: Its process ended before it could open the function.
    """

    def __init__(self, way: Way, work: Work, terms: Terms, *, is_question: bool = False) -> None:
        self.task = work.label
        self.end: End | None = None
        self._way = way
        self._terms = terms
        self._retries = terms.retries
        self._is_question = is_question
        self._absent_since: float | None = None
        self._spec = seal(
            ChildSpec(
                work.label,
                TaskProcess,
                work,
                restart=Restart.TEMPORARY,
                shutdown=_SHUTDOWN,
                start_timeout=START_TIMEOUT,
            )
        )
        self._owner, self._owner_life = me(), life_of_this_thread()
        sweep()
        self._begin(avoided={})

    def _begin(self, avoided: Mapping[str, str]) -> None:
        """
        Have a node begin, the next best one if one does not take it.

        If none takes it, some may soon: what starts tasks there is only just coming, or coming
        back.
        """
        refused, deadline = dict(avoided), clock.monotonic() + _PATIENCE
        while True:
            try:
                node = self._choose(refused)
            except NoNodeFits:
                if len(refused) == len(avoided) or clock.monotonic() >= deadline:
                    raise
                refused = dict(avoided)
                threading.Event().wait(_PAUSE)
                continue
            try:
                self._begin_on(node)
            except CallError as error:
                refused[node.node_id] = f"did not take it: {error}"
            else:
                under_way.count(node.node_id, 1)
                return

    def _choose(self, refused: Mapping[str, str]) -> NodeEntry:
        if refused:
            self._way.forget()
        return choose(
            self.task,
            self._way.directory(_PATIENCE).nodes,
            self._terms.where,
            placed=under_way.counts(),
            refused=refused,
            own=self._way.node,
        )

    def _begin_on(self, node: NodeEntry) -> None:
        """
        Start the process of the task on a node, and ask it for the result.

        Raises:
            CallError: For sure the function has not been run there, and will not be.
            StartFailed: See `Errand`.
        """
        match start_on(self._way, node, self._supervisor_of(node), self._spec):
            case ("ok", Ref() as ref):
                self.node, self.ref = node, ref
            case (_, error):
                reason = getattr(error, "reason", error)
                name = f"task {self.task} on node {node.name!r}"
                raise StartFailed(process=name, reason=reason)
        self._process = self._speak_to(node, Purpose.PROCESS, ref.identity)
        self._absent_since, self._looked_at = None, clock.monotonic()
        self._request = send_request(self._process, RESULT)
        if isinstance(failure := self._request.response(), Failure):
            raise failure.error

    def _speak_to(self, node: NodeEntry, purpose: Purpose, target: str) -> RemoteRef:
        return RemoteRef(node.name, node.node_id, node.address, purpose, target, self._way)

    def _supervisor_of(self, node: NodeEntry) -> RemoteRef:
        return self._speak_to(node, Purpose.ROLE, TASK_SUPERVISOR)

    def fileno(self) -> int:
        """Return the descriptor on which the result will arrive; -1 if it is there."""
        return -1 if self.end is not None else self._request.fileno()

    def look(self, timeout: float | None = 0.0) -> End | None:
        """
        Wait for the end of the function, and run it again where that is wanted.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            How it has ended; None if it is still at work then.

        Raises:
            NotOwner: Another thread has made the errand.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        while self.end is None:
            check_owner(f"future of {self.task} on node {self.node.name!r}", self._owner)
            left = GLANCE if deadline is None else max(0.0, deadline - clock.monotonic())
            response = self._request.wait_response(min(left, GLANCE))
            if response is not None:
                self._conclude(response)
            elif self._is_lost():
                self._request.abandon()
                cause = "its node is not reached any more"
                self._conclude(Failure(NoProcess(target=str(self._process), cause=cause)))
            elif deadline is not None and clock.monotonic() >= deadline:
                return None
        return self.end

    def _is_lost(self) -> bool:
        """
        Whether the node has not been a member for a while, though the connection is still there.

        So it is if it is frozen, or cut off. Looks once in a while only.
        """
        now = clock.monotonic()
        if now < self._looked_at + GLANCE:
            return False
        with contextlib.suppress(CallError, NodeError, ClusterError):
            self._absent_since = (
                None if is_member(self._way, self.node) else self._absent_since or now
            )
        self._looked_at = clock.monotonic()
        return self._absent_since is not None and now >= self._absent_since + _ABSENCE

    def _conclude(self, response: Response) -> None:
        self._let_go()
        if isinstance(response, Failure) and self._way.is_closed:
            self.end = End(error=closed_way())
            return
        known = self._reason(response)
        end = end_of(response, self.task, self.node.name, limit=self._terms.limit, known=known)
        if end.is_retriable and self._retries:
            obstacle = self._begin_again()
            if obstacle is None:
                return
            assert end.error is not None
            end.error.add_note(f"it could not be run again: {obstacle}")
        self.end = end

    def _begin_again(self) -> BeethovenError | None:
        """Run the function again, elsewhere if it may; return why no node can run it now."""
        self._retries -= 1
        try:
            self._begin({self.node.node_id: "has failed to run it"})
        except _NOT_BEGUN:
            try:
                self._begin({})
            except _NOT_BEGUN as error:
                return error
        return None

    def _reason(self, response: Response) -> ExitReason | None:
        """Return how the process has ended; None if it has answered, or its node is lost."""
        match response:
            case Failure(ProcessExited(reason=reason)) if reason == TIME_IS_OVER:
                return TIME_IS_OVER
            case Failure(ProcessExited(reason=ExitReason() as told)) if _is_known(told):
                # The last words of a process whose node has ended are the same.
                return told if self._ask_reason() is not None else None
            case Failure(ProcessExited() | NoProcess()):
                return self._ask_reason()
        return None

    def _ask_reason(self) -> ExitReason | None:
        """Ask the node how the process has ended; None if the node is not there to tell."""
        if self._is_question:
            return None
        asking = portable_work(how_ended, (self.ref.identity,), {}, _PATIENCE)
        self._way.forget()
        try:
            errand = Errand(self._way, asking, Terms(self.node.name), is_question=True)
        except (NodeError, ProcessError, ClusterError):
            return None
        end = errand.look(_PATIENCE)
        if end is None or errand.node.node_id != self.node.node_id:
            errand.give_up()
            return None
        told: ExitReason | None = end.value
        return told

    def tell_to_end(self) -> Request | None:
        """Have the node end the process; None if there is nothing to end any more."""
        if self.look() is not None:
            return None
        asked = send_request(self._supervisor_of(self.node), ("terminate_process", self.ref))
        self.give_up()
        self.end = End(error=TaskCancelled(task=f"{self.task} on node {self.node.name!r}"))
        return asked

    def give_up(self) -> None:
        """Want the result no more; its process ends if it is still at work."""
        if self.end is None:
            if self.is_mine:
                self._request.abandon()
            else:
                self._request.hang_up()
            self._let_go()

    def forget(self) -> None:
        """Let it run on, and drop what comes of it."""
        if self.end is None:
            _forgotten[self] = True
            sweep()

    @property
    def is_mine(self) -> bool:
        """Whether this thread has made it."""
        return self._owner == me()

    @property
    def is_orphan(self) -> bool:
        """Whether the thread that has made it is over."""
        return self._owner_life() is None

    def _let_go(self) -> None:
        self._way.part(self._process.identity)
        under_way.count(self.node.node_id, -1)


def how_ended(identity: str) -> ExitReason:
    """Return how a process of this node has ended; runs as a task on the node that knows."""
    return deaths.wait_for(here.folder, identity, _WHY_PATIENCE) or _CUT


def ready_among(errands: Iterable[Errand], timeout: float) -> list[Errand]:
    """Return those of which something has come, as soon as there is one; wait so many seconds."""
    poll, waiting = select.poll(), {each.fileno(): each for each in errands}
    if -1 in waiting:
        return [waiting[-1]]
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    return [waiting[descriptor] for descriptor, _ in poll.poll(timeout * 1000)]


def end_all(errands: Iterable[Errand]) -> None:
    """End the processes of those that are at work, all at once, and wait until they are gone."""
    asked = [request for each in errands if (request := each.tell_to_end()) is not None]
    deadline = clock.monotonic() + _PATIENCE
    for request in asked:
        request.receive_response(max(0.0, deadline - clock.monotonic()))


def sweep() -> None:
    """Let go of the forgotten ones, of this thread or of none, of which something has come."""
    ours = [each for each in list(_forgotten) if each.is_mine or each.is_orphan]
    for errand in ready_among(ours, 0):
        # Another thread may have been quicker.
        if _forgotten.pop(errand, False):
            errand.give_up()


def _is_known(reason: ExitReason) -> bool:
    """Whether it was told by the process itself, and not only guessed."""
    return reason.kind not in {ReasonKind.OTHER, ReasonKind.NO_PROCESS}
