"""
Addresses: where nodes listen, which addresses of a network are searched, and which one is bound.

A network of IPv4 is a lazy sequence here, however large it is; one of IPv6 is never enumerated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, overload

from beethoven.errors import SpecError

Network = IPv4Network | IPv6Network

# Azure keeps the first four addresses of a subnet, and the last one, for itself.
_FIRST_ON_AZURE: Final = 4


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """
    Where a node listens.

    Attributes:
        host: A numeric address of IPv4 or IPv6.
        port: Its TCP port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = None) -> "Address":
        """
        Return the address that is written `10.1.2.3:33000` or `[fd00::1]:33000`.

        Args:
            text: The address. Without a port it gets the default one, and needs no brackets.
            default_port: The port of an address that names none.

        Raises:
            SpecError: It is no such address.
        """
        host, colon, port = text.rpartition(":")
        if not colon or (":" in host and not host.endswith("]")):
            host, port = text, "" if default_port is None else str(default_port)
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            number = int(port) if port.isascii() and port.isdigit() else 0
            if not 1 <= number <= 65535:
                raise ValueError(port)
            return cls(str(ip_address(bare)), number)
        except ValueError as error:
            rule = "a numeric address and a port, such as 10.1.2.3:33000"
            raise SpecError(subject="cluster", field="address", expected=rule, got=text) from error

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def network_of(net: str, mask: int | None = None) -> Network:
    """
    Return the network around an address, which need not be its first one.

    Args:
        net: The address, with or without `/mask`.
        mask: How many leading bits are shared, if that is not written behind the address.
    """
    return ip_network(net if mask is None else f"{net}/{mask}", strict=False)


def host_numbers(network: Network, *, skip_azure_reserved: bool = False) -> range:
    """
    Return the addresses of a network that a host may have, as numbers.

    The first and the last address of a network are no hosts, except in a /31, which has two hosts
    and nothing else, and a /32, which is one host.

    Args:
        network: One of IPv6 has none that could be enumerated.
        skip_azure_reserved: Whether to leave out what Azure keeps of each subnet.

    Source:
        RFC 1122 (first and last), RFC 3021 (/31), RFC 4632 (/32).
    """
    if isinstance(network, IPv6Network):
        return range(0)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.prefixlen >= 31:
        return range(first, last + 1)
    return range(first + (_FIRST_ON_AZURE if skip_azure_reserved else 1), last)


@dataclass(frozen=True, slots=True)
class HostAddresses(Sequence[str]):
    """
    The host addresses of a network, in an order, without being held in memory.

    Attributes:
        numbers: The addresses, as numbers.
        own: The number that is left out, if any.
        nearest_first: Whether the order is one above the own, one below, two above, two below,
            and so on, instead of ascending.
    """

    # Invariant: own is None or own in numbers
    numbers: range
    own: int | None = None
    nearest_first: bool = False

    def __len__(self) -> int:
        return len(self.numbers) - (self.own is not None)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        return str(IPv4Address(self._number(position)))

    def _number(self, position: int) -> int:
        if self.own is None:
            return self.numbers[position]
        below, above = self.own - self.numbers[0], self.numbers[-1] - self.own
        if not self.nearest_first:
            return self.numbers[position + (position >= below)]
        nearby = min(below, above)
        if position < 2 * nearby:
            step = position // 2 + 1
            return self.own + (step if position % 2 == 0 else -step)
        step = position - nearby + 1
        return self.own + (step if above > below else -step)


def scan_targets(
    network: Network, own: str | None, *, skip_azure_reserved: bool = False
) -> HostAddresses:
    """
    Return the addresses to look at, each once, the likeliest first; never the own one.

    Neighbours are likely, so the order starts there. On loopback it is ascending, since nodes take
    the first address that is free.

    Args:
        network: What is searched. One of IPv6 has no targets.
        own: The own address, inside or outside the network, if there is one.
        skip_azure_reserved: Whether to leave out what Azure keeps of each subnet.
    """
    numbers = host_numbers(network, skip_azure_reserved=skip_azure_reserved)
    address = None if own is None else ip_address(own)
    if not isinstance(address, IPv4Address) or int(address) not in numbers:
        return HostAddresses(numbers)
    return HostAddresses(numbers, int(address), nearest_first=not network.is_loopback)


def bind_candidates(
    network: Network, interface_addresses: Iterable[str], *, bind: str | None = None
) -> Sequence[str]:
    """
    Return the addresses to try to listen on, in order; the first that is free is the node's own.

    Args:
        network: The cluster's network.
        interface_addresses: The addresses of this machine.
        bind: The address that the user has set, inside the network or not.

    Returns:
        The address that is set; else, on loopback, all hosts of the network; else the addresses
        of this machine inside it, which may be none.

    Raises:
        SpecError: What is set is no address that others could dial.
    """
    if bind is not None:
        return (_dialable(bind),)
    if network.is_loopback:
        numbers = host_numbers(network)
        return HostAddresses(numbers) if numbers else (str(network.network_address),)
    known = dict.fromkeys(ip_address(text.partition("%")[0]) for text in interface_addresses)
    return tuple(str(each) for each in known if each in network and not each.is_loopback)


def _dialable(text: str) -> str:
    rule = "a numeric address of this machine"
    try:
        address = ip_address(text)
    except ValueError as error:
        raise SpecError(subject="[beethoven]", field="bind", expected=rule, got=text) from error
    if address.is_unspecified or address.is_multicast:
        raise SpecError(subject="[beethoven]", field="bind", expected=rule, got=text)
    return str(address)
