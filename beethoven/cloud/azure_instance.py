"""
Reads where a machine stands from the document that Azure has of it. Pure.

Azure writes nothing but strings, lists interfaces in no order, and leaves out what there is not.
Whatever is missing or is not what it should be costs only itself, and a remark.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any, Final

from beethoven.cloud.azure_json import Unreadable, inside, listed, table_of, word
from beethoven.cloud.site import Site
from beethoven.cluster.link_messages import LONGEST_LABEL, LONGEST_MACHINE

# What labels and zones of nodes look like.
_LABEL: Final = re.compile("[A-Za-z0-9][A-Za-z0-9._=:/-]*")

_SEPARATORS: Final = re.compile("[:.-]")
_MAC: Final = re.compile("[0-9A-F]{12}")

# A mistaken prefix must not send the node searching through a continent.
_WIDEST: Final = 8
_MOST_INTERFACES: Final = 64
_MOST_PARTS: Final = 256
_MOST_NETWORKS: Final = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What was read.

    Attributes:
        site: Where the node stands.
        remarks: What was left out, in words; nothing in them comes from the document.
    """

    site: Site
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Interface:
    """
    An interface with IPv4.

    Attributes:
        mac: 12 hexadecimal digits in capitals; empty is unknown.
        addresses: Its private addresses, at least one.
        networks: Its subnets.
    """

    mac: str
    addresses: tuple[str, ...]
    networks: tuple[IPv4Network, ...]


@dataclass(slots=True)
class _Remarks:
    """Collects remarks, each once."""

    found: dict[str, None] = field(default_factory=dict)

    def add(self, text: str) -> None:
        self.found[text] = None


def read_instance(
    body: bytes, *, interface: str = "", bind: str | None = None, own: Sequence[str] = ()
) -> Reading:
    """
    Return what a document says.

    The interface that counts is the configured one; else the one that has the address on which the
    node listens; else the first that has one of the own addresses; else the only one that there is.
    If there is none of those, nothing is said of networks.

    Args:
        body: The answer of `/metadata/instance`.
        interface: The configured address or MAC address; empty if there is none.
        bind: The configured address to listen on, if there is one.
        own: The addresses of this machine, that of the default route first.

    Raises:
        Unreadable: It is no such document.
    """
    document, remarks = table_of(body), _Remarks()
    compute = inside(document, "compute")
    machine = word(inside(compute, "name"), LONGEST_MACHINE)
    if not machine:
        remarks.add("the document does not name the machine")
    interfaces = list(_interfaces(document, remarks))
    if not machine and not interfaces:
        raise Unreadable("it tells neither the machine nor its interfaces")
    chosen, first = _choose(interfaces, interface, (*([bind] if bind else []), *own), remarks)
    networks: tuple[IPv4Network, ...] = ()
    addresses: tuple[str, ...] = ()
    if chosen is not None:
        networks = chosen.networks
        others = (each for each in chosen.addresses if each != first)
        addresses = (first, *others) if first else chosen.addresses
        if not networks:
            remarks.add("the interface that counts has no subnet")
    labels, zone = _labels(compute, machine, remarks), _zone(compute)
    return Reading(Site(machine, networks, addresses, labels, zone), tuple(remarks.found))


def _interfaces(document: dict[str, Any], remarks: _Remarks) -> Iterator[_Interface]:
    entries = listed(inside(document, "network", "interface"))
    if not entries:
        remarks.add("the document has no interfaces")
    if len(entries) > _MOST_INTERFACES:
        remarks.add(f"more than {_MOST_INTERFACES} interfaces")
    for entry in entries[:_MOST_INTERFACES]:
        parts = listed(inside(entry, "ipv4", "ipAddress"))[:_MOST_PARTS]
        found = (_address(inside(each, "privateIpAddress"), remarks) for each in parts)
        addresses = tuple(dict.fromkeys(each for each in found if each))
        if addresses:
            mac = _bare_mac(inside(entry, "macAddress"))
            yield _Interface(mac, addresses, _networks(entry, remarks))


