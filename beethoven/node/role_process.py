"""How a role of the configuration becomes a child of the role supervisor."""

from typing import Any, ClassVar, NamedTuple

from beethoven.node.role_loading import load_role
from beethoven.node.settings import RoleSettings
from beethoven.roles.command import CommandRole
from beethoven.runtime.role import Role
from beethoven.supervision.child_spec import ChildSpec
from beethoven.vocabulary import ChildType


class Named(NamedTuple):
    """A role that is spoken of by its path, and the args of its `init`."""

    module: str
    args: Any


class NamedRole:
    """Stands for a role class that only the new process imports: supervisors run no user code."""

    child_type: ClassVar[ChildType] = ChildType.WORKER

    @classmethod
    def resolve(cls, args: Named) -> tuple[type, Any]:
        """Return the class and the args."""
        return load_role(args.module, Role), args.args


def child_spec(role: RoleSettings) -> ChildSpec:
    """Return the specification of a role's instance on this node."""
    options: dict[str, Any] = {"environment": dict(role.environment)}
    if role.working_directory is not None:
        options["working_directory"] = str(role.working_directory)
    runs: type
    args: Any
    if role.command is not None:
        runs = CommandRole
        args = {"command": role.command, "stop_signal": int(role.stop_signal)}
    else:
        assert role.module is not None
        runs, args = NamedRole, Named(role.module, role.args)
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
