"""The mock of Azure's metadata: what it answers when nothing goes wrong, by real HTTP."""

import ast
import http.client
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beethoven import testing
from beethoven.testing import AzureFabric, AzureMetadata, Interface
from beethoven.testing.clocks import RealClock
from tests.azure import ASKED_RIGHTLY, EVENTS, INSTANCE, PATIENCE, VERSION, ask, location, read

pytestmark = pytest.mark.process

PRIMARY = Interface("00:0d:3a-2b:3c:4d", ("172.19.0.20", "172.19.0.21"), ("172.19.0.16/28",))
SECOND = Interface("000D3A2B3C4E", ("10.1.0.4",), ("10.1.0.0/29", "10.2.0.0/24"))
IPV6_ONLY = Interface("000D3A2B3C4F", ipv6=("fd00::4",))


@pytest.fixture
def metadata():
    with AzureMetadata("127.0.0.2", name="web_3") as metadata:
        yield metadata


def leaves(part):
    match part:
        case dict():
            return [leaf for each in part.values() for leaf in leaves(each)]
        case list():
            return [leaf for each in part for leaf in leaves(each)]
    return [part]


class TestChecks:
    @pytest.mark.parametrize("target", [INSTANCE, EVENTS, "/metadata/versions", "/elsewhere"])
    def test_without_the_header_the_answer_is_400(self, metadata, target):
        assert ask(metadata, target, headers={})[0] == 400
        assert ask(metadata, target, headers={"Metadata": "yes"})[0] == 400
        assert ask(metadata, target, headers={"metadata": "True"})[0] != 400

    @pytest.mark.parametrize("target", [INSTANCE, EVENTS, "/metadata/versions"])
    def test_with_x_forwarded_for_the_answer_is_400(self, metadata, target):
        assert (
            ask(metadata, target, headers=ASKED_RIGHTLY | {"x-forwarded-for": "10.0.0.1"})[0] == 400
        )

    @pytest.mark.parametrize("target", ["/metadata/instance", "/metadata/scheduledevents"])
    def test_without_a_version_the_answer_is_400_and_lists_the_newest(self, metadata, target):
        status, body = ask(metadata, target)
        assert status == 400
        newest = json.loads(body)["newest-versions"]
        assert newest == sorted(newest, reverse=True)
        assert len(newest) == 3

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "ODD"])
    def test_another_method_than_get_is_405(self, metadata, method):
        for target in (INSTANCE, "/metadata/versions"):
            assert ask(metadata, target, method=method)[0] == 405
        assert ask(metadata, EVENTS, method=method)[0] == (400 if method == "POST" else 405)

    def test_duplicate_parameters_are_400(self, metadata):
        assert ask(metadata, f"{INSTANCE}&{VERSION}")[0] == 400
        assert ask(metadata, f"{INSTANCE}&format=json&Format=json")[0] == 400
        assert ask(metadata, f"{EVENTS}&api-version=2020-07-01")[0] == 400

    def test_what_is_no_http_is_400(self, metadata):
        address = location(metadata)
        for said in (b"what?\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
            with socket.create_connection(address, timeout=10) as connection:
                connection.sendall(said)
                assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")

    def test_a_request_as_to_a_proxy_is_400(self, metadata):
        assert ask(metadata, f"http://169.254.169.254{INSTANCE}")[0] == 400


class TestVersions:
    def test_all_versions_are_listed_and_each_is_answered(self, metadata):
        versions = read(metadata, "/metadata/versions")["apiVersions"]
        assert {"2017-04-02", "2021-02-01", "2025-04-07"} <= set(versions)
        for version in versions:
            assert read(metadata, f"/metadata/instance?api-version={version}")["compute"]

    def test_versions_can_be_chosen_and_others_are_400(self):
        with AzureMetadata("127.0.0.2", versions=("2017-12-01", "2025-04-07")) as metadata:
            listed = read(metadata, "/metadata/versions")["apiVersions"]
            status, body = ask(metadata, INSTANCE)
        assert listed == ["2017-12-01", "2025-04-07"]
        assert status == 400
        assert json.loads(body)["newest-versions"] == ["2025-04-07", "2017-12-01"]

    def test_an_unknown_version_of_the_events_is_404(self, metadata):
        assert ask(metadata, "/metadata/scheduledevents?api-version=2031-01-01")[0] == 404

    def test_it_can_also_be_400(self):
        with AzureMetadata(event_versions=["2020-07-01"], unknown_event_version=400) as metadata:
            newest = "/metadata/scheduledevents?api-version=2024-07-09"
            assert ask(metadata, newest)[0] == 400
            assert read(metadata, EVENTS) == {"DocumentIncarnation": 1, "Events": []}


class TestDocument:
    def test_the_whole_document_says_what_was_configured(self):
        with AzureMetadata(
            name="db_7",
            scale_set="db",
            region="northeurope",
            zone="3",
            priority="Regular",
            tags={"app": "x"},
        ) as metadata:
            compute = read(metadata, INSTANCE)["compute"]
        assert compute["name"] == "db_7"
        assert compute["vmScaleSetName"] == "db"
        assert compute["location"] == "northeurope"
        assert compute["zone"] == "3"
        assert compute["priority"] == "Regular"
        assert compute["tagsList"] == [{"name": "app", "value": "x"}]

    def test_only_strings_are_leaves_and_what_is_missing_is_empty(self):
        odd = {"zone": None, "isHostCompatibilityLayerVm": True, "plan": {"parts": [1, None]}}
        with AzureMetadata(scale_set="", compute=odd) as metadata:
            document = read(metadata, INSTANCE)
        assert {type(leaf) for leaf in leaves(document)} == {str}
        assert document["compute"]["zone"] == ""
        assert document["compute"]["virtualMachineScaleSet"] == {"id": ""}
        assert document["compute"]["isHostCompatibilityLayerVm"] == "true"
        assert document["compute"]["plan"] == {"parts": ["1", ""]}

    def test_each_part_has_a_path(self, metadata):
        document = read(metadata, INSTANCE)
        interface = document["network"]["interface"][0]
        base = "/metadata/instance"
        assert read(metadata, f"{base}/network/interface/0?{VERSION}") == interface
        assert read(metadata, f"{base}/compute/?{VERSION}") == document["compute"]
        for missing in ("network/interface/1", "compute/nothing", "compute/name/first", "x"):
            assert ask(metadata, f"{base}/{missing}?{VERSION}")[0] == 404
        assert ask(metadata, f"/metadata/attested?{VERSION}")[0] == 404

    def test_leaves_need_the_text_format(self, metadata):
        leaf = f"/metadata/instance/compute/name?{VERSION}"
        assert ask(metadata, leaf)[0] == 400
        assert ask(metadata, f"{leaf}&format=json")[0] == 400
        assert ask(metadata, f"{leaf}&format=text") == (200, b"web_3")
        assert ask(metadata, f"{INSTANCE}&format=xml")[0] == 400

    def test_as_text_a_container_lists_its_parts(self, metadata):
        assert ask(metadata, f"{INSTANCE}&format=text") == (200, b"compute/\nnetwork/")
        interface = f"/metadata/instance/network/interface?{VERSION}&format=text"
        assert ask(metadata, interface) == (200, b"0/")

    def test_the_network_may_be_missing(self):
        with AzureMetadata(has_network=False) as metadata:
            assert set(read(metadata, INSTANCE)) == {"compute"}
            assert ask(metadata, f"/metadata/instance/network?{VERSION}")[0] == 404

    def test_a_connection_serves_many_requests(self, metadata):
        connection = http.client.HTTPConnection(*location(metadata), timeout=10)
        for _ in range(3):
            connection.request("GET", INSTANCE, headers={"Metadata": "true"})
            used = connection.sock
            assert json.loads(connection.getresponse().read())["compute"]["name"] == "web_3"
            assert connection.sock is used
        connection.close()


class TestInterfaces:
    def test_interfaces_come_in_an_order_of_chance_that_the_seed_settles(self):
        def orders(seed):
            given = [PRIMARY, SECOND, IPV6_ONLY]
            with (
                AzureFabric(seed=seed) as fabric,
                AzureMetadata(fabric=fabric, interfaces=given) as metadata,
            ):
                documents = [read(metadata, INSTANCE)["network"]["interface"] for _ in range(20)]
            return [tuple(each["macAddress"] for each in document) for document in documents]

        first = orders(1)
        assert len(set(first)) > 3
        assert {each for order in first for each in order} == {
            "000D3A2B3C4D",
            SECOND.mac,
            IPV6_ONLY.mac,
        }
        assert orders(1) == first
        assert orders(2) != first

    def test_an_interface_has_several_addresses_and_subnets(self):
        with AzureMetadata(interfaces=[PRIMARY]) as metadata:
            (primary,) = read(metadata, INSTANCE)["network"]["interface"]
            metadata.change(interfaces=[SECOND])
            (second,) = read(metadata, INSTANCE)["network"]["interface"]
        assert primary["ipv4"]["ipAddress"] == [
            {"privateIpAddress": "172.19.0.20", "publicIpAddress": ""},
            {"privateIpAddress": "172.19.0.21", "publicIpAddress": ""},
        ]
        assert primary["ipv4"]["subnet"] == [{"address": "172.19.0.16", "prefix": "28"}]
        assert second["ipv4"]["subnet"] == [
            {"address": "10.1.0.0", "prefix": "29"},
            {"address": "10.2.0.0", "prefix": "24"},
        ]

    def test_an_interface_may_have_ipv6_only(self):
        with AzureMetadata(interfaces=[IPV6_ONLY]) as metadata:
            (interface,) = read(metadata, INSTANCE)["network"]["interface"]
        assert interface == {
            "ipv4": {"ipAddress": [], "subnet": []},
            "ipv6": {"ipAddress": [{"privateIpAddress": "fd00::4"}]},
            "macAddress": "000D3A2B3C4F",
        }

    def test_a_machine_can_be_moved_while_it_runs(self, metadata):
        metadata.change(interfaces=[PRIMARY, SECOND], compute={"zone": "2"})
        document = read(metadata, INSTANCE)
        assert len(document["network"]["interface"]) == 2
        assert document["compute"]["zone"] == "2"
        metadata.change(has_network=False)
        assert "network" not in read(metadata, INSTANCE)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"mac": "00"},
            {"mac": "00:0d:3a:2b:3c:4g"},
            {"mac": "000D3A2B3C4D", "addresses": ("fd00::1",)},
            {"mac": "000D3A2B3C4D", "subnets": ("10.0.0.1/24",)},
            {"mac": "000D3A2B3C4D", "ipv6": ("10.0.0.1",)},
        ],
    )
    def test_an_interface_that_makes_no_sense_is_an_error(self, wrong):
        with pytest.raises(ValueError, match=r".+"):
            Interface(**wrong)


