"""What the document of an instance says of where a node stands."""

import contextlib
import itertools
import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beethoven.cloud.azure_instance import Reading, read_instance
from beethoven.cloud.azure_json import Unreadable
from beethoven.cloud.own_addresses import default_interface
from beethoven.cloud.site import Site
from beethoven.node import kinds

COMPUTE = {
    "name": "web_3",
    "location": "westeurope",
    "zone": "1",
    "vmScaleSetName": "web",
    "virtualMachineScaleSet": {"id": ""},
    "priority": "Spot",
}


def interface(mac, *addresses, subnets=()):
    parts = [{"privateIpAddress": each, "publicIpAddress": ""} for each in addresses]
    nets = [dict(zip(("address", "prefix"), each.split("/"), strict=True)) for each in subnets]
    return {"macAddress": mac, "ipv4": {"ipAddress": parts, "subnet": nets}, "ipv6": {}}


FIRST = interface("000D3A2B3C4D", "172.19.0.16", subnets=("172.19.0.0/28",))
SECOND = interface("000D3A2B3C4E", "10.1.0.5", "10.1.0.6", subnets=("10.1.0.0/24", "10.2.0.0/29"))
SIX = {"macAddress": "000D3A2B3C4F", "ipv6": {"ipAddress": [{"privateIpAddress": "fd00::5"}]}}


def body(*interfaces, compute=COMPUTE, **fields):
    return json.dumps(
        {"compute": compute, "network": {"interface": list(interfaces)}, **fields}
    ).encode()


def networks(reading):
    return [str(each) for each in reading.site.networks]


def test_all_that_a_document_says_makes_a_site():
    labels = {"az.region=westeurope", "az.zone=1", "az.vm=web_3", "az.scale-set=web"}
    assert read_instance(body(FIRST)) == Reading(
        Site(
            machine="web_3",
            networks=(ip_network("172.19.0.0/28"),),
            addresses=("172.19.0.16",),
            labels=frozenset({*labels, "az.priority=Spot"}),
            zone="westeurope-1",
        )
    )


CHOICES = [
    ({"interface": "10.1.0.6", "bind": "172.19.0.16"}, ("10.1.0.6", "10.1.0.5")),
    ({"interface": "000d3a2b3c4d", "bind": "10.1.0.5"}, ("172.19.0.16",)),
    ({"interface": "00:0d:3a:2b:3c:4d"}, ("172.19.0.16",)),
    ({"interface": "00-0D-3A-2b-3c-4e"}, ("10.1.0.5", "10.1.0.6")),
    ({"bind": "10.1.0.6", "own": ("172.19.0.16",)}, ("10.1.0.6", "10.1.0.5")),
    ({"bind": "127.0.0.1", "own": ("172.19.0.16", "10.1.0.5")}, ("172.19.0.16",)),
    ({"own": ("fe80::1%eth0", "10.1.0.5", "172.19.0.16")}, ("10.1.0.5", "10.1.0.6")),
]


@pytest.mark.parametrize(("wanted", "addresses"), CHOICES)
def test_the_interface_is_chosen_whatever_the_order(wanted, addresses):
    for order in itertools.permutations([FIRST, SECOND, SIX]):
        reading = read_instance(body(*order), **wanted)
        assert reading.site.addresses == addresses
        is_second = addresses[0].startswith("10.")
        expected = ["10.1.0.0/24", "10.2.0.0/29"] if is_second else ["172.19.0.0/28"]
        assert networks(reading) == expected
        assert reading.remarks == ()


def test_the_only_interface_counts_whatever_our_addresses_are():
    reading = read_instance(body(SIX, FIRST), bind="127.0.0.1", own=("192.0.2.1",))
    assert reading.site.addresses == ("172.19.0.16",)


@pytest.mark.parametrize("wanted", ["10.9.9.9", "00:00:00:00:00:01", "fd00::5", "000D3A2B3C4F"])
def test_a_configured_interface_that_is_not_there_is_not_replaced(wanted):
    reading = read_instance(body(FIRST, SIX), interface=wanted, own=("172.19.0.16",))
    assert (reading.site.networks, reading.site.addresses) == ((), ())
    assert reading.site.machine == "web_3"
    [remark] = reading.remarks
    assert remark == f"azure.interface is {wanted}, and there are only: 000D3A2B3C4D 172.19.0.16"


def test_one_of_several_interfaces_is_not_guessed():
    reading = read_instance(body(FIRST, SECOND), own=("192.0.2.1",))
    assert reading.site.networks == ()
    assert reading.remarks == (
        "none of its 2 interfaces is chosen: none has an address of this machine",
    )


def test_a_document_without_a_network_still_names_the_machine():
    reading = read_instance(json.dumps({"compute": COMPUTE}).encode())
    assert reading.site.machine == "web_3"
    assert reading.remarks == ("the document has no interfaces",)


def test_a_document_without_a_machine_still_has_networks():
    reading = read_instance(body(FIRST, compute={}))
    assert networks(reading) == ["172.19.0.0/28"]
    assert (reading.site.machine, reading.site.labels, reading.site.zone) == ("", frozenset(), "")


def test_an_empty_value_is_one_that_is_not_there():
    compute = {"name": "vm", "location": "westeurope", "zone": "", "priority": ""}
    site = read_instance(body(FIRST, compute=compute)).site
    assert site.labels == {"az.region=westeurope", "az.vm=vm"}
    assert site.zone == "westeurope"


