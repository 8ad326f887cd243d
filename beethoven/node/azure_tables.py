"""The table `[azure]`: how Azure's metadata service is used."""

import re
from ipaddress import ip_address
from typing import Final

from beethoven.cloud.notice import NoticeKind
from beethoven.cloud.settings import AzureSettings, Endpoint
from beethoven.node import kinds
from beethoven.node.kinds import Unexpected, alternatives
from beethoven.node.tables import TableReader

_SCHEME: Final = "http://"
_ENDPOINT: Final = (
    'a numeric address of plain HTTP without a path, such as "http://169.254.169.254"'
)
_INTERFACE: Final = (
    'an address or a MAC address of this machine, such as "10.1.2.3" or "00-0d-3a-2b-3c-4d"'
)
_MAC: Final = re.compile("[0-9A-Fa-f]{2}([:-]?[0-9A-Fa-f]{2}){5}")
# A hint has no beginning that anybody could bring forward.
_ACKNOWLEDGED: Final = tuple(kind for kind in NoticeKind if kind is not NoticeKind.REBALANCE)


def read_azure(table: TableReader) -> AzureSettings:
    """Return what the table says."""
    default = AzureSettings()
    settings = AzureSettings(
        endpoint=table.read("endpoint", endpoint, default.endpoint),
        interface=table.read("interface", interface, default.interface),
        acknowledge=table.read("acknowledge", acknowledged, default.acknowledge),
        hand_over_within=table.read("hand_over_within", kinds.duration, default.hand_over_within),
    )
    table.finish()
    return settings


def endpoint(value: object) -> Endpoint:
    """Check where the service is: no name server is asked, and nothing is encrypted."""
    _, at, place = str(value).rpartition("@")
    if at:
        # What is before it may be a password.
        raise Unexpected(_ENDPOINT, f"...@{place}", fix="leave out who is to log in: nobody is")
    if not isinstance(value, str) or not value.startswith(_SCHEME):
        raise Unexpected(_ENDPOINT, value, fix=_with_scheme(value))
    found = re.fullmatch(
        r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?/?",
        value.removeprefix(_SCHEME),
    )
    port = 80 if found is None or found["port"] is None else int(found["port"])
    try:
        if found is None or not 1 <= port <= 65535:
            raise ValueError(value)
        address = ip_address(found["six"] or found["four"])
        if address.is_unspecified or address.is_multicast:
            raise ValueError(value)
    except ValueError as error:
        raise Unexpected(_ENDPOINT, value) from error
    return Endpoint(str(address), port)


def interface(value: object) -> str:
    """Check what an interface is chosen by; an empty one leaves the choice to the node."""
    if isinstance(value, str) and (not value or _MAC.fullmatch(value)):
        return value
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError(value)
        return str(ip_address(value))
    except ValueError as error:
        raise Unexpected(_INTERFACE, value) from error


def acknowledged(value: object) -> frozenset[NoticeKind]:
    """Check a list of kinds of notices that can be acknowledged."""
    words = [f'"{kind}"' for kind in _ACKNOWLEDGED]
    if not isinstance(value, list) or any(each not in _ACKNOWLEDGED for each in value):
        fix = f'write ["{value}"]' if value in _ACKNOWLEDGED else None
        raise Unexpected(f"a list of {alternatives(words)}", value, fix=fix)
    return frozenset(NoticeKind(each) for each in value)


def _with_scheme(value: object) -> str | None:
    if isinstance(value, str) and re.fullmatch("[0-9.]+(:[0-9]+)?", value):
        return f'write "{_SCHEME}{value}"'
    return None
