"""The test kit: a wrong argument is an error where it is given, and leaves nothing behind."""

import math
import re

import pytest

from beethoven.testing import AzureFabric, AzureMetadata, Interface, ManualClock, ProxyTrap
from tests.azure import INSTANCE, read

pytestmark = pytest.mark.process

WRONG_OF_A_MACHINE = [
    ("port", 99_999),
    ("port", -1),
    ("port", "80"),
    ("address", 2_130_706_433),
    ("name", ""),
    ("name", 5),
    ("fabric", 5),
    ("zone", 1),
    ("tags", ["a"]),
    ("tags", {"a": 1}),
    ("compute", 5),
    ("interfaces", 5),
    ("interfaces", ["127.0.0.1"]),
    ("versions", 5),
    ("versions", "2021-02-01"),
    ("event_versions", [2020]),
    ("unknown_event_version", 500),
    ("switching_on", math.inf),
    ("per_second", "5"),
    ("processes", 12),
    ("on_evicted", 12),
    ("on_returned", 12),
]


def refused(name, wrong):
    text = rf"^expected {name} to be .*, got: {re.escape(repr(wrong))}$"
    return pytest.raises(ValueError, match=text)


@pytest.mark.parametrize(("name", "wrong"), WRONG_OF_A_MACHINE)
def test_a_machine_with_a_wrong_argument_is_an_error(name, wrong):
    with refused(name, wrong):
        AzureMetadata(**{name: wrong})


def test_its_name_is_free_again_for_one_that_is_right():
    with AzureFabric() as fabric:
        with refused("port", 99_999):
            AzureMetadata(port=99_999, name="web_3", fabric=fabric)
        AzureMetadata(name="web_3", fabric=fabric)


def test_a_name_that_is_taken_takes_no_port():
    with AzureFabric() as fabric, AzureMetadata(name="web_3", fabric=fabric) as first:
        with refused("name", "web_3"):
            AzureMetadata(name="web_3", fabric=fabric)
        assert read(first, INSTANCE)["compute"]["name"] == "web_3"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("clock", 5), ("seed", "x"), ("ahead", math.nan), ("ahead", -1e12), ("time_format", "xml")],
)
def test_a_fabric_with_a_wrong_argument_is_an_error(name, wrong):
    with refused(name, wrong):
        AzureFabric(**{name: wrong})


def test_a_change_with_a_wrong_argument_changes_nothing():
    with AzureMetadata(zone="1") as metadata:
        with refused("interfaces", [5]):
            metadata.change(compute={"zone": "2"}, interfaces=[5])  # type: ignore[list-item]
        assert read(metadata, INSTANCE)["compute"]["zone"] == "1"


def test_other_wrong_arguments_are_errors_too():
    with refused("port", 99_999):
        ProxyTrap(port=99_999)
    with refused("wall", math.nan):
        ManualClock(math.nan)
    with refused("addresses", "127.0.0.1"):
        Interface("000D3A2B3C4D", "127.0.0.1")  # type: ignore[arg-type]
    with AzureMetadata() as metadata, refused("timeout", math.inf):
        metadata.wait_for_requests(timeout=math.inf)
