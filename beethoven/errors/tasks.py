"""Errors of functions that run somewhere in the cluster."""

from beethoven.errors.calls import CallError
from beethoven.errors.nodes import NodeError


class NoNodeFits(NodeError):
    """No node can run a task; says why for each."""


class FunctionNotFound(CallError):
    """
    A node cannot open a task: a module is missing there, or is another than that of the caller.

    `node` is the name of the node, `module` the missing module, "" if none is missing.
    """

    def __init__(self, *, task: str, node: str, module: str, cause: str) -> None:
        why = f"it has no module {module!r}" if module else f"it cannot be opened there: {cause}"
        fix = (
            "install it there, or put it beside the configuration file of that node"
            if module
            else "the modules of that node must be the same as those of the caller"
        )
        super().__init__(f"task {task} on node {node!r}: {why}; {fix}")
        self.node = node
        self.module = module


class NodeLost(CallError):
    """The node of a task was lost before the result was there. The task may have done its work."""

    def __init__(self, *, task: str, node: str, cause: str) -> None:
        super().__init__(f"task {task}: node {node!r} was lost before it had a result: {cause}")
        self.node = node


class TaskCancelled(CallError):
    """The task was cancelled by its owner: it has no result."""

    def __init__(self, *, task: str) -> None:
        super().__init__(f"task {task}: cancelled")