def _address(value: object, remarks: _Remarks) -> str:
    """Return an address that others can dial; empty if it is none."""
    if value is None or value == "":
        return ""
    try:
        address = IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        remarks.add("an address that is none")
        return ""
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        remarks.add("an address that nobody can have")
        return ""
    return str(address)


def _networks(entry: object, remarks: _Remarks) -> tuple[IPv4Network, ...]:
    parts = listed(inside(entry, "ipv4", "subnet"))[:_MOST_PARTS]
    found = dict.fromkeys(_network(each, remarks) for each in parts)
    networks = [each for each in found if each is not None]
    if len(networks) > _MOST_NETWORKS:
        remarks.add(f"more than {_MOST_NETWORKS} subnets")
    return tuple(networks[:_MOST_NETWORKS])


def _network(part: object, remarks: _Remarks) -> IPv4Network | None:
    address, prefix = inside(part, "address"), inside(part, "prefix")
    is_prefix = isinstance(prefix, str) and re.fullmatch("[0-9]{1,2}", prefix)
    if not isinstance(address, str) or not is_prefix or "/" in address:
        remarks.add("a subnet without an address or a prefix")
        return None
    try:
        network = IPv4Network(f"{address}/{prefix}", strict=False)
    except ValueError:
        remarks.add("a subnet that is none")
        return None
    if network.prefixlen < _WIDEST:
        remarks.add(f"a subnet wider than /{_WIDEST}")
        return None
    first = network.network_address
    if first.is_unspecified or first.is_multicast or first.is_reserved:
        remarks.add("a subnet that nobody can be in")
        return None
    return network


def _choose(
    interfaces: list[_Interface], configured: str, own: Sequence[str], remarks: _Remarks
) -> tuple[_Interface | None, str]:
    """Return the interface that counts, and the address for which it does, if there is one."""
    for wanted in (configured,) if configured else own:
        address, mac = _plain(wanted), _bare_mac(wanted)
        for each in interfaces:
            if address in each.addresses:
                return each, address
            if configured and mac and mac == each.mac:
                return each, ""
    if configured:
        there = ", ".join(f"{each.mac} {' '.join(each.addresses)}".strip() for each in interfaces)
        remarks.add(f"azure.interface is {configured}, and there are only: {there or 'none'}")
    elif len(interfaces) == 1:
        return interfaces[0], ""
    elif interfaces:
        count = len(interfaces)
        remarks.add(
            f"none of its {count} interfaces is chosen: none has an address of this machine"
        )
    return None, ""


def _plain(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _bare_mac(value: object) -> str:
    """Return the digits of a MAC address, however it is written; empty if it is none."""
    digits = _SEPARATORS.sub("", value).upper() if isinstance(value, str) else ""
    return digits if _MAC.fullmatch(digits) else ""


def _labels(compute: object, machine: str, remarks: _Remarks) -> frozenset[str]:
    told = {
        "az.region": inside(compute, "location"),
        "az.zone": inside(compute, "zone"),
        "az.vm": machine,
        "az.scale-set": _scale_set(compute),
        "az.priority": inside(compute, "priority"),
    }
    labels = set[str]()
    for name, value in told.items():
        if isinstance(value, str) and _is_label(label := f"{name}={value}"):
            # An empty value is one that there is not.
            labels.update({label} if value else ())
        elif value is not None:
            remarks.add(f"the value of {name} does not make a label")
    return frozenset(labels)


def _scale_set(compute: object) -> object:
    """Return the name of the scale set, which machines of some kinds tell only by its path."""
    if name := inside(compute, "vmScaleSetName"):
        return name
    path = inside(compute, "virtualMachineScaleSet", "id")
    return path.rpartition("/")[2] if isinstance(path, str) else path


def _zone(compute: object) -> str:
    region, zone = word(inside(compute, "location"), LONGEST_LABEL), inside(compute, "zone")
    whole = f"{region}-{zone}" if isinstance(zone, str) and zone else region
    return next((each for each in (whole, region) if _is_label(each)), "")


def _is_label(text: str) -> bool:
    return len(text) <= LONGEST_LABEL and bool(_LABEL.fullmatch(text))
