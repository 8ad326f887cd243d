"""Addresses of a network: which are hosts, which are searched, which are bound."""

import tracemalloc
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.addresses import (
    Address,
    bind_candidates,
    host_numbers,
    network_of,
    scan_targets,
)
from beethoven.errors import SpecError


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("127.0.0.0/29", [f"127.0.0.{each}" for each in range(1, 7)]),
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.0/31", ["10.0.0.0", "10.0.0.1"]),
        ("10.0.0.7/32", ["10.0.0.7"]),  # upstream loops for ever (D9)
        ("fd00::/64", []),
        ("::1/128", []),
    ],
)
def test_only_hosts_are_searched(network, expected):
    assert list(scan_targets(network_of(network), None)) == expected


def test_the_largest_network_has_every_host():
    targets = scan_targets(network_of("0.0.0.0/0"), None)
    assert (len(targets), targets[0], targets[-1]) == (2**32 - 2, "0.0.0.1", "255.255.255.254")


def test_a_network_need_not_be_written_by_its_first_address():
    """Upstream scans x.78 to x.83 for x.77/29, into the next network (D30)."""
    targets = scan_targets(network_of("10.0.0.77", 29), "10.0.0.77")
    assert set(targets) == {f"10.0.0.{each}" for each in (73, 74, 75, 76, 78)}


def test_what_azure_keeps_is_left_out():
    network = network_of("172.19.0.0/29")
    targets = scan_targets(network, None, skip_azure_reserved=True)
    assert list(targets) == [f"172.19.0.{each}" for each in (4, 5, 6)]
    assert len(host_numbers(network_of("10.0.0.0/16"), skip_azure_reserved=True)) == 65_531


def test_the_neighbours_come_first():
    targets = scan_targets(network_of("10.0.0.0/28"), "10.0.0.3")
    expected = [4, 2, 5, 1, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert list(targets) == [f"10.0.0.{each}" for each in expected]
    targets = scan_targets(network_of("10.0.0.0/29"), "10.0.0.6")
    assert list(targets) == [f"10.0.0.{each}" for each in (5, 4, 3, 2, 1)]


def test_on_loopback_the_lowest_come_first():
    targets = scan_targets(network_of("127.0.0.0/29"), "127.0.0.3")
    assert list(targets) == [f"127.0.0.{each}" for each in (1, 2, 4, 5, 6)]


@given(st.integers(20, 32), st.integers(0, 2**32 - 1), st.integers(0, 2**12), st.booleans())
def test_every_host_but_oneself_is_searched_once(mask, number, offset, on_azure):
    network = ip_network((number, mask), strict=False)
    own = network[offset % network.num_addresses]
    targets = scan_targets(network, str(own), skip_azure_reserved=on_azure)
    numbers = host_numbers(network, skip_azure_reserved=on_azure)
    expected = [each for each in numbers if each != int(own)]
    assert sorted(int(ip_network(each).network_address) for each in targets) == expected


def test_a_large_network_costs_no_memory():
    tracemalloc.start()
    targets = scan_targets(network_of("10.0.0.0/8"), "10.77.0.1")
    assert targets[:4] == ["10.77.0.2", "10.77.0.0", "10.77.0.3", "10.76.255.255"]
    assert targets[16_000_000].startswith("10.")
    assert len(targets) == 2**24 - 3
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000


def test_the_sequence_ends():
    targets = scan_targets(network_of("10.0.0.0/30"), "10.0.0.1")
    assert targets[-1] == "10.0.0.2"
    with pytest.raises(IndexError):
        targets[1]


@pytest.mark.parametrize(
    ("network", "interfaces", "expected"),
    [
        ("10.1.2.0/24", ["127.0.0.1", "10.1.3.4", "10.1.2.9", "fe80::1%eth0"], ["10.1.2.9"]),
        ("10.1.2.0/24", ["10.1.2.9", "10.1.2.9", "10.1.2.8"], ["10.1.2.9", "10.1.2.8"]),
        ("10.1.2.0/24", ["127.0.0.1"], []),
        ("0.0.0.0/0", ["127.0.0.1", "10.1.3.4"], ["10.1.3.4"]),
        ("fd00::/64", ["10.1.2.9", "fd00::7%eth0"], ["fd00::7"]),
        ("127.0.0.0/29", ["10.1.2.9"], [f"127.0.0.{each}" for each in range(1, 7)]),
        ("127.0.0.5/32", [], ["127.0.0.5"]),
        ("::1/128", [], ["::1"]),
    ],
)
def test_a_node_binds_its_address_inside_the_network(network, interfaces, expected):
    assert list(bind_candidates(network_of(network), interfaces)) == expected


def test_a_node_binds_what_is_set():
    network = network_of("10.1.2.0/24")
    assert bind_candidates(network, ["10.1.2.9"], bind="192.168.0.1") == ("192.168.0.1",)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "localhost", ""])
def test_what_is_set_must_be_an_address_that_others_can_dial(text):
    with pytest.raises(SpecError, match="expected bind to be a numeric address of this machine"):
        bind_candidates(network_of("10.1.2.0/24"), [], bind=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1:33000", Address("10.0.0.1", 33000)),
        ("[fd00::1]:33000", Address("fd00::1", 33000)),
        ("10.0.0.1", Address("10.0.0.1", 7)),
        ("fd00::1", Address("fd00::1", 7)),
        ("[fd00::1]", Address("fd00::1", 7)),
    ],
)
def test_addresses_as_they_are_written(text, expected):
    assert Address.parse(text, default_port=7) == expected
    assert Address.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1", "fd00::1", "10.0.0.1:0", "10.0.0.1:65536", "host:1", "10.0.0.1:²"]
)
def test_what_is_no_address(text):
    with pytest.raises(SpecError, match="a numeric address and a port"):
        Address.parse(text)
