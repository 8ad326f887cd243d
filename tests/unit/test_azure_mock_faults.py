"""The mock of Azure's metadata: what goes wrong, and the proxy that nobody may use."""

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from beethoven.testing import (
    AzureFabric,
    AzureMetadata,
    Fault,
    HttpAnswer,
    ManualClock,
    ProxyTrap,
)
from tests.azure import ASKED_RIGHTLY, EVENTS, INSTANCE, PATIENCE, ask, location, read
from tests.processes import wait_until

pytestmark = pytest.mark.process

EVENTS_PATH = "/metadata/scheduledevents"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def metadata(clock):
    with (
        AzureFabric(clock=clock) as fabric,
        AzureMetadata("127.0.0.2", name="web_3", fabric=fabric) as metadata,
    ):
        yield metadata


@pytest.fixture
def aside():
    """Runs a function beside the test."""
    with ThreadPoolExecutor(4) as executor:
        yield executor.submit


def statuses(metadata, target, count):
    return [ask(metadata, target)[0] for _ in range(count)]


def ask_as_the_environment_says(metadata, trap, monkeypatch):
    for name, value in trap.environment.items():
        monkeypatch.setenv(name, value)
    request = urllib.request.Request(metadata.endpoint + INSTANCE, headers=ASKED_RIGHTLY)
    with pytest.raises(urllib.error.HTTPError, match="502"):
        urllib.request.urlopen(request, timeout=PATIENCE)


def touch_and_fail(trap):
    socket.create_connection(("127.0.0.1", int(trap.url.rpartition(":")[2]))).close()
    raise ZeroDivisionError


class TestInjections:
    @pytest.mark.parametrize(
        ("fault", "status"), [(Fault.GONE, 410), (Fault.THROTTLED, 429), (Fault.FAILING, 500)]
    )
    def test_a_status_is_answered_so_many_times(self, metadata, fault, status):
        metadata.inject(fault, count=2)
        assert statuses(metadata, INSTANCE, 3) == [status, status, 200]
        assert [each.status for each in metadata.requests] == [status, status, 200]

    def test_faults_are_for_a_path_and_all_below(self, metadata):
        metadata.inject(Fault.FAILING, path=EVENTS_PATH, count=None)
        metadata.inject(Fault.GONE, path="/metadata/instance/compute", count=1)
        assert statuses(metadata, INSTANCE, 2) == [200, 200]
        below = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
        assert statuses(metadata, below, 2) == [410, 200]
        assert statuses(metadata, EVENTS, 5) == [500] * 5
        metadata.clear_faults()
        assert statuses(metadata, EVENTS, 1) == [200]

    def test_faults_are_met_in_order(self, metadata):
        for fault in (Fault.GONE, Fault.FAILING):
            metadata.inject(fault, path="/")
        assert statuses(metadata, INSTANCE, 3) == [410, 500, 200]

    def test_any_answer_can_be_given(self, metadata):
        metadata.inject(
            HttpAnswer(429, b"later", {"Retry-After": "7", "Content-Type": "text/plain"})
        )
        connection = http.client.HTTPConnection(*location(metadata), timeout=PATIENCE)
        connection.request("GET", INSTANCE, headers=ASKED_RIGHTLY)
        response = connection.getresponse()
        assert (response.status, response.read()) == (429, b"later")
        assert response.headers["Retry-After"] == "7"
        connection.close()
        metadata.inject(HttpAnswer(799))
        assert ask(metadata, INSTANCE) == (799, b"")

    def test_a_captive_proxy_answers_200_and_html_to_whatever(self, metadata):
        metadata.inject(Fault.PORTAL)
        status, body = ask(metadata, "/anything", headers={})
        assert status == 400
        status, body = ask(metadata, INSTANCE, headers={})
        assert status == 200
        assert body.startswith(b"<!DOCTYPE html>")

    def test_truncated_json_is_half_of_the_right_answer(self, metadata):
        whole = ask(metadata, INSTANCE)[1]
        metadata.inject(Fault.TRUNCATED)
        status, half = ask(metadata, INSTANCE)
        assert (status, half) == (200, whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=r".+"):
            json.loads(half)

    def test_a_cut_off_answer_promises_more_than_it_has(self, metadata):
        metadata.inject(Fault.CUT_OFF)
        with pytest.raises(http.client.IncompleteRead):
            ask(metadata, INSTANCE)

    def test_garbage_is_no_http(self, metadata):
        metadata.inject(Fault.GARBAGE)
        with pytest.raises(http.client.BadStatusLine):
            ask(metadata, INSTANCE)
        assert metadata.requests[0].status is None

    def test_a_reset_ends_the_connection(self, metadata):
        metadata.inject(Fault.RESET)
        with pytest.raises(ConnectionResetError):
            ask(metadata, INSTANCE)

    def test_an_endless_body_goes_on_until_the_client_has_enough(self, metadata):
        metadata.inject(Fault.ENDLESS)
        connection = http.client.HTTPConnection(*location(metadata), timeout=PATIENCE)
        connection.request("GET", INSTANCE, headers=ASKED_RIGHTLY)
        response = connection.getresponse()
        assert response.headers["Content-Length"] is None
        assert len(response.read(3_000_000)) == 3_000_000
        response.close()
        connection.close()

    def test_a_dripping_answer_comes_a_byte_each_second(self, metadata, clock):
        metadata.inject(Fault.DRIP, path=EVENTS_PATH)
        whole = json.dumps({"DocumentIncarnation": 1, "Events": []}).encode()
        connection = http.client.HTTPConnection(*location(metadata), timeout=PATIENCE)
        connection.request("GET", EVENTS, headers=ASKED_RIGHTLY)
        response = connection.getresponse()
        for position in range(5):
            assert response.read(1) == whole[position : position + 1]
            clock.advance(1)
        assert response.read(1) == whole[5:6]
        metadata.clear_faults()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()

    def test_a_hanging_request_is_never_answered(self, metadata, clock):
        metadata.inject(Fault.HANG)
        with socket.create_connection(location(metadata)) as client:
            client.sendall(f"GET {INSTANCE} HTTP/1.1\r\nMetadata: true\r\n\r\n".encode())
            (request,) = metadata.wait_for_requests()
            clock.advance(100_000)
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)
            assert request.status is None
            assert ask(metadata, INSTANCE)[0] == 200
            client.settimeout(PATIENCE)
            metadata.clear_faults()
            assert client.recv(1) == b""

    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP, Fault.ENDLESS])
    def test_what_hangs_ends_when_the_mock_is_closed(self, metadata, fault):
        metadata.inject(fault)
        with socket.create_connection(location(metadata)) as client:
            client.sendall(f"GET {INSTANCE} HTTP/1.1\r\nMetadata: true\r\n\r\n".encode())
            metadata.wait_for_requests()
            metadata.close()

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [("count", 0), ("count", 1.5), ("path", "metadata"), ("path", 5), ("fault", "GONE")],
    )
    def test_injections_that_make_no_sense_are_errors(self, metadata, name, wrong):
        with pytest.raises(ValueError, match=f"expected {name} to be .*, got: {wrong!r}"):
            metadata.inject(**{"fault": Fault.GONE, name: wrong})
        assert ask(metadata, INSTANCE)[0] == 200

    @pytest.mark.parametrize(
        ("name", "wrong"), [("status", "200"), ("status", 1000), ("body", "text"), ("headers", 5)]
    )
    def test_answers_that_make_no_sense_are_errors(self, name, wrong):
        with pytest.raises(ValueError, match=f"expected {name} to be .*, got: {wrong!r}"):
            HttpAnswer(**{"status": 200, name: wrong})

    def test_what_could_not_be_answered_ends_its_connection_and_fails_the_test(self):
        metadata = AzureMetadata()
        metadata.inject(HttpAnswer(200, headers={"X-Odd": "€"}))
        with pytest.raises(http.client.RemoteDisconnected):
            ask(metadata, INSTANCE)
        assert ask(metadata, INSTANCE)[0] == 200
        with pytest.raises(ExceptionGroup, match="what was asked was not answered") as caught:
            metadata.close()
        assert caught.group_contains(UnicodeEncodeError)


