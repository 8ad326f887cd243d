"""The outlook: what follows for a node from the notices that its provider gives. Values only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outlook:
    """
    What a node is to do now. Said again and again as a whole, so that it can be forgotten.

    Attributes:
        is_cordoned: Whether the node is to get no more roles, and to hand over those that it has.
            What nobody else can run it keeps.
        hand_over_until: Until when what it hands over may take its time to stop, by
            `clock.elapsed`; None if it is not cordoned.
        is_leaving: Whether it is to stop all that it runs and to take leave of the others now.
        leave_at: When it is to do that, by `clock.elapsed`, unless another outlook comes before;
            None if it is not to.
        is_at_risk: Whether other nodes are to be preferred for new roles.
        doomed: Machines of which one knows that they are about to go, the own one included.
        due: Those of them that may be gone by now.
        why: In words, for people; empty if nothing follows.
    """

    is_cordoned: bool = False
    hand_over_until: float | None = None
    is_leaving: bool = False
    leave_at: float | None = None
    is_at_risk: bool = False
    doomed: frozenset[str] = frozenset()
    due: frozenset[str] = frozenset()
    why: str = ""


CALM = Outlook()
