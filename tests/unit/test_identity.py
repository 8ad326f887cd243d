"""Who a node is after its site has changed: what is written down, and what counts more."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from beethoven.cloud.site import Site
from beethoven.cluster.addresses import Address
from beethoven.cluster.cookie import CookieSource
from beethoven.cluster.identity import current, store
from beethoven.cluster.link_messages import MOST_LABELS
from beethoven.cluster.member import Member
from beethoven.node.identity import member_at, secret_problem
from beethoven.node.settings import NodeSettings

OWN = Member("id1", "viola", Address("127.0.0.1", 7), 9, frozenset({"ssd"}), joined_at=12.5)
SITE = Site("web_3", labels=frozenset({"az.zone=1"}), zone="westeurope-1")
THERE = Address("127.0.10.4", 7)


def settings(**values):
    return NodeSettings(Path("/srv/app.toml"), **values)


def test_it_is_what_it_was_at_its_boot_until_something_is_written_down(tmp_path):
    assert current(str(tmp_path), OWN) == OWN
    moved = replace(OWN, address=THERE, labels=frozenset({"a", "b"}), zone="z", machine="web_3")
    store(str(tmp_path), moved)
    assert current(str(tmp_path), OWN) == moved
    store(str(tmp_path), replace(moved, zone=""))
    assert current(str(tmp_path), OWN).zone == ""
    assert [each.name for each in tmp_path.iterdir()] == ["identity.json"]


def test_what_others_cannot_be_told_is_not_written_down(tmp_path):
    for change in ({"zone": "z" * 65}, {"machine": "m" * 999}, {"labels": frozenset({"\n"})}):
        with pytest.raises(ValueError, match=r"expected"):
            store(str(tmp_path), replace(OWN, **change))
    assert list(tmp_path.iterdir()) == []


def test_what_another_boot_has_written_down_does_not_count(tmp_path):
    store(str(tmp_path), replace(OWN, node_id="id0", zone="z"))
    assert current(str(tmp_path), OWN) == OWN


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"{}", b'{"node_id": 1}', b"\xff"])
def test_what_cannot_be_read_does_not_count(tmp_path, content):
    (tmp_path / "identity.json").write_bytes(content)
    assert current(str(tmp_path), OWN) == OWN


def test_a_site_adds_to_what_is_configured(tmp_path):
    found = member_at(OWN, settings(labels=frozenset({"ssd"})), SITE, THERE)
    assert found == replace(
        OWN,
        address=THERE,
        labels=frozenset({"ssd", "az.zone=1"}),
        zone="westeurope-1",
        machine="web_3",
    )


def test_what_is_configured_counts_more():
    many = frozenset(f"label{each}" for each in range(MOST_LABELS - 1))
    site = replace(SITE, labels=frozenset({"az.vm=web_3", "az.zone=1"}))
    found = member_at(OWN, settings(labels=many, zone="rack"), site, THERE)
    assert found.zone == "rack"
    assert many < found.labels
    assert len(found.labels) == MOST_LABELS


def test_a_label_takes_the_place_of_what_the_site_says_with_the_same_key():
    site = replace(SITE, labels=frozenset({"az.zone=1", "az.zones=3", "az.vm=web_3", "spot"}))
    found = member_at(OWN, settings(labels=frozenset({"az.zone=9", "az.vm"})), site, THERE)
    assert found.labels == {"az.zone=9", "az.vm", "az.zones=3", "spot"}


def test_what_a_site_says_no_more_is_forgotten():
    known = member_at(OWN, settings(), SITE, THERE)
    assert member_at(known, settings(), Site(), OWN.address) == replace(OWN, labels=frozenset())


@pytest.mark.parametrize(
    "site",
    [
        Site(networks=(ip_network("10.0.0.0/28"),)),
        Site(addresses=("10.0.0.4",)),
        Site(networks=(ip_network("127.0.10.0/29"), ip_network("10.0.0.0/28"))),
    ],
)
def test_beyond_loopback_a_site_takes_a_cookie_that_was_given(site):
    assert "reaches beyond this machine" in str(secret_problem(site, CookieSource.USER))
    assert secret_problem(site, CookieSource.FILE) is None
    assert secret_problem(site, CookieSource.ENVIRONMENT) is None


def test_on_loopback_none_is_needed():
    site = Site("m", (ip_network("127.0.10.0/29"),), ("127.0.10.4",))
    assert secret_problem(site, CookieSource.USER) is None
