"""
A node that follows its site: another address, other labels, another zone, in the same life.

What runs on the node does not notice. The processes that tell others who the node is begin anew,
as they may at any moment; the former port stays open for a while, since a port that refuses is the
proof that its node is gone.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from beethoven import clock
from beethoven.cloud.site import Site
from beethoven.cluster.addresses import Address, network_of
from beethoven.cluster.cookie import CookieSource, requires_cookie
from beethoven.cluster.identity import current, store
from beethoven.cluster.link_messages import MOST_LABELS
from beethoven.cluster.listener import fetch_listener, replace_listener, retire_listener
from beethoven.cluster.locator_events import NetworksChanged
from beethoven.cluster.member import Member
from beethoven.errors import AddressTaken, NodeError
from beethoven.log import get_log
from beethoven.node.addresses import allowed_hosts, locator_settings, open_listener
from beethoven.node.component_names import BEACON_SERVER, CORE_SERVER, GROUPS, LOCATOR
from beethoven.node.presence import move
from beethoven.node.settings import NodeSettings
from beethoven.runtime.here import here
from beethoven.runtime.reason import SHUTDOWN
from beethoven.runtime.reference import ask_to_stop, cast_or_drop

# Who tells others who this node is: its address first, its word last.
_TELLERS: Final = (BEACON_SERVER, CORE_SERVER, LOCATOR, GROUPS)
# In the tree's private folder, while some of them may not have begun anew.
_UNSETTLED: Final = "identity-unsettled"
# How long the former port stays open, in seconds: others have linked anew by then, or given up.
_KEPT: Final = 20.0

log = get_log("azure")


def member_at(own: Member, settings: NodeSettings, site: Site, address: Address) -> Member:
    """
    Return who a node is at a site. What its configuration says counts more.

    The labels of both are joined, but for those of the site whose key, before a `=`, the
    configuration has as well.

    Args:
        own: The node, anywhere.
        settings: Those of the node.
        site: Where it stands.
        address: Where it listens there.
    """
    said = {each.partition("=")[0] for each in settings.labels}
    further = [each for each in sorted(site.labels) if each.partition("=")[0] not in said]
    labels = [*settings.labels, *further]
    return replace(
        own,
        address=address,
        labels=frozenset(labels[:MOST_LABELS]),
        zone=settings.zone or site.zone,
        machine=site.machine,
    )


def secret_problem(site: Site, source: CookieSource) -> str | None:
    """
    Return why a node must not stand there with a cookie from there; `None` if it may.

    Args:
        site: Where it is to stand.
        source: Where its cookie comes from.
    """
    reach = (*site.networks, *(network_of(host) for host in site.addresses))
    problems = (requires_cookie(each, source) for each in reach)
    return next((each for each in problems if each is not None), None)


@dataclass(slots=True)
class Follower:
    """
    Has the node follow its site, from whichever process of it.

    Attributes:
        settings: Those of the node.
        own: Who the node was at its boot.
        source: Where its cookie comes from.
        moved_at: When the node may have moved last; `None` before anything is known.
    """

    settings: NodeSettings
    own: Member
    source: CookieSource
    moved_at: float | None = None

    def machine(self) -> str:
        """Return what the provider has called the machine last; empty is unknown."""
        return current(here.folder, self.own).machine

    def settle(self, site: Site) -> None:
        """
        Have the node stand where its provider says; nothing happens if it does.

        What the provider does not say stays as it is.

        Raises:
            NodeError: It cannot, and stays where it is.
        """
        if problem := secret_problem(site, self.source):
            raise NodeError(problem)
        known = current(here.folder, self.own)
        address = self._address(known, site)
        wanted = replace(known, address=address)
        if site.machine:
            wanted = member_at(known, self.settings, site, address)
        if wanted != known or Path(here.folder, _UNSETTLED).exists():
            self._become(wanted, known)
        else:
            self._retire()
        self.guide(site)

    def guide(self, site: Site) -> None:
        """Tell the locator where other nodes are, if the provider says that."""
        if not site.networks:
            return
        search = locator_settings(self.settings, site)
        skips = search.skip_azure_reserved
        news = NetworksChanged(search.networks, search.per_second, skip_azure_reserved=skips)
        cast_or_drop(LOCATOR, ("networks", news))

    def _address(self, known: Member, site: Site) -> Address:
        """Return where the node listens there, which it does from now on."""
        hosts = allowed_hosts(self.settings, site)
        says_nothing = not site.addresses and not site.networks
        if says_nothing or known.address.host in hosts:
            return known.address
        # Somebody who died over it may have opened that port already.
        with fetch_listener(here.folder) as held:
            host, port = held.getsockname()[:2]
        if host in hosts:
            return Address(host, port)
        try:
            listener, address = open_listener(self.settings, site, patience=0.0)
        except AddressTaken:
            # The node may be on its way back to where it was.
            retire_listener(here.folder)
            listener, address = open_listener(self.settings, site, patience=0.0)
        with listener:
            replace_listener(here.folder, listener)
        self.moved_at = clock.elapsed()
        return address

    def _become(self, wanted: Member, known: Member) -> None:
        unsettled = Path(here.folder, _UNSETTLED)
        unsettled.touch(mode=0o600)
        try:
            store(here.folder, wanted)
        except ValueError as error:
            raise NodeError(str(error)) from error
        move(wanted.name, str(wanted.address))
        if wanted.address != known.address:
            log.warning("node_moved", address=wanted.address, former=known.address)
        told = {"machine": wanted.machine, "zone": wanted.zone}
        log.info("site_followed", **told, labels=",".join(sorted(wanted.labels)))
        for each in _TELLERS:
            ask_to_stop(each, SHUTDOWN)
        unsettled.unlink()

    def _retire(self) -> None:
        """Let the former port go, once it has been kept for long enough."""
        now = clock.elapsed()
        if self.moved_at is None:
            self.moved_at = now
        elif now - self.moved_at >= _KEPT:
            retire_listener(here.folder)
            self.moved_at = float("inf")