class TestLimiter:
    def test_five_within_any_second_are_answered(self, metadata, clock):
        metadata.limit(5)
        assert statuses(metadata, INSTANCE, 7) == [200] * 5 + [429] * 2
        clock.advance(0.5)
        assert statuses(metadata, EVENTS, 1) == [429]
        clock.advance(0.5)
        assert statuses(metadata, EVENTS, 6) == [200] * 5 + [429]
        metadata.limit(None)
        assert statuses(metadata, INSTANCE, 10) == [200] * 10

    @pytest.mark.parametrize("wrong", ["5", -1, 1.5])
    def test_limits_that_make_no_sense_are_errors(self, metadata, wrong):
        with pytest.raises(ValueError, match=f"expected per_second to be .*, got: {wrong!r}"):
            metadata.limit(wrong)

    def test_the_second_slides(self, clock):
        with (
            AzureFabric(clock=clock) as fabric,
            AzureMetadata(fabric=fabric, per_second=2) as metadata,
        ):
            assert statuses(metadata, INSTANCE, 1) == [200]
            clock.advance(0.6)
            assert statuses(metadata, INSTANCE, 2) == [200, 429]
            clock.advance(0.4)
            assert statuses(metadata, INSTANCE, 2) == [200, 429]

    def test_each_machine_has_its_own(self, metadata):
        with AzureMetadata("127.0.0.3", name="web_4", fabric=metadata.fabric) as other:
            metadata.limit(1)
            assert statuses(metadata, INSTANCE, 2) == [200, 429]
            assert statuses(other, INSTANCE, 2) == [200, 200]

    def test_what_is_refused_meets_no_fault(self, metadata, clock):
        metadata.limit(1)
        metadata.inject(Fault.GONE)
        assert statuses(metadata, INSTANCE, 2) == [410, 429]
        metadata.inject(Fault.GONE)
        clock.advance(1)
        assert statuses(metadata, INSTANCE, 1) == [410]


