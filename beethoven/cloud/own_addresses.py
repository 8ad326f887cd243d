"""The addresses of this machine, as its system knows them."""

import socket
from pathlib import Path
from typing import Final

_ROUTES: Final = Path("/proc/net/route")
_EVERYWHERE: Final = "00000000"


def own_addresses() -> tuple[str, ...]:
    """Return the IPv4 addresses, those of the interface with the default route first."""
    # Takes a while to import, and few nodes need it.
    import psutil

    try:
        first = default_interface(_ROUTES.read_text("ascii", "replace"))
    except OSError:
        first = ""
    found = psutil.net_if_addrs()
    names = sorted(found, key=lambda name: (name != first, name.startswith("lo")))
    return tuple(
        entry.address for name in names for entry in found[name] if entry.family == socket.AF_INET
    )


def default_interface(routes: str) -> str:
    """
    Return the name of the interface that has the default route; empty if none has.

    Args:
        routes: The kernel's table, as `/proc/net/route` shows it.
    """
    fields = [line.split() for line in routes.splitlines()[1:]]
    defaults = [
        (int(each[6]), each[0])
        for each in fields
        if len(each) > 7 and each[1] == each[7] == _EVERYWHERE and each[6].isdecimal()
    ]
    return min(defaults, default=(0, ""))[1]
