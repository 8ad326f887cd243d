"""Whether a coordinator may decide, and when a place is free. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Authority:
    """
    What a coordinator needs before it decides. The defaults are those of available mode.

    Attributes:
        quorum: How many nodes must follow it, itself included, >= 1.
        followed_within: How fresh the word of a follower must be, in seconds > 0; `None` takes
            any.
        lease: For how long a node may act without hearing from a coordinator, in seconds > 0;
            `None` means until it is told otherwise.
        margin: What is added to a lease for clocks that run at different rates, in seconds >= 0.
    """

    quorum: int = 1
    followed_within: float | None = None
    lease: float | None = None
    margin: float = 0.0

    def holds(self, heard: Iterable[float], *, now: float) -> bool:
        """
        Return whether a coordinator has authority.

        Args:
            heard: When each follower was last heard, the coordinator's own included.
            now: Monotonic time in seconds.
        """
        within = self.followed_within
        return sum(within is None or now - at < within for at in heard) >= self.quorum

    def vacant_at(self, silent_since: float) -> float:
        """Return when the places of a node that fell silent may be given to others."""
        return silent_since if self.lease is None else silent_since + self.lease + self.margin

    @property
    def succession(self) -> float:
        """How long a new coordinator fills no place, in seconds: its predecessor's leases run."""
        return self.vacant_at(0.0)
