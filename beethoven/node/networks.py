"""The network that is searched for other nodes: its first address and its mask."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_interface, ip_network
from typing import Final

from beethoven.node.kinds import Unexpected
from beethoven.node.tables import TableReader

_MASKS: Final = frozenset(map(str, range(129)))
_RULE: Final = 'a network, such as "10.1.2.0" or "10.1.2.0/24"'


@dataclass(frozen=True, slots=True)
class Network:
    """
    A network as it is written.

    Attributes:
        address: Any address inside it.
        mask: How many leading bits its addresses share; `None` if that is written elsewhere.
    """

    address: IPv4Address | IPv6Address
    mask: int | None


def read_network(table: TableReader, net: str, mask: int) -> tuple[str, int]:
    """
    Return the first address and the mask of the network that a `[beethoven]` table names.

    The mask may stand in `cluster_net_mask` or behind `cluster_net`.

    Args:
        table: The table.
        net: The first address if `cluster_net` is missing.
        mask: The mask, for IPv4, if it stands nowhere.
    """
    default = network(net)
    written = table.read("cluster_net", network, default)
    given = table.read("cluster_net_mask", _mask, None)
    if written is default and table.has("cluster_net"):
        return net, mask  # already reported, and the mask means nothing without it
    agreed = _agreed_mask(table, written, given, mask)
    if agreed is None:
        return net, mask
    aligned = ip_network((written.address, agreed), strict=False)
    if aligned.network_address != written.address:
        note = f"{written.address}/{agreed} is inside {aligned}, which is searched"
        table.report.note(table.path_of("cluster_net"), note)
    return str(aligned.network_address), agreed


def network(value: object) -> Network:
    """Check the kind of networks: an address, with or without `/mask`."""
    if not isinstance(value, str) or "%" in value:
        raise Unexpected(_RULE, value)
    try:
        interface = ip_interface(value)
    except ValueError as error:
        raise Unexpected(_RULE, value) from error
    return Network(interface.ip, interface.network.prefixlen if "/" in value else None)


def _mask(value: object) -> int:
    number = int(value) if isinstance(value, str) and value in _MASKS else value
    if type(number) is not int or str(number) not in _MASKS:
        raise Unexpected("an integer from 0 to 32, or to 128 for IPv6", value)
    return number


def _agreed_mask(
    table: TableReader, written: Network, given: int | None, default: int
) -> int | None:
    """Return the mask that the two keys agree on; `None`, after reporting it, if they do not."""
    path, widest = table.path_of("cluster_net_mask"), written.address.max_prefixlen
    if written.mask is not None:
        if given not in {None, written.mask}:
            text = f"expected {written.mask}, as cluster_net says, got: {given}"
            table.report.problem(path, text, fix="leave one of the two masks out")
        return written.mask
    if given is None and written.address.version == 4:
        return default
    if given is None:
        path = table.path_of("cluster_net")
        fix = f'write "{written.address}/120", or set cluster_net_mask'
        table.report.problem(path, "expected a mask, which an IPv6 network needs", fix=fix)
    elif given > widest:
        table.report.problem(path, f"expected an integer from 0 to {widest}, got: {given}")
        return None
    return given