class TestListening:
    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",
            "10.0.0.1",
            "169.254.169.254",
            "::",
            "fd00::1",
            "::ffff:127.0.0.1",
            "localhost",
            "",
        ],
    )
    def test_it_refuses_to_listen_on_anything_but_loopback(self, address):
        with pytest.raises(ValueError, match="expected address to be numeric and of loopback"):
            AzureMetadata(address)

    def test_machines_have_an_address_each_and_the_port_that_they_are_given(self):
        with AzureFabric() as fabric, AzureMetadata("127.0.0.2", fabric=fabric) as first:
            port = int(first.endpoint.rpartition(":")[2])
            assert first.endpoint == f"http://127.0.0.2:{port}"
            with AzureMetadata("127.0.0.3", port, name="web_1", fabric=fabric) as second:
                assert second.endpoint == f"http://127.0.0.3:{port}"
                for each in (first, second):
                    shown = read(each, INSTANCE)["compute"]["name"]
                    assert shown == each.name
            with pytest.raises(OSError, match="in use"):
                AzureMetadata("127.0.0.2", port)

    def test_ipv6_has_brackets(self):
        with AzureMetadata("::1") as metadata:
            assert metadata.endpoint.startswith("http://[::1]:")
            (interface,) = read(metadata, INSTANCE)["network"]["interface"]
        assert interface["ipv6"]["ipAddress"] == [{"privateIpAddress": "::1"}]

    def test_two_machines_of_a_fabric_have_two_names(self):
        with (
            AzureFabric() as fabric,
            AzureMetadata(fabric=fabric),
            pytest.raises(ValueError, match="expected name to be of a new machine"),
        ):
            AzureMetadata(fabric=fabric)

    def test_nothing_is_left_when_it_is_closed(self, metadata):
        """Whatever a client does meanwhile; the fixture of all tests looks for what is left."""
        address = location(metadata)
        with socket.create_connection(address) as idle, socket.create_connection(address) as half:
            half.sendall(b"GET /metadata/instance HTTP/1.1\r\nMeta")
            read(metadata, INSTANCE)
            metadata.close()
            metadata.close()
            assert idle.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)

    def test_a_fabric_closes_its_machines(self):
        with AzureFabric() as fabric:
            metadata = AzureMetadata(fabric=fabric)
        fabric.close()
        with pytest.raises(ConnectionRefusedError):
            read(metadata, INSTANCE)
        with pytest.raises(ValueError, match=r"expected fabric to be open, got: .*closed"):
            AzureMetadata(fabric=fabric)
        with pytest.raises(ValueError, match=r"expected fabric to be open, got: .*closed"):
            fabric.announce("Preempt", "web_0")


