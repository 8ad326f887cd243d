"""
Looks at where a node would be: the networks that it searches, its address, the names of its seeds.

Nothing is searched and nobody is dialled. A port is tried by listening for less than a moment.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from beethoven import clock
from beethoven.cloud.site import Site
from beethoven.cluster.addresses import Address, Network, host_numbers
from beethoven.cluster.locator_events import HostName, LocatorSettings
from beethoven.errors import AddressTaken, NoAddress
from beethoven.node.addresses import allowed_hosts, node_name, open_listener
from beethoven.node.findings import Finding, in_words, ok, problem, warning
from beethoven.node.presence import Presence
from beethoven.node.settings import NodeSettings

_MOST_LOOKUPS: Final = 16
# A search that takes longer finds nobody in time, in seconds.
_LONG: Final = 600.0
_NARROWER: Final = "set a greater cluster_net_mask, or seeds; this node is found later than that"
_UNREACHED: Final = (
    "others that search it do not find this node: search a network of this machine, by cluster_net "
    "or azure.interface, or name this node among the seeds of the others"
)


def net_finding(search: LocatorSettings, addresses: Iterable[str]) -> Finding:
    """
    Return what would be searched for other nodes, and how long that takes.

    Args:
        search: Where, and how fast.
        addresses: Those of this machine.
    """
    networks = search.networks
    names = ", ".join(map(str, networks))
    reserved = search.skip_azure_reserved
    count = sum(len(host_numbers(each, skip_azure_reserved=reserved)) for each in networks)
    seconds = count / search.per_second + search.probe_timeout
    inside = sorted(each for each in addresses if _is_in(networks, each))
    facts: dict[str, Any] = {
        "networks": [str(each) for each in networks],
        "addresses": count,
        "per_second": search.per_second,
        "seconds": round(seconds, 1),
        "own": inside,
    }
    if not count and not (search.seeds or search.names):
        return warning("net", f"{names} has no addresses to search", "set seeds", **facts)
    if not count:
        return ok("net", f"{names} has no addresses to search; seeds are set", **facts)
    rate = f"{search.per_second:.0f} a second"
    text = f"{names}: {_addresses(count)}, searched in about {in_words(seconds)}, {rate}"
    if seconds > _LONG:
        return warning("net", text, _NARROWER, **facts)
    if all(each.is_loopback for each in networks):
        return ok("net", f"{text}; on this machine only", **facts)
    if not inside:
        return warning("net", f"{text}; this machine has no address in it", _UNREACHED, **facts)
    return ok("net", f"{text}; this machine is {', '.join(inside)}", **facts)


def _addresses(count: int) -> str:
    return f"{count} address" if count == 1 else f"{count} addresses"


def _is_in(networks: Sequence[Network], host: str) -> bool:
    address = ip_address(host.partition("%")[0])
    return not address.is_loopback and any(address in each for each in networks)


def bind_finding(
    settings: NodeSettings,
    site: Site,
    nodes: Sequence[Presence],
    running: Sequence[Presence],
) -> Finding:
    """
    Return where a node would listen, and who does so there already.

    Args:
        settings: Those of the node.
        site: Where its machine stands, as far as its provider says so.
        nodes: The nodes of this user that run here.
        running: Those of them that run from the same file.
    """
    taken = {node.address: node for node in nodes}
    try:
        listener, address = open_listener(settings, site, patience=0)
    except AddressTaken as error:
        if running:
            text = ", ".join(_held(node.address, node) for node in running)
            return ok("bind", text, address=running[0].address, is_free=False)
        return _taken(settings, site, taken, str(error))
    except NoAddress as error:
        key = "listener_port" if str(error).startswith("listener_port") else "cluster_net or bind"
        return problem("bind", str(error), f"set {key} to what this machine has", is_free=False)
    listener.close()
    name = node_name(settings, address)
    held = [_held(each, node) for each, node in taken.items()]
    rest = f"; {', '.join(held)}" if held else ""
    text = f"{address} is free, the next node is called {name}{rest}"
    return ok("bind", text, address=str(address), is_free=True, name=name)


def _taken(settings: NodeSettings, site: Site, taken: dict[str, Presence], told: str) -> Finding:
    """Return the finding that no address is left, with who has them."""
    hosts = allowed_hosts(settings, site)
    addresses = [Address(host, settings.listener_port) for host in hosts[:8]]
    holders = [
        _held(str(each), taken[str(each)]) if str(each) in taken else _stranger(each)
        for each in addresses
    ]
    text = "; ".join(dict.fromkeys(holders)) if len(hosts) <= len(addresses) else told
    fix = "stop what listens there, or set another listener_port, the same on every node"
    return problem("bind", text, fix, address=str(addresses[0]), is_free=False)


def _held(address: str, node: Presence) -> str:
    return f"{address} is held by the running node {node.name} (pid {node.pid})"


def _stranger(address: Address) -> str:
    """Return who listens at an address, as far as this user may know."""
    import psutil

    places = {(host, address.port) for host in (address.host, "0.0.0.0", "::")}
    with suppress(psutil.Error, OSError):
        for each in psutil.net_connections("tcp"):
            is_listening = each.status == psutil.CONN_LISTEN and tuple(each.laddr) in places
            if is_listening and each.pid is not None:
                name = psutil.Process(each.pid).name()
                return f"{address} is held by another program, {name} (pid {each.pid})"
    return f"{address} is held by another program, or by a node of another user"


def seeds_finding(
    settings: NodeSettings, lookup: Callable[[str], tuple[str, ...]], within: float
) -> Finding:
    """
    Return whether the names among the seeds stand for addresses.

    Args:
        settings: Those of the node.
        lookup: Returns the addresses of a name; may take as long as it likes.
        within: After how many seconds a name counts as unanswered.
    """
    names, count = settings.seed_names, len(settings.seeds)
    found = _looked_up(names, lookup, within)
    facts: dict[str, Any] = {
        "addresses": [str(each) for each in settings.seeds],
        "names": {each.name: found.get(each.name) for each in names},
    }
    if not names:
        return ok("seeds", f"{_addresses(count)}, no names" if count else "none are set", **facts)
    late = [each for each in facts["names"] if each not in found]
    empty = [each for each in found if not found[each]]
    if late or empty:
        words = [f"no address for {', '.join(empty)}"] if empty else []
        words += [f"no answer within {in_words(within)} for {', '.join(late)}"] if late else []
        fix = "correct seeds, or the name service; a node asks again and again"
        return warning("seeds", "; ".join(words), fix, **facts)
    each_found = ", ".join(f"{name} is {' and '.join(found[name])}" for name in facts["names"])
    return ok("seeds", f"{_addresses(count)}; {each_found}", **facts)


def _looked_up(
    names: Sequence[HostName], lookup: Callable[[str], tuple[str, ...]], within: float
) -> dict[str, list[str]]:
    """Return the addresses of the names that are known in time, some of them none."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[str, list[str]]] = queue.SimpleQueue()
    wanted = list(dict.fromkeys(each.name for each in names))
    for name in wanted:
        waiting.put(name)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                name = waiting.get_nowait()
                try:
                    answers.put((name, list(lookup(name))))
                except (OSError, ValueError):
                    answers.put((name, []))

    for _ in range(min(_MOST_LOOKUPS, len(wanted))):
        threading.Thread(target=work, daemon=True).start()
    found: dict[str, list[str]] = {}
    deadline = clock.monotonic() + within
    with suppress(queue.Empty):
        while len(found) < len(wanted):
            name, hosts = answers.get(timeout=max(0.0, deadline - clock.monotonic()))
            found[name] = hosts
    return found
