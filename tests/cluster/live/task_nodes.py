"""Clusters whose nodes run functions, and how to see what is at work there."""

from tests.cluster.live.cluster import Cluster, wait_until
from tests.processes import is_running


class Nodes(Cluster):
    """Nodes called node-0, node-1, ..., with labels n0, n1, ..., that tell their names."""

    def start(self, *numbers):
        for number in numbers or range(len(self.players)):
            name = f"node-{number}"
            self.environ |= {
                "BEETHOVEN_NAME": name,
                "PLACE": name,
                "BEETHOVEN_LABELS": f"n{number}",
            }
            super().start(number)

    def begin(self, nodes):
        """Start that many nodes, and wait until they are one cluster."""
        self.start(*range(nodes))
        self.wait_formed(nodes)


def at_work(folder, number=1):
    """Return the pids of the functions at work, once there are so many."""
    found: list[int] = []

    def are_there():
        found[:] = [int(each.name.rpartition("-")[2]) for each in folder.glob("at-work-*")]
        return len(found) >= number

    wait_until(are_there, 20.0, f"{number} at work")
    return found


def gone(pids, timeout=15.0):
    wait_until(lambda: not any(map(is_running, pids)), timeout, f"{pids} are gone")