class TestSlowFirstCall:
    @pytest.fixture
    def slow(self, clock):
        with (
            AzureFabric(clock=clock) as fabric,
            AzureMetadata("127.0.0.4", name="web_9", fabric=fabric, switching_on=120) as slow,
        ):
            yield slow

    def test_only_the_first_events_call_is_slow(self, slow, clock, aside):
        assert statuses(slow, INSTANCE, 2) == [200, 200]
        first = aside(ask, slow, EVENTS)
        slow.wait_for_requests(path=EVENTS_PATH)
        clock.advance(60)
        meanwhile = aside(ask, slow, EVENTS)
        slow.wait_for_requests(2, path=EVENTS_PATH)
        assert statuses(slow, INSTANCE, 1) == [200]
        clock.advance(59.9)
        assert {each.status for each in slow.wait_for_requests(path=EVENTS_PATH)} == {None}
        clock.advance(0.1)
        assert first.result(PATIENCE)[0] == 200
        assert meanwhile.result(PATIENCE)[0] == 200
        assert statuses(slow, EVENTS, 2) == [200, 200]

    def test_a_refused_or_faulty_call_switches_nothing_on(self, slow, clock, aside):
        assert ask(slow, EVENTS, headers={})[0] == 400
        slow.inject(Fault.FAILING)
        assert ask(slow, EVENTS)[0] == 500
        clock.advance(500)
        first = aside(ask, slow, EVENTS)
        slow.wait_for_requests(3)
        assert slow.requests[2].status is None
        clock.advance(120)
        assert first.result(PATIENCE)[0] == 200

    def test_after_a_new_boot_it_is_slow_again(self, slow, clock, aside):
        first = aside(ask, slow, EVENTS)
        slow.wait_for_requests(1)
        clock.advance(120)
        assert first.result(PATIENCE)[0] == 200
        slow.fabric.announce("Preempt", slow.name, notice=1, returns_after=1)
        clock.advance(2)
        again = aside(ask, slow, EVENTS)
        slow.wait_for_requests(2)
        assert slow.requests[1].status is None
        clock.advance(120)
        assert again.result(PATIENCE)[0] == 200

    def test_it_ends_when_the_mock_is_closed(self, slow, aside):
        first = aside(ask, slow, EVENTS)
        slow.wait_for_requests()
        slow.close()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            first.result(PATIENCE)


class TestProxyTrap:
    def test_whoever_uses_the_proxy_fails_the_test(self, metadata, monkeypatch):
        trap = ProxyTrap()
        with pytest.raises(AssertionError, match="expected nobody to use the proxy"), trap:
            ask_as_the_environment_says(metadata, trap, monkeypatch)
        (touch,) = trap.touches
        assert touch.first_bytes.startswith(b"GET http://127.0.0.2:")
        assert metadata.requests == ()

    def test_whoever_goes_past_it_does_not(self, metadata, monkeypatch):
        with ProxyTrap() as trap:
            for name, value in trap.environment.items():
                monkeypatch.setenv(name, value)
            assert read(metadata, INSTANCE)
            trap.assert_untouched()
        assert trap.touches == ()

    def test_its_environment_has_no_exceptions(self):
        with ProxyTrap("127.0.0.5") as trap:
            assert trap.url.startswith("http://127.0.0.5:")
            assert trap.environment["http_proxy"] == trap.environment["HTTP_PROXY"] == trap.url
            assert trap.environment["no_proxy"] == trap.environment["NO_PROXY"] == ""

    def test_a_connection_alone_is_a_touch_and_can_be_forgiven(self):
        with ProxyTrap() as trap:
            address = ("127.0.0.1", int(trap.url.rpartition(":")[2]))
            with socket.create_connection(address):
                pass
            trap.close()
            assert [touch.client for touch in trap.forgive()] == ["127.0.0.1"]
        assert trap.touches == ()

    def test_an_error_of_the_test_itself_comes_first(self):
        trap = ProxyTrap()
        with pytest.raises(ZeroDivisionError), trap:
            touch_and_fail(trap)
        assert len(trap.touches) == 1

    def test_it_refuses_to_listen_on_anything_but_loopback(self):
        with pytest.raises(ValueError, match="expected address to be numeric and of loopback"):
            ProxyTrap("0.0.0.0")


class TestManyAtOnce:
    def test_many_clients_are_served_and_nothing_is_left(self):
        with AzureMetadata() as metadata, ThreadPoolExecutor(20) as executor:
            found = list(executor.map(lambda _: ask(metadata, INSTANCE)[0], range(200)))
            assert found == [200] * 200
            assert len(metadata.requests) == 200
        # One that had served its connection may be on its last step.
        wait_until(lambda: not any("127.0.0.1" in each.name for each in threading.enumerate()))
