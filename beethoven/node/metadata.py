"""
How a node asks the provider of its machine: once at boot, and from then on by its watcher.

The provider itself, and what its watcher is made of, is loaded only by a node that needs it.
"""

from typing import Final

from beethoven.cloud.first_look import first_look
from beethoven.cloud.notices_state import NoticesSettings
from beethoven.cloud.provider import Provider
from beethoven.cloud.site import UNTOLD, Site
from beethoven.cloud.static import Static
from beethoven.cluster.cookie import CookieSource
from beethoven.cluster.member import Member
from beethoven.node.component_names import AZURE
from beethoven.node.settings import NodeSettings
from beethoven.supervision.child_spec import ChildSpec

# How long a node waits at its boot for what the provider says, in seconds.
_FIRST_LOOK: Final = 0.5


def provider_of(settings: NodeSettings) -> Provider:
    """Return who says where a node stands and when it must go: the one place that knows them."""
    if not settings.use_az_net:
        return Static(UNTOLD)
    from beethoven.cloud.azure import Azure

    return Azure(settings.azure, settings.bind)


def first_site(settings: NodeSettings) -> tuple[Site, str]:
    """Return where the node stands, and why its provider does not say so at once if it does not."""
    found = first_look(provider_of(settings), settings.azure.endpoint, _FIRST_LOOK)
    return UNTOLD if found.site is None else found.site, found.why


def notices_settings(settings: NodeSettings) -> NoticesSettings:
    """Return what the operator of a node says about notices."""
    azure = settings.azure
    # Whoever stands still for longer is suspect.
    return NoticesSettings(azure.acknowledge, azure.hand_over_within, settings.timing.silence / 2)


def watcher_spec(settings: NodeSettings, own: Member, source: CookieSource) -> ChildSpec:
    """
    Return the child that goes on asking.

    Args:
        settings: Those of the node.
        own: Who the node is at its boot.
        source: Where its cookie comes from.
    """
    from beethoven.cloud.http_client import ask
    from beethoven.cloud.watcher import Watcher, WatcherArgs
    from beethoven.node.identity import Follower

    notices, follower = notices_settings(settings), Follower(settings, own, source)
    args = WatcherArgs(provider_of(settings), settings.azure.endpoint, notices, follower, ask)
    return ChildSpec("azure", Watcher, args, name=AZURE)
