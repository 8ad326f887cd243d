"""The provider of machines whose place is known beforehand: it asks nobody."""

from collections.abc import Mapping
from typing import Any

from beethoven.cloud.provider import Effect, Event, Learned, Started
from beethoven.cloud.site import Site


class Static:
    """
    Says where the node stands at once, and never anything else.

    Args:
        site: Where it stands.
    """

    name = "static"

    def __init__(self, site: Site) -> None:
        self._site = site

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """Return the site when the provider may begin, and nothing ever after."""
        return [Learned(self._site)] if isinstance(event, Started) else []

    def next_deadline(self) -> float | None:
        return None

    def summary(self) -> Mapping[str, Any]:
        """Return what it knows."""
        return {"is_absent": False, "failing": ""}

    def __repr__(self) -> str:
        return f"<Static {self._site}>"
