"""
Links: which of several links between two nodes is kept. Both ends come to the same answer.

Two nodes that dial each other at the same moment get two links. They keep the one that the node
with the smaller id has dialled. A link that is opened much later than another is no such chance:
one end has lost the older link, and the other end has not noticed yet. Then the newest is kept.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """
    One end of an open link.

    Attributes:
        number: Which link, among those of this node since its boot.
        is_dialled: Whether this end has dialled.
        opened_at: When it was opened, monotonic.
    """

    number: int
    is_dialled: bool
    opened_at: float


def keep(links: tuple[Link, ...], *, dials_win: bool, simultaneous: float) -> Link:
    """
    Return the link to keep.

    Args:
        links: The links to one other node, at least one.
        dials_win: Whether this node has the smaller id.
        simultaneous: Links opened within so many seconds were dialled at the same time.
    """
    ordered = sorted(links, key=lambda link: (link.opened_at, link.number))
    kept = ordered[0]
    for link in ordered[1:]:
        by_chance = link.opened_at - kept.opened_at <= simultaneous
        if not (by_chance and link.is_dialled != kept.is_dialled and kept.is_dialled == dials_win):
            kept = link
    return kept
