"""Which address of this machine a node goes by."""

import ipaddress

from beethoven.node.settings import NodeSettings


def own_address(settings: NodeSettings) -> str:
    """
    Return the node's `address:port`: the machine's address inside the cluster's network.

    On loopback, and where the machine has none inside, that is the first host of the network.
    """
    net = ipaddress.ip_network(f"{settings.cluster_net}/{settings.cluster_net_mask}")
    inside = [each for each in _machine_addresses() if each in net and not net.is_loopback]
    address = inside[0] if inside else next(iter(net.hosts()))
    host = f"[{address}]" if net.version == 6 else str(address)
    return f"{host}:{settings.listener_port}"


def _machine_addresses() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    import psutil

    texts = [
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family.name in {"AF_INET", "AF_INET6"}
    ]
    return [ipaddress.ip_address(text) for text in texts]
