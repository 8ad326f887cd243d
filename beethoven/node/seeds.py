"""Seeds: addresses and names under which other nodes may be found."""

import re
from ipaddress import ip_address
from typing import Final

from beethoven.cluster.addresses import Address
from beethoven.cluster.locator_events import HostName
from beethoven.errors import SpecError
from beethoven.node.kinds import Kind, Unexpected

Seed = Address | HostName

_RULE: Final = 'an address or a name, such as "10.1.2.3", "[fd00::1]:33000" or "db.internal:33000"'
_LONGEST_NAME: Final = 253
_NAME: Final = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?P<last>[a-z0-9-]{1,63})"
)


def seeds(port: int) -> Kind[tuple[Seed, ...]]:
    """
    Return the kind of lists of seeds.

    Args:
        port: The port of those that name none.
    """

    def check(value: object) -> tuple[Seed, ...]:
        if not isinstance(value, list):
            fix = f'write ["{value}"]' if isinstance(value, str) else None
            raise Unexpected("a list of addresses and names", value, fix=fix)
        return tuple(dict.fromkeys(_seed(each, port) for each in value))

    return check


def numeric(value: object) -> str:
    """Check a numeric address that others can dial, and return it as it is commonly written."""
    rule = 'a numeric address of this machine, such as "10.1.2.3"'
    try:
        if not isinstance(value, str) or not _is_dialable(value):
            raise Unexpected(rule, value)
    except ValueError as error:
        raise Unexpected(rule, value) from error
    return str(ip_address(value))


def _seed(value: object, port: int) -> Seed:
    if not isinstance(value, str):
        raise Unexpected(_RULE, value)
    try:
        address = Address.parse(value, default_port=port)
    except SpecError:
        return _name(value, port)
    if not _is_dialable(address.host):
        raise Unexpected(_RULE, value)
    return address


def _name(text: str, default_port: int) -> HostName:
    """
    Check the name of a host.

    Source:
        RFC 1123 §2.1 and RFC 3696 §2: the last part is not made of digits, so that a mistyped
        address is no name.
    """
    host, colon, port = text.partition(":")
    name = host.lower().removesuffix(".")
    found = _NAME.fullmatch(name)
    number = int(port) if re.fullmatch("[0-9]{1,5}", port) else default_port if not colon else 0
    is_fit = found is not None and not found["last"].isdigit() and len(name) <= _LONGEST_NAME
    if not is_fit or not 1 <= number <= 65535:
        raise Unexpected(_RULE, text)
    return HostName(name, number)


def _is_dialable(host: str) -> bool:
    address = ip_address(host)
    return not ("%" in host or address.is_unspecified or address.is_multicast)
