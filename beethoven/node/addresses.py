"""Where a node listens, what it is called, and where others may be."""

import errno
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final

from beethoven import clock
from beethoven.cloud.site import UNTOLD, Site
from beethoven.cluster.addresses import Address, Network, bind_candidates, network_of
from beethoven.cluster.locator_events import LocatorSettings
from beethoven.errors import AddressTaken, NoAddress
from beethoven.node.settings import NodeSettings

_BACKLOG: Final = 1024
_GLANCE: Final = 0.05
_LONGEST_NAME: Final = 64

# Names that many machines have; nodes of one name would take turns in a cluster.
_NO_NAMES: Final = frozenset({"", "localhost"})

_NEIGHBOURS: Final = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
# What Linux has unless somebody has raised it.
_FEWEST_NEIGHBOURS: Final = 1024


def network(settings: NodeSettings) -> Network:
    """Return the network of the cluster, as it is configured."""
    return network_of(settings.cluster_net, settings.cluster_net_mask)


def networks(settings: NodeSettings, site: Site = UNTOLD) -> tuple[Network, ...]:
    """Return where other nodes are searched for: where the provider says, or else as configured."""
    return site.networks or (network(settings),)


def allowed_hosts(settings: NodeSettings, site: Site = UNTOLD) -> Sequence[str]:
    """
    Return the addresses to try to listen on, in order; none if this machine has none of them.

    Args:
        settings: The settings of the node.
        site: What the provider says of it; its addresses count unless `bind` is set.
    """
    nets = networks(settings, site)
    if settings.bind is None and site.addresses:
        hosts = dict.fromkeys(map(ip_address, site.addresses))
        # Those that others search for come first.
        return [str(each) for each in sorted(hosts, key=lambda host: not _is_inside(host, nets))]
    if len(nets) == 1:
        return bind_candidates(nets[0], machine_addresses(), bind=settings.bind)
    each_net = (bind_candidates(net, machine_addresses(), bind=settings.bind) for net in nets)
    return tuple(dict.fromkeys(host for hosts in each_net for host in hosts))


def _is_inside(host: IPv4Address | IPv6Address, nets: Sequence[Network]) -> bool:
    return any(host in net for net in nets)


def open_listener(
    settings: NodeSettings, site: Site = UNTOLD, *, patience: float = 2.0
) -> tuple[socket.socket, Address]:
    """
    Return a socket that listens, does not block and is not inherited, and its address.

    It is the first address that is free of those that are allowed: `bind`; what the provider of
    the machine says; on loopback, any of the network; else those of this machine inside the
    network.

    Args:
        settings: The settings of the node.
        site: What the provider says of it, if it does.
        patience: How long the only allowed address is waited for, in seconds: the processes of a
            node that was just killed may hold it for a moment.

    Raises:
        AddressTaken: All of them are in use.
        NoAddress: There is none, or the system does not let this user listen there.
    """
    candidates = allowed_hosts(settings, site)
    if not candidates:
        raise NoAddress(_nothing_inside(settings, site))
    deadline = clock.monotonic() + patience
    while True:
        for host in candidates:
            address = Address(host, settings.listener_port)
            if (listener := _listen(settings, address, site)) is not None:
                return listener, address
        if len(candidates) > 1 or clock.monotonic() >= deadline:
            raise AddressTaken(_all_taken(candidates[0], candidates[-1], settings))
        threading.Event().wait(_GLANCE)


