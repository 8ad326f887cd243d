"""The times of a coordinator."""

from dataclasses import dataclass
from typing import Final

from beethoven.supervision.backoff import Backoff

_AVOIDANCE: Final = Backoff(initial=10.0, factor=2.0, maximum=600.0)


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """
    The times of a coordinator, in seconds > 0.

    Attributes:
        settle: How long no node has come or gone when a new cluster begins.
        patience: How long the word of a member is waited for before anything is decided, and the
            word of others that a departed node is still there is not believed.
        resend: How long a member may lag behind the table before it gets it again, and how long a
            reign lasts before it is raised above another.
        review: How often an unfinished decision is looked at again.
        release_within: For how long an instance that was told to go is waited for.
        rebalance_after: How long no node has come or gone before instances move to even out the
            load.
        is_rebalancing: Whether they do at all.
        avoidance: For how long a role is kept away from a node where it failed.
    """

    settle: float = 2.5
    patience: float = 2.5
    resend: float = 1.0
    review: float = 1.0
    release_within: float = 15.0
    rebalance_after: float = 30.0
    is_rebalancing: bool = True
    avoidance: Backoff = _AVOIDANCE
