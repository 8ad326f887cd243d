"""What Azure tells of a virtual machine: a document of strings, of which each part has a path."""

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from beethoven.testing.arguments import expect, expect_texts

# Only strings at the leaves; so Azure has it.
Document = str | list["Document"] | dict[str, "Document"]

_MAC_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class Interface:
    """
    A network interface of a virtual machine.

    Attributes:
        mac: 12 hexadecimal digits; separators are left out, letters made capital.
        addresses: Its private IPv4 addresses; none makes it an interface for IPv6 only.
        subnets: Those of its IPv4 addresses, such as `172.19.0.0/28`.
        ipv6: Its private IPv6 addresses.
        public: The public IPv4 address of its first private one; empty if it has none.

    Raises:
        ValueError: One of them is not what it should be.
    """

    mac: str
    addresses: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    public: str = ""

    def __post_init__(self) -> None:
        digits = str(self.mac).replace(":", "").replace("-", "").upper()
        is_mac = len(digits) == _MAC_LENGTH and set(digits) <= set("0123456789ABCDEF")
        expect("mac", "12 hexadecimal digits", self.mac, holds=is_mac)
        object.__setattr__(self, "mac", digits)
        for name in ("addresses", "subnets", "ipv6"):
            expect_texts(name, getattr(self, name))
        for address in self.addresses:
            ipaddress.IPv4Address(address)
        for subnet in self.subnets:
            ipaddress.IPv4Network(subnet)
        for address in self.ipv6:
            ipaddress.IPv6Address(address)

    def document(self) -> Document:
        """Return it as Azure writes it."""
        public = [self.public, *[""] * len(self.addresses)]
        ipv4: list[Document] = [
            {"privateIpAddress": private, "publicIpAddress": outside}
            for private, outside in zip(self.addresses, public, strict=False)
        ]
        networks = [ipaddress.IPv4Network(each) for each in self.subnets]
        subnets: list[Document] = [
            {"address": str(each.network_address), "prefix": str(each.prefixlen)}
            for each in networks
        ]
        ipv6: list[Document] = [{"privateIpAddress": each} for each in self.ipv6]
        return {
            "ipv4": {"ipAddress": ipv4, "subnet": subnets},
            "ipv6": {"ipAddress": ipv6},
            "macAddress": self.mac,
        }


def expect_interfaces(interfaces: object) -> None:
    """
    Check an argument that is interfaces.

    Raises:
        ValueError: It is no sequence, or has something else in it.
    """
    is_right = isinstance(interfaces, Sequence) and all(
        isinstance(each, Interface) for each in interfaces
    )
    expect("interfaces", "a sequence of Interface", interfaces, holds=is_right)


def interface_of(address: str) -> Interface:
    """Return an interface with one address; its subnet has all that begin with the same 24 bits."""
    mac = f"000D3A{int(ipaddress.ip_address(address)) % 0x1000000:06X}"
    if ":" in address:
        return Interface(mac, ipv6=(address,))
    subnet = ipaddress.IPv4Network(f"{address}/24", strict=False)
    return Interface(mac, (address,), (str(subnet),))


def compute_document(
    name: str, *, scale_set: str, region: str, zone: str, priority: str, tags: Mapping[str, str]
) -> dict[str, Document]:
    """
    Return what Azure tells of a machine besides its network.

    Args:
        name: Of the machine.
        scale_set: Empty for a machine of its own.
        region: Such as `westeurope`.
        zone: `1` to `3`; empty for none.
        priority: `Spot` or `Regular`.
        tags: `{name: value}`.

    Raises:
        ValueError: One of them is no text, or the name is empty.
    """
    words = {"scale_set": scale_set, "region": region, "zone": zone, "priority": priority}
    _check_machine(name, words, tags)
    subscription = str(uuid.uuid5(uuid.NAMESPACE_DNS, "subscription.beethoven.invalid"))
    group = f"/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Compute"
    listed: list[Document] = [{"name": key, "value": value} for key, value in tags.items()]
    return {
        "azEnvironment": "AzurePublicCloud",
        "customData": "",
        "evictionPolicy": "Delete" if priority == "Spot" else "",
        "isHostCompatibilityLayerVm": "false",
        "licenseType": "",
        "location": region,
        "name": name,
        "offer": "",
        "osType": "Linux",
        "placementGroupId": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{scale_set}.beethoven.invalid")),
        "platformFaultDomain": "0",
        "platformUpdateDomain": "0",
        "priority": priority,
        "provider": "Microsoft.Compute",
        "publisher": "",
        "resourceGroupName": "rg",
        "resourceId": f"{group}/virtualMachines/{name}",
        "sku": "",
        "subscriptionId": subscription,
        "tags": ";".join(f"{key}:{value}" for key, value in tags.items()),
        "tagsList": listed,
        "version": "",
        "virtualMachineScaleSet": {
            "id": f"{group}/virtualMachineScaleSets/{scale_set}" if scale_set else ""
        },
        "vmId": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.beethoven.invalid")),
        "vmScaleSetName": scale_set,
        "vmSize": "Standard_D2s_v5",
        "zone": zone,
    }


def _check_machine(name: str, words: Mapping[str, str], tags: Mapping[str, str]) -> None:
    expect("name", "a text that is not empty", name, holds=isinstance(name, str) and name != "")
    for key, word in words.items():
        expect(key, "a text", word, holds=isinstance(word, str))
    is_mapping = isinstance(tags, Mapping)
    are_texts = is_mapping and all(isinstance(each, str) for each in [*tags, *tags.values()])
    expect("tags", "texts by name", tags, holds=are_texts)


def instance_document(
    compute: Mapping[str, Document], interfaces: Sequence[Interface] | None
) -> dict[str, Document]:
    """Return the whole document; without `network` if `interfaces` is None."""
    document: dict[str, Document] = {"compute": dict(compute)}
    if interfaces is not None:
        document["network"] = {"interface": [each.document() for each in interfaces]}
    return document


def strings(value: object) -> Document:
    """
    Return a value with nothing but strings at its leaves.

    Args:
        value: As JSON has it. None becomes an empty string, True `true`.
    """
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Mapping():
            return {str(key): strings(each) for key, each in value.items()}
        case str():
            return value
        case Sequence():
            return [strings(each) for each in value]
    return str(value)


def part_of(document: Document, path: str) -> Document:
    """
    Return the part of a document that has a path.

    Args:
        document: The whole.
        path: Names and numbers, such as `network/interface/0`; empty is the whole.

    Raises:
        KeyError: There is no such part.
    """
    part = document
    for step in path.split("/") if path else ():
        match part:
            case dict():
                part = part[step]
            case list() if step.isdecimal() and int(step) < len(part):
                part = part[int(step)]
            case _:
                raise KeyError(step)
    return part


def text_of(part: Document) -> str:
    """Return a leaf as it is, and of anything else what it has: a slash marks what has parts."""
    match part:
        case str():
            return part
        case list():
            names = [(str(index), each) for index, each in enumerate(part)]
        case dict():
            names = list(part.items())
    return "\n".join(name if isinstance(each, str) else f"{name}/" for name, each in names)
