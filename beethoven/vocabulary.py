"""Words used by several floors: closed sets and identifiers. The glossary defines each."""

from enum import StrEnum
from typing import Final

VERSION: Final = "0.1.0"


class Restart(StrEnum):
    """When a child that ended is started again (OTP "restart type")."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Which siblings are restarted with a child."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(StrEnum):
    """Whether the end of significant children ends the supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class ChildType(StrEnum):
    """What a child is; affects only the default of `shutdown`, counts and listings."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


BRUTAL_KILL = "brutal_kill"
INFINITY = "infinity"
