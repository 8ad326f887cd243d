"""`connect`: a program speaks to the roles of a cluster, by a node of this machine or over TCP."""

import os
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Final, NoReturn, Self

from beethoven.cluster.addresses import Address
from beethoven.cluster.cookie import find_keyring
from beethoven.cluster.keyring import BadKey, Keyring
from beethoven.errors import ConfigError, NodeNotFound, SpecError
from beethoven.node import errand
from beethoven.node.cluster_handle import ClusterHandle
from beethoven.node.presence import find_node, running_nodes
from beethoven.remote.way import LocalWay, TcpWay, Way, way_from_here
from beethoven.runtime.reference import DEFAULT_TIMEOUT
from beethoven.supervision.checks import check_number, refuse

# What a node has that is not told otherwise.
_PORT: Final = 33000
_CLUSTER: Final = "beethoven"
_VARIABLE: Final = "BEETHOVEN_CLUSTER"


class Connection(ClusterHandle):
    """
    A program's connection to a cluster, made by `connect`; its threads may share it.

    In a `with` statement it is closed at the end of the block.
    """

    __slots__ = ("_way",)

    def __init__(self, way: Way) -> None:
        self._way = way

    @property
    def way(self) -> Way:
        return self._way

    def close(self) -> None:
        """Close what was opened; nothing can be called from then on."""
        self._way.close()
        errand.sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        rule = "a front or a reference; another process makes a connection of its own"
        raise SpecError(subject="connection", field="what is sent", expected=rule, got=self)

    def __repr__(self) -> str:
        return f"<Connection by {self._way!r}>"


def connect(
    address: str | None = None,
    *,
    node: str | None = None,
    cookie: str | bytes | None = None,
    cluster: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Connection:
    """
    Connect to a cluster.

    Args:
        address: Where one of its nodes listens, such as "10.1.2.3:33000" or "db.internal"; None for
            a node of this user on this machine, which needs no cookie.
        node: The name of the node of this machine; None for the only one, and in a process of a
            node for its own.
        cookie: The secret of the cluster, as in its cookie file; by default it is that of
            `BEETHOVEN_COOKIE`, or else of the user's own cookie file.
        cluster: The name of the cluster at that address; by default that of `BEETHOVEN_CLUSTER`,
            or else "beethoven".
        timeout: Seconds to wait for the node at that address.

    Raises:
        NodeNotFound: No such node runs here, or none answers there.
        HandshakeRefused: The node there belongs to another cluster, or has another cookie.
        ConfigError: There is no cookie, or no fit one.
        SpecError: An argument is wrong.
    """
    _check_texts(address=address, node=node)
    check_number("connect", "timeout", timeout, "seconds >= 0")
    if address is None:
        if cookie is not None:
            rule = "given with an address; a node of this machine needs none"
            raise SpecError(subject="connect", field="cookie", expected=rule, got="a secret")
        if node is None and (own := way_from_here()) is not None:
            return Connection(LocalWay(own.folder, own.node))
        presence = find_node(node)
        return Connection(LocalWay(presence.folder, presence.name, _finder(presence.name)))
    if node is not None:
        rule = "given without an address: it is for a node of this machine"
        raise SpecError(subject="connect", field="node", expected=rule, got=node)
    way = TcpWay(_resolved(address), _keyring(cookie), _cluster(cluster))
    way.directory(timeout)
    return Connection(way)


def _finder(node: str) -> Callable[[], str | None]:
    """Return what finds the folder of a node of this machine, also of its next boot."""

    def find() -> str | None:
        return next((each.folder for each in running_nodes() if each.name == node), None)

    return find


def _check_texts(**arguments: object) -> None:
    rules = {"address": 'an address such as "10.1.2.3:33000"', "node": "the name of a node"}
    for name, value in arguments.items():
        if value is not None and not isinstance(value, str):
            refuse("connect", name, f"{rules[name]}, or None", got=value)


def _cluster(given: str | None) -> str:
    """Return the name of the cluster that is meant."""
    from beethoven.node.config import CLUSTER
    from beethoven.node.kinds import Unexpected

    field, name = "cluster", given
    if given is None:
        # An empty variable counts as not set, as it does for a node.
        field, name = _VARIABLE, os.environ.get(_VARIABLE) or _CLUSTER
    try:
        return CLUSTER(name)
    except Unexpected as wrong:
        refuse("connect", field, wrong.expected, got=name)


def _keyring(cookie: object) -> Keyring:
    if cookie is None:
        return find_keyring(os.environ)
    if not isinstance(cookie, str | bytes):
        # Whatever it is, it may be meant to be a secret.
        refuse("connect", "cookie", "text, or bytes", got=type(cookie))
    text = cookie if isinstance(cookie, str) else cookie.decode("utf-8", "surrogateescape")
    try:
        return Keyring.parse(text)
    except BadKey as error:
        raise ConfigError([f"cookie: {error}"]) from None


def _resolved(text: str) -> Address:
    """Return the address that is meant; a name is looked up."""
    try:
        return Address.parse(text, default_port=_PORT)
    except SpecError:
        host, _, port = text.partition(":")
        digits = port or str(_PORT)
        if not host or not (digits.isascii() and digits.isdigit() and 1 <= int(digits) <= 65535):
            rule = 'a host and a port from 1 to 65535, such as "10.1.2.3:33000" or "db.internal"'
            raise SpecError(subject="connect", field="address", expected=rule, got=text) from None
    try:
        found = socket.getaddrinfo(host, int(port or _PORT), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        raise NodeNotFound(f"no node to be reached: {text}: {error}") from error
    where = found[0][4]
    return Address(str(where[0]), int(where[1]))
