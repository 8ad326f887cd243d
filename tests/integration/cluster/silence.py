"""
Searches a network in which everybody is silent, and prints seconds, addresses and CPU seconds.

Run it in a network namespace of its own, as root: `unshare --net python silence.py PREFIX`. What is
sent goes down a cable at whose end nobody looks; no neighbour is asked for first.
"""

import subprocess
import sys

import psutil

from beethoven.cluster.addresses import network_of
from beethoven.cluster.locator import CORE_SERVER, NAME, Locator, LocatorArgs
from beethoven.cluster.locator_events import LocatorSettings
from tests.integration.cluster.beacons import CLUSTER, member
from tests.integration.cluster.locator_roles import FakeCore
from tests.processes import wait_until

OWN = "10.83.0.1"
PORT = 33000


def main(prefix):
    for command in (
        "link add quiet type veth peer name end",
        "link set quiet arp off",
        "link set end up",
        "link set quiet up",
        f"addr add {OWN}/{prefix} dev quiet",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    core = FakeCore.start_link(frozenset(), name=CORE_SERVER)
    settings = LocatorSettings((network_of(OWN, prefix),), PORT)
    locator = Locator.start_link(LocatorArgs(member(OWN, PORT), CLUSTER, settings), name=NAME)
    wait_until(lambda: moments(core, "searched"), 120)
    (up,), ended = moments(core, "locator_up"), moments(core, "searched")[0]
    cpu = sum(psutil.Process(locator.pid).cpu_times()[:2])
    print(f"{ended - up:.3f} s, {cpu:.2f} s of CPU")  # noqa: T201
    locator.stop()
    core.stop()


def moments(core, word):
    return [moment for moment, request in core.call("told") if request == (word,)]


if __name__ == "__main__":
    main(int(sys.argv[1]))
