"""Which nodes a role is kept away from for a while, because it failed there. Pure."""

from collections.abc import Container, Mapping

from beethoven.supervision.backoff import Backoff

# A role and a node.
Pair = tuple[str, str]


class Avoidance:
    """
    Keeps roles away from nodes where they failed, each time for longer.

    Args:
        backoff: How long, by number of failures in a row.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._until: dict[Pair, float] = {}
        self._strikes: dict[Pair, int] = {}

    def strike(self, pair: Pair, *, now: float, at_least: float = 0.0) -> float | None:
        """
        Note a failure of a role on a node.

        Args:
            pair: The role and the node.
            now: Monotonic time in seconds.
            at_least: How long the node itself will not try, in seconds.

        Returns:
            For how long the role is kept away from the node, in seconds; `None` if it already is.
        """
        if self._until.get(pair, now) > now:
            return None
        self._strikes[pair] = self._strikes.get(pair, 0) + 1
        wait = max(at_least, self._backoff.delay(self._strikes[pair]))
        self._until[pair] = now + wait
        return wait

    def forgive(self, pair: Pair) -> None:
        """Forget the failures of a role that has been running well on a node."""
        self._strikes.pop(pair, None)
        self._until.pop(pair, None)

    def forget_all_but(self, nodes: Container[str]) -> None:
        """Forget what happened on other nodes."""
        for pair in [pair for pair in self._strikes if pair[1] not in nodes]:
            self.forgive(pair)

    def adopt(self, left: Mapping[Pair, float], *, now: float) -> None:
        """Take over what another coordinator knew: for how many seconds more, by pair."""
        for pair in sorted(left):
            if left[pair] > 0:
                self._strikes.setdefault(pair, 1)
                self._until[pair] = max(self._until.get(pair, 0.0), now + left[pair])

    def left(self, *, now: float) -> dict[Pair, float]:
        """Return for how many seconds more each pair is avoided."""
        return {pair: until - now for pair, until in sorted(self._until.items()) if until > now}
