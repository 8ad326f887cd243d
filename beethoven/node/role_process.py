"""How a role of the configuration becomes a child of the role supervisor."""

from typing import Any, ClassVar, NamedTuple

from beethoven.engine.table import Place
from beethoven.node.handing_over import announce, take_state
from beethoven.node.handle import Node
from beethoven.node.role_loading import load_role
from beethoven.node.settings import RoleSettings
from beethoven.roles.command import CommandRole
from beethoven.runtime.role import Role
from beethoven.runtime.role_context import RoleContext
from beethoven.supervision.child_spec import ChildSpec
from beethoven.vocabulary import ChildType


class Named(NamedTuple):
    """A role that is spoken of by its path, the args of its `init`, and where it runs."""

    module: str
    args: Any
    context: RoleContext
    node: Node


class NamedRole:
    """Stands for a role class that only the new process imports: supervisors run no user code."""

    child_type: ClassVar[ChildType] = ChildType.WORKER

    @classmethod
    def resolve(cls, args: Named) -> tuple[type, Any]:
        """Return the class, which runs nothing else in this process, and the args."""
        role: type[Role] = load_role(args.module, Role)
        if role.hands_over():
            announce(args.context.role)
        role.settle(args.context, args.node, take_state(args.context.role))
        return role, args.args


def context_of(role: str, node: Node, place: Place) -> RoleContext:
    """Return what an instance is told of its place."""
    epoch, version = place.token
    return RoleContext(role, node.name, place.slot, (*epoch, version))


def child_spec(role: RoleSettings, node: Node, place: Place) -> ChildSpec:
    """
    Return the specification of a role's instance on this node.

    Args:
        role: Its settings.
        node: This node.
        place: The place that the instance has in the cluster.
    """
    context = context_of(role.name, node, place)
    options: dict[str, Any] = {"environment": {**_variables(context), **role.environment}}
    if role.working_directory is not None:
        options["working_directory"] = str(role.working_directory)
    runs: type
    args: Any
    if role.command is not None:
        runs = CommandRole
        args = {"command": role.command, "stop_signal": int(role.stop_signal)}
    else:
        assert role.module is not None
        runs, args = NamedRole, Named(role.module, role.args, context, node)
    return ChildSpec(
        role.name,
        runs,
        args,
        name=role.name,
        restart=role.restart,
        shutdown=role.shutdown,
        start_timeout=role.start_timeout,
        max_restarts=role.max_restarts,
        max_seconds=role.max_seconds,
        options=options,
    )


def _variables(context: RoleContext) -> dict[str, str]:
    """Return the place of an instance for programs, which have no other way to learn of it."""
    return {
        "BEETHOVEN_NODE": context.node,
        "BEETHOVEN_ROLE": context.role,
        "BEETHOVEN_SLOT": str(context.slot),
        "BEETHOVEN_TOKEN": "-".join(map(str, context.token)),
    }
