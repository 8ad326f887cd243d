"""Sites: where a node stands, as its provider says. Values only."""

from dataclasses import dataclass
from typing import Final

from beethoven.cluster.addresses import Network


@dataclass(frozen=True, slots=True)
class Site:
    """
    Where a node stands.

    Attributes:
        machine: What the provider calls the machine, as notices name it; empty is unknown.
        networks: Where other nodes are searched for.
        addresses: The numeric addresses of the machine on the interface that those networks belong
            to; empty if the provider does not say.
        labels: What roles may require or prefer, besides the configured labels.
        zone: Where instances of one role are to be kept apart; empty is unknown.
    """

    machine: str = ""
    networks: tuple[Network, ...] = ()
    addresses: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()
    zone: str = ""


# Whoever stands there is where its configuration says.
UNTOLD: Final = Site()
