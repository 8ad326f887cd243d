"""What the puppets of a test have seen."""

from tests.integration import roles
from tests.processes import wait_until


def seen(ref):
    return ref.call((roles.seen,))


def wait_for_seen(ref, number):
    wait_until(lambda: len(seen(ref)) >= number)
    return seen(ref)


def seen_when_all_is_quiet(ref):
    """Return what a process has seen when nothing more can be on its way."""
    ref.call((roles.sleep, 0.05))
    return seen(ref)
