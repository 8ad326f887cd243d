"""What the locator is told (settings, events) and what it has done (effects)."""

from dataclasses import dataclass

from beethoven.cluster.addresses import Address, Network


@dataclass(frozen=True, slots=True)
class HostName:
    """A name that stands for addresses that change, and the port of the nodes there."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class LocatorSettings:
    """
    Where other nodes may be, and how fast they are looked for.

    Attributes:
        networks: Searched on `port`; a network of IPv6 is not.
        port: Where nodes listen.
        seeds: Addresses that are asked again and again.
        names: Names whose addresses are asked again and again.
        skip_azure_reserved: Whether the networks are subnets of Azure.
        probe_timeout: How long an address may take to answer, in seconds.
        most_in_flight: How many addresses are asked at the same time.
        per_second: How many addresses are asked in a second.
    """

    networks: tuple[Network, ...]
    port: int
    seeds: tuple[Address, ...] = ()
    names: tuple[HostName, ...] = ()
    skip_azure_reserved: bool = False
    probe_timeout: float = 0.5
    most_in_flight: int = 700
    per_second: float = 1280.0


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a beacon says of its node to whoever asks.

    Attributes:
        node_id: Which boot of a node it is.
        cluster: The name of its cluster.
        name: The name of the node.
    """

    node_id: str
    cluster: str
    name: str


@dataclass(frozen=True, slots=True)
class Started:
    """The locator may begin: the beacon listens. `remembered` is from earlier boots."""

    remembered: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """A beacon answered."""

    address: Address
    answer: Answer


@dataclass(frozen=True, slots=True)
class ProbeRefused:
    """Nobody listens there, or somebody who is no beacon."""

    address: Address


@dataclass(frozen=True, slots=True)
class ProbeTimedOut:
    """Nobody answered in time, or the address could not be reached."""

    address: Address


@dataclass(frozen=True, slots=True)
class Resolved:
    """A name stands for these addresses; none if it could not be resolved."""

    name: HostName
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterChanged:
    """The addresses of the nodes to which a link is open are these now."""

    linked: frozenset[Address]


@dataclass(frozen=True, slots=True)
class NetworksChanged:
    """
    Other networks are to be searched, for instance those of the metadata service.

    Attributes:
        networks: As in `LocatorSettings`.
        per_second: As there.
        skip_azure_reserved: As there.
    """

    networks: tuple[Network, ...]
    per_second: float
    skip_azure_reserved: bool = False


@dataclass(frozen=True, slots=True)
class Ticked:
    """The deadline has come."""


Event = (
    Started
    | ProbeAnswered
    | ProbeRefused
    | ProbeTimedOut
    | Resolved
    | ClusterChanged
    | NetworksChanged
    | Ticked
)


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask an address who is there, within `timeout` seconds; tell how it went."""

    address: Address
    timeout: float


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look up a name, without making anybody wait; tell what came of it, also if nothing did."""

    name: HostName


@dataclass(frozen=True, slots=True)
class Found:
    """A node of our cluster, to which no link is open, is there."""

    address: Address
    answer: Answer


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep these addresses for the next boot, latest first, instead of those kept so far."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class ReportStranger:
    """A node of another cluster is there. Told once."""

    address: Address
    answer: Answer


@dataclass(frozen=True, slots=True)
class ReportScan:
    """A search of the networks has ended: how many were asked, and how long it took."""

    probed: int
    seconds: float


Effect = Probe | Resolve | Found | Remember | ReportStranger | ReportScan