def test_a_scale_set_may_be_told_by_its_path_only():
    path = "/subscriptions/1/providers/Microsoft.Compute/virtualMachineScaleSets/flex"
    compute = {**COMPUTE, "vmScaleSetName": "", "virtualMachineScaleSet": {"id": path}}
    assert "az.scale-set=flex" in read_instance(body(FIRST, compute=compute)).site.labels


@pytest.mark.parametrize("value", ["x" * 60, "a b", "ü", 'a"', "\x1b[31m", 1, [], {}, True])
def test_a_value_that_makes_no_label_is_left_out(value):
    site = read_instance(body(FIRST, compute={**COMPUTE, "vmScaleSetName": value})).site
    assert not any(label.startswith("az.scale-set") and value for label in site.labels)


SUBNETS = [
    ({"address": "10.1.0.77", "prefix": "24"}, ["10.1.0.0/24"]),
    ({"address": "0.0.0.0", "prefix": "0"}, []),
    ({"address": "10.0.0.0", "prefix": "7"}, []),
    ({"address": "10.0.0.0", "prefix": "33"}, []),
    ({"address": "10.0.0.0", "prefix": "-1"}, []),
    ({"address": "10.0.0.0", "prefix": 24}, []),
    ({"address": "10.0.0.0/24", "prefix": "24"}, []),
    ({"address": "10.0.0", "prefix": "24"}, []),
    ({"address": "fd00::", "prefix": "64"}, []),
    ({"address": "224.0.0.0", "prefix": "24"}, []),
    ({"address": "0.0.0.0", "prefix": "24"}, []),
    ({"prefix": "24"}, []),
    ("10.0.0.0/24", []),
    (None, []),
]


@pytest.mark.parametrize(("part", "expected"), SUBNETS)
def test_a_subnet_that_is_none_is_left_out(part, expected):
    entry = interface("000D3A2B3C4D", "10.1.0.4")
    entry["ipv4"]["subnet"] = [part]
    reading = read_instance(body(entry))
    assert networks(reading) == expected
    assert bool(reading.remarks) != bool(expected)


@pytest.mark.parametrize("address", ["", None, "0.0.0.0", "224.0.0.1", "255.255.255.255", "x", 7])
def test_an_address_that_is_none_is_left_out(address):
    entry = interface("000D3A2B3C4D", address, "10.1.0.4", subnets=("10.1.0.0/24",))
    assert read_instance(body(entry)).site.addresses == ("10.1.0.4",)


def test_subnets_are_told_once_and_are_not_endless():
    many = [f"10.{each}.0.0/24" for each in range(40)]
    entry = interface("000D3A2B3C4D", "10.1.0.4", subnets=(*many[:2], *many))
    assert networks(read_instance(body(entry))) == many[:16]


UNREADABLE = [
    b"",
    b"<html>Please log in</html>",
    b'{"compute": {"name": "web_3"',
    b"[]",
    b'"text"',
    b"{}",
    b'{"error": "Bad request"}',
    b"\xff\xfe\x00",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"a": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("given_body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_is_no_document_is_unreadable_in_few_words(given_body):
    with pytest.raises(Unreadable) as caught:
        read_instance(given_body)
    assert len(str(caught.value)) < 120
    assert str(caught.value).isprintable()


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(["10.1.0.4", "10.1.0.0", "24", "0", "000D3A2B3C4D", "westeurope", ""]),
)  # fmt: skip
KEYS = st.sampled_from(
    ["compute", "name", "location", "zone", "network", "interface", "ipv4", "ipAddress", "subnet",
     "privateIpAddress", "address", "prefix", "macAddress", "virtualMachineScaleSet", "id"]
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5)
)


def is_sound(site):
    return (
        all(net.version == 4 and net.prefixlen >= 8 for net in site.networks)
        and all(ip_address(each).version == 4 for each in site.addresses)
        and kinds.labels(sorted(site.labels)) == site.labels
        and kinds.zone(site.zone) == site.zone
        and site.machine.isprintable()
    )


@given(ANYTHING, ANYTHING, ANYTHING)
@example({"name": "\ud800"}, [[]], {"subnet": {}})
def test_whatever_comes_is_a_sound_site_or_unreadable(compute, interfaces, ipv4):
    entry = interface("000D3A2B3C4D", "10.1.0.4")
    entries = [{**entry, "ipv4": ipv4}, entry, {**entry, "macAddress": compute}]
    whole = [*interfaces, *entries] if isinstance(interfaces, list) else entries
    for document in (
        {"compute": compute, "network": {"interface": interfaces}},
        {"compute": COMPUTE, "network": {"interface": whole}},
        {"compute": compute, "network": ipv4},
    ):
        try:
            reading = read_instance(json.dumps(document).encode(), own=("10.1.0.4",))
        except Unreadable:
            continue
        assert is_sound(reading.site)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_site_or_unreadable(data):
    with contextlib.suppress(Unreadable):
        assert is_sound(read_instance(data).site)


@given(st.permutations([FIRST, SECOND, SIX]), st.data())
def test_a_document_cut_short_is_unreadable(order, data):
    whole = body(*order)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Unreadable):
        read_instance(whole[:cut])


ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth1 00000000 0100000A 0003 0 0 200 00000000 0 0 0
eth0 00000000 0100000A 0003 0 0 100 00000000 0 0 0
eth2 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0
"""


def test_the_default_route_with_the_lowest_metric_tells_the_interface():
    assert default_interface(ROUTES) == "eth0"
    assert default_interface("") == default_interface("Iface\nodd\n\n") == ""
