"""
What a supervisor is told: child specifications and flags, checked where they are written.

Decides nothing at run time. The rules are those of otp.md §1.1, §1.2 and §1.9.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from beethoven.runtime.reference import Name
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.checks import check_count, check_number, check_word, refuse
from beethoven.vocabulary import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    ChildType,
    Restart,
    Strategy,
)

RoleClass: TypeAlias = type[Any]

DEFAULT_SHUTDOWN = 5.0
DEFAULT_START_TIMEOUT = 30.0

SUPERVISOR = "supervisor"

_OPTIONS = frozenset({"environment", "working_directory"})


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """
    How one child is started, restarted and stopped (OTP "child specification").

    Attributes:
        id: Name of the child within its supervisor; unique there (a dynamic supervisor does not
            care).
        role: The class to run: a `Role`, `Supervisor` or `DynamicSupervisor`.
        args: Handed to the role's `init` as one value, again at every restart.
        name: Name to register the process under, a text or a `Via`, or None.
        restart: When the child is restarted: "permanent" always, "transient" after an abnormal
            exit, "temporary" never.
        shutdown: How it is stopped: seconds >= 0 between the exit signal and the kill;
            "brutal_kill" without a signal; "infinity" without a kill. None means 5 s for a worker,
            "infinity" for a supervisor.
        type: "worker" or "supervisor". None takes the role's own `child_type`.
        significant: Whether its end may end the supervisor (`auto_shutdown`).
        start_timeout: Seconds > 0 that `init` may take, or "infinity".
        max_restarts: The child's own restart intensity, under a supervisor with a back-off. None
            takes the supervisor's.
        max_seconds: The window of that intensity, in seconds.
        options: Handed to the launch of the process as they are: environment, working directory.

    Raises:
        SpecError: A field is wrong; the message names the child, the field and the rule.

    Source:
        OTP `supervisor`, "Child specification"; otp.md §1.1.
    """

    id: str
    role: RoleClass
    args: Any = None
    name: Name | None = field(default=None, kw_only=True)
    restart: Restart | str = field(default=Restart.PERMANENT, kw_only=True)
    shutdown: float | str | None = field(default=None, kw_only=True)
    type: ChildType | str | None = field(default=None, kw_only=True)
    significant: bool = field(default=False, kw_only=True)
    start_timeout: float | str = field(default=DEFAULT_START_TIMEOUT, kw_only=True)
    max_restarts: int | None = field(default=None, kw_only=True)
    max_seconds: float | None = field(default=None, kw_only=True)
    options: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        if not (isinstance(self.id, str) and self.id):
            refuse("child", "id", "a non-empty string", got=self.id)
        subject = f"child {self.id!r}"
        _check_identity(subject, self)
        kind = self.type
        if kind is None:
            kind = getattr(self.role, "child_type", ChildType.WORKER)
        kind = check_word(subject, "type", ChildType, kind)
        _normalise(
            self,
            type=kind,
            restart=check_word(subject, "restart", Restart, self.restart),
            shutdown=_shutdown(subject, self.shutdown, kind),
            start_timeout=_start_timeout(subject, self.start_timeout),
        )
        if self.max_restarts is not None:
            check_count(subject, "max_restarts", self.max_restarts, "an integer >= 0 or None")
        if self.max_seconds is not None:
            check_number(subject, "max_seconds", self.max_seconds, "seconds > 0 or None", above=0)
        if self.significant and self.restart is Restart.PERMANENT:
            refuse(subject, "significant", "False for a permanent child", got=True)

    @property
    def is_temporary(self) -> bool:
        """Whether the specification is dropped when the child ends."""
        return self.restart == Restart.TEMPORARY

    @property
    def is_supervisor(self) -> bool:
        """Whether the child is counted and listed as a supervisor."""
        return self.type == ChildType.SUPERVISOR

    def without_args(self) -> "ChildSpec":
        """Return what is remembered of a child that is never started again."""
        forget = getattr(self.role, "without_args", None)
        return replace(self, args=None if forget is None else forget(self.args))


@dataclass(frozen=True, slots=True)
class SupervisorFlags:
    """
    How a supervisor treats its children (OTP "supervisor flags").

    Attributes:
        strategy: Which siblings are restarted with a child: "one_for_one", "one_for_all" or
            "rest_for_one".
        max_restarts: Automatic restarts allowed within `max_seconds`, >= 0 (OTP "intensity").
        max_seconds: Length of the window, in seconds, > 0 (OTP "period").
        auto_shutdown: Whether the end of significant children ends the supervisor: "never",
            "any_significant" or "all_significant".
        backoff: With a back-off, which needs one_for_one, the intensity is counted per child, and
            a child that exceeds it is retried later instead of ending the supervisor.

    Raises:
        SpecError: A flag is wrong.

    Source:
        OTP `supervisor`, "Supervisor flags"; otp.md §1.2, with Elixir's defaults.
    """

    strategy: Strategy | str = Strategy.ONE_FOR_ONE
    max_restarts: int = 3
    max_seconds: float = 5.0
    auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        _normalise(
            self,
            strategy=check_word(SUPERVISOR, "strategy", Strategy, self.strategy),
            auto_shutdown=check_word(SUPERVISOR, "auto_shutdown", AutoShutdown, self.auto_shutdown),
        )
        _check_flags(self)
        if self.backoff is not None and self.strategy is not Strategy.ONE_FOR_ONE:
            refuse(SUPERVISOR, "strategy", "'one_for_one' with a backoff", got=str(self.strategy))


@dataclass(frozen=True, slots=True)
class DynamicFlags:
    """
    How a dynamic supervisor treats its children; its strategy is always one_for_one.

    Attributes:
        max_children: Children it may have, those being restarted and those kept after their end
            included; None for no limit.
        max_restarts: Automatic restarts allowed within `max_seconds`, >= 0.
        max_seconds: Length of the window, in seconds, > 0.
        backoff: As in `SupervisorFlags`.
        keep_ended: Whether a child that has ended for good stays listed, as `stopped` and with its
            last exit, until it is terminated or deleted. Ids are unique then.

    Raises:
        SpecError: A flag is wrong.

    Source:
        Elixir `DynamicSupervisor.init/1`; otp.md §1.10. `keep_ended` is ours.
    """

    max_children: int | None = None
    max_restarts: int = 3
    max_seconds: float = 5.0
    backoff: Backoff | None = None
    keep_ended: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.keep_ended, bool):
            refuse(SUPERVISOR, "keep_ended", "True or False", got=self.keep_ended)
        if self.max_children is not None:
            check_count(SUPERVISOR, "max_children", self.max_children, "an integer >= 0 or None")
        _check_flags(self)


def validate_child(spec: object, auto_shutdown: AutoShutdown | str) -> None:
    """
    Fail if a supervisor with that `auto_shutdown` may not have that specification.

    Raises:
        SpecError: It is no `ChildSpec`, or is significant where nothing is.

    Source:
        otp.md §1.9.
    """
    if not isinstance(spec, ChildSpec):
        refuse(SUPERVISOR, "a child", "a ChildSpec(id, role, args, ...)", got=spec)
    if spec.significant and auto_shutdown == AutoShutdown.NEVER:
        rule = "False under auto_shutdown 'never'"
        refuse(f"child {spec.id!r}", "significant", rule, got=True)


def validate_children(specs: Iterable[object]) -> tuple[ChildSpec, ...]:
    """
    Return the specifications as a tuple, in start order.

    Raises:
        SpecError: Something is no `ChildSpec`, or an id occurs twice.
    """
    if isinstance(specs, ChildSpec | str) or not isinstance(specs, Iterable):
        refuse(SUPERVISOR, "children", "a list of ChildSpec(id, role, args, ...)", got=specs)
    checked: dict[str, ChildSpec] = {}
    for position, spec in enumerate(specs):
        if not isinstance(spec, ChildSpec):
            rule = "a ChildSpec(id, role, args, ...)"
            refuse(SUPERVISOR, f"children[{position}]", rule, got=spec)
        if spec.id in checked:
            refuse(SUPERVISOR, "child ids", "unique", got=spec.id)
        checked[spec.id] = spec
    return tuple(checked.values())


def validate_tree(flags: SupervisorFlags, specs: Iterable[object]) -> tuple[ChildSpec, ...]:
    """
    Return the specifications as a tuple if a supervisor with these flags may start them.

    Raises:
        SpecError: As `validate_children` and `validate_child`.
    """
    children = validate_children(specs)
    for spec in children:
        validate_child(spec, flags.auto_shutdown)
    return children


def _normalise(value: object, **fields: object) -> None:
    for name, normal in fields.items():
        object.__setattr__(value, name, normal)


def _check_identity(subject: str, spec: ChildSpec) -> None:
    if not isinstance(spec.role, type):
        refuse(subject, "role", "a class", got=spec.role)
    if not (hasattr(spec.role, "live") or hasattr(spec.role, "resolve")):
        refuse(subject, "role", "a Role, Supervisor or DynamicSupervisor", got=spec.role)
    if spec.name is not None and not (isinstance(spec.name, Name) and spec.name):
        refuse(subject, "name", "a non-empty string, a Via or None", got=spec.name)
    if not isinstance(spec.significant, bool):
        refuse(subject, "significant", "True or False", got=spec.significant)
    if not isinstance(spec.options, Mapping):
        refuse(subject, "options", "a mapping", got=spec.options)
    if unknown := set(spec.options) - _OPTIONS:
        refuse(
            subject, "options", f"a mapping with keys of {sorted(_OPTIONS)}", got=sorted(unknown)
        )


def _check_flags(flags: SupervisorFlags | DynamicFlags) -> None:
    check_count(SUPERVISOR, "max_restarts", flags.max_restarts)
    check_number(SUPERVISOR, "max_seconds", flags.max_seconds, "seconds > 0", above=0)
    if flags.backoff is not None and not isinstance(flags.backoff, Backoff):
        refuse(SUPERVISOR, "backoff", "a Backoff or None", got=flags.backoff)


def _shutdown(subject: str, value: object, kind: ChildType) -> float | str:
    if value is None:
        return INFINITY if kind is ChildType.SUPERVISOR else DEFAULT_SHUTDOWN
    if isinstance(value, str) and value in {BRUTAL_KILL, INFINITY}:
        return value
    return check_number(subject, "shutdown", value, "seconds >= 0, 'brutal_kill' or 'infinity'")


def _start_timeout(subject: str, value: object) -> float | str:
    if value == INFINITY:
        return INFINITY
    return check_number(subject, "start_timeout", value, "seconds > 0 or 'infinity'", above=0)