def _listen(settings: NodeSettings, address: Address, site: Site) -> socket.socket | None:
    """Return a socket that listens there; `None` if the address is in use."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier node may be winding down; who listens still keeps us out.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise NoAddress(_cannot_listen(settings, address, site, error)) from error
    return listener


def _cannot_listen(settings: NodeSettings, address: Address, site: Site, error: OSError) -> str:
    key = _key(settings, site)
    if error.errno == errno.EADDRNOTAVAIL:
        fix = "; set bind" if key == "use_az_net" else ""
        return (
            f"{key}: expected an address of this machine, got: {address.host}; "
            f"it has {_listed(machine_addresses())}{fix}"
        )
    if error.errno == errno.EACCES:
        key = "listener_port"
    return f"{key}: cannot listen on {address}: {error.strerror}"


def _key(settings: NodeSettings, site: Site) -> str:
    """Return the key of the configuration that an address comes from."""
    if settings.bind is not None:
        return "bind"
    return "use_az_net" if site.addresses or site.networks else "cluster_net"


def _nothing_inside(settings: NodeSettings, site: Site) -> str:
    nets = " or ".join(map(str, networks(settings, site)))
    return (
        f"{_key(settings, site)}: expected this machine to have an address inside "
        f"{nets}; it has {_listed(machine_addresses())}"
    )


def _all_taken(first: str, last: str, settings: NodeSettings) -> str:
    port = settings.listener_port
    if first == last:
        return f"listener_port: another node, or another program, listens on {Address(first, port)}"
    return (
        f"listener_port: other nodes, or other programs, listen on port {port} of all "
        f"addresses from {first} to {last}; use another port or a smaller cluster_net_mask"
    )


def _listed(addresses: Iterator[str]) -> str:
    return ", ".join(sorted(set(addresses))) or "none"


def machine_addresses() -> Iterator[str]:
    """Yield the addresses of this machine; psutil is imported only if somebody looks."""
    import psutil

    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in {socket.AF_INET, socket.AF_INET6}:
                yield entry.address


def node_name(settings: NodeSettings, address: Address, machine: str | None = None) -> str:
    """
    Return what the node is called: as configured, or else after its place.

    On loopback that is its address, elsewhere the first part of the machine's name. The form is the
    one of names between nodes: small letters, digits, `.`, `_` and `-`.

    Args:
        settings: The settings of the node.
        address: Where it listens.
        machine: The host name of the machine; `None` asks the system.
    """
    if settings.name is not None:
        return settings.name
    if not ip_network(address.host).is_loopback:
        whole = socket.gethostname() if machine is None else machine
        short = whole.lower().partition(".")[0]
        name = re.sub("[^a-z0-9_-]", "-", short).lstrip("_-")[:_LONGEST_NAME]
        if name not in _NO_NAMES:
            return name
    name = address.host.replace(":", "-")
    return f"0{name}" if name.startswith("-") else name


def locator_settings(settings: NodeSettings, site: Site = UNTOLD) -> LocatorSettings:
    """
    Return where other nodes are looked for, and how fast.

    Args:
        settings: The settings of the node.
        site: What the provider says of its machine, if it does.
    """
    nets = networks(settings, site)
    return LocatorSettings(
        networks=nets,
        per_second=search_pace(nets, _neighbour_limit()),
        port=settings.listener_port,
        seeds=settings.seeds,
        names=settings.seed_names,
        skip_azure_reserved=bool(site.networks),
    )


def search_pace(nets: Sequence[Network], neighbours: int) -> float:
    """
    Return how many addresses of the networks are asked in a second.

    On a network that this machine is attached to, each address that does not answer takes a place
    in the kernel's table of neighbours for 3 s. If that is full, other programs suffer, and nodes
    that are there are missed.

    Args:
        nets: The networks.
        neighbours: How many places the table has.
    """
    default = LocatorSettings((), 1).per_second
    asked = sum(net.num_addresses for net in nets if net.version == 4 and not net.is_loopback)
    if asked <= neighbours * 3 / 4:
        return default
    return min(default, neighbours / 4)


def _neighbour_limit() -> int:
    try:
        return int(_NEIGHBOURS.read_text("ascii"))
    except (OSError, ValueError):
        return _FEWEST_NEIGHBOURS


def state_file(
    settings: NodeSettings, name: str, environ: Mapping[str, str] = os.environ
) -> str | None:
    """
    Return where a node remembers its peers: a file inside `$XDG_STATE_HOME/beethoven`.

    Args:
        settings: The settings of the node.
        name: What the node is called.
        environ: The variables of the environment.

    Returns:
        The path, absolute; `None` if the user has neither that folder nor a home.

    Source:
        XDG Base Directory Specification: ~/.local/state by default, relative paths are ignored.
    """
    folder = Path(environ.get("XDG_STATE_HOME", ""))
    if not folder.is_absolute():
        home = Path(environ.get("HOME", ""))
        if not home.is_absolute():
            return None
        folder = home / ".local" / "state"
    return str(
        folder / "beethoven" / f"peers-{settings.cluster}-{name}-{settings.listener_port}.json"
    )