class TestRecords:
    def test_who_asked_what_is_recorded(self, metadata):
        before = RealClock().monotonic()
        ask(
            metadata,
            f"/metadata/instance/compute/na%6De?{VERSION}&format=text",
            headers=ASKED_RIGHTLY | {"X-Odd": "1"},
        )
        ask(metadata, EVENTS, method="POST", body=b"{}", headers={})
        first, second = metadata.requests
        assert (first.method, first.path, first.status) == (
            "GET",
            "/metadata/instance/compute/name",
            200,
        )
        assert first.query == (("api-version", "2021-02-01"), ("format", "text"))
        assert first.headers["metadata"] == "true"
        assert first.headers["x-odd"] == "1"
        assert first.client.startswith("127.")
        assert before <= first.at <= second.at <= RealClock().monotonic()
        assert (second.method, second.body, second.status) == ("POST", b"{}", 400)

    def test_one_can_wait_for_requests(self, metadata):
        ask(metadata, INSTANCE)
        ask(metadata, EVENTS)
        assert len(metadata.wait_for_requests(2)) == 2
        assert len(metadata.wait_for_requests(path="/metadata/scheduledevents")) == 1
        with pytest.raises(TimeoutError, match="expected 2 requests to /metadata/instance, got: 1"):
            metadata.wait_for_requests(2, path="/metadata/instance", timeout=0)

    def test_nobody_waits_for_requests_to_what_is_closed(self, metadata):
        ask(metadata, INSTANCE)
        with ThreadPoolExecutor(1) as executor:
            waiting = executor.submit(metadata.wait_for_requests, 2, timeout=6 * PATIENCE)
            metadata.close()
            with pytest.raises(TimeoutError, match="got: 1, and it is closed"):
                waiting.result(PATIENCE)
        assert len(metadata.wait_for_requests()) == 1


def test_it_needs_nothing_but_the_standard_library() -> None:
    """The clock is the only caller of `time`, and needs nothing else either."""
    imported = set()
    for file in Path(testing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Import():
                    imported |= {alias.name for alias in node.names}
                case ast.ImportFrom(module=str(module)):
                    imported |= {f"{module}.{alias.name}" for alias in node.names}
    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in others if not name.startswith("beethoven.testing.")} == {
        "beethoven.clock"
    }
