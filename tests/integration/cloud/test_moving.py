"""What a moved node says where others look for it on its machine, and what it lets go of."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from beethoven import clock
from beethoven.cloud.site import Site
from beethoven.cluster.addresses import Address
from beethoven.cluster.cookie import CookieSource
from beethoven.cluster.identity import current, store
from beethoven.cluster.listener import fetch_listener
from beethoven.cluster.member import Member
from beethoven.node.identity import Follower
from beethoven.node.presence import Presence, announce, claimed, move, running_nodes
from beethoven.node.settings import NodeSettings
from beethoven.runtime.here import here
from tests.integration.cloud.test_listener import another, is_open
from tests.integration.cluster.beacon_parts import PortHolder
from tests.processes import end

pytestmark = pytest.mark.process


def test_a_node_is_found_at_its_new_address_at_every_moment(tmp_path):
    presence = Presence("viola", os.getpid(), str(tmp_path), "127.0.0.1:7", 1.5, "/srv/app.toml")
    addresses = ("10.200.200.200:33000", "127.0.0.1:7", "[fd00::1]:33000")
    with claimed("viola") as claim:
        announce(claim, presence)
        is_over = threading.Event()
        seen: set[str] = set()

        def look():
            while not is_over.is_set():
                seen.update(each.address for each in running_nodes())
                assert len(running_nodes()) == 1

        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(50):
                for address in addresses:
                    move("viola", address)
                    assert running_nodes() == [replace(presence, address=address)]
        finally:
            is_over.set()
            thread.join(10)
        assert seen <= {presence.address, *addresses}
    move("viola", "10.0.0.1:7")
    assert running_nodes() == []


def test_the_former_port_is_kept_for_a_while_and_then_let_go(tmp_path):
    holder = PortHolder.start_link()
    try:
        former, port = holder.call("port"), another(holder)
        with fetch_listener(holder.folder) as listener:
            address = Address(*listener.getsockname()[:2])
        own = Member("me", "viola", address, 1)
        settings = NodeSettings(Path("/srv/app.toml"), listener_port=port)
        follower = Follower(settings, own, CookieSource.USER)
        site = Site(addresses=(address.host,))
        follower.settle(site)
        follower.settle(site)
        assert is_open(former)
        follower.moved_at = clock.elapsed() - 60.0
        follower.settle(site)
        assert not is_open(former)
        assert is_open(port)
    finally:
        end(holder)


def test_a_node_stays_what_it_is_in_all_that_its_provider_does_not_say(tmp_path, monkeypatch):
    """As a successor of the watcher learns it from a document that lacks a part."""
    monkeypatch.setattr(here, "folder", str(tmp_path))
    own = Member("me", "viola", Address("127.0.10.4", 33000), 1)
    known = replace(own, labels=frozenset({"az.zone=1"}), zone="westeurope-1", machine="web_3")
    store(str(tmp_path), known)
    follower = Follower(NodeSettings(Path("/srv/app.toml")), own, CookieSource.USER)
    follower.settle(Site(addresses=(own.address.host,)))
    follower.settle(Site("web_3", labels=known.labels, zone=known.zone))
    assert current(str(tmp_path), own) == known
    assert [each.name for each in tmp_path.iterdir()] == ["identity.json"]
