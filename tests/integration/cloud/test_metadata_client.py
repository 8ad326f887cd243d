"""What a node learns of a metadata service as Azure has it, over real connections on loopback."""

import queue
import threading
import time

import pytest

from beethoven import clock
from beethoven.cloud.azure import Azure
from beethoven.cloud.azure_pace import MOST_PER_SECOND
from beethoven.cloud.first_look import first_look
from beethoven.cloud.http_client import ask
from beethoven.cloud.provider import (
    AcknowledgeRequested,
    Answered,
    Ask,
    Effect,
    Learned,
    Note,
    Noticed,
    Started,
    Ticked,
    Unanswered,
)
from beethoven.cloud.settings import AzureSettings, Endpoint
from beethoven.testing import AzureFabric, AzureMetadata, Fault, Interface, ProxyTrap
from tests.processes import shortest

PATIENCE = 10.0
HOST = "127.0.61.1"
MINE = Interface("000D3A2B3C4D", (HOST, "127.0.61.2"), ("127.0.61.0/28", "127.0.62.0/29"))
OTHER = Interface("000D3A2B3C4E", ("127.0.70.4",), ("127.0.70.0/24",))
SIX = Interface("000D3A2B3C4F", ipv6=("fd00::5",))


class Driver:
    """Asks what a provider wants to ask, as the watcher does; `effects` is what came of it."""

    def __init__(self, metadata, **settings):
        self.endpoint = endpoint_of(metadata)
        self.azure = Azure(AzureSettings(endpoint=self.endpoint, **settings), HOST)
        self.events: queue.SimpleQueue[Answered | Unanswered] = queue.SimpleQueue()
        self.effects: list[Effect] = []
        self.tell(Started())

    def tell(self, event):
        for effect in self.azure.handle(event, now=clock.elapsed()):
            self.effects.append(effect)
            if isinstance(effect, Ask):
                threading.Thread(target=self._ask, args=(effect,), daemon=True).start()

    def _ask(self, question):
        self.events.put(ask(self.endpoint, question))

    def wait_until(self, holds):
        deadline = time.monotonic() + PATIENCE
        while not holds(self):
            assert time.monotonic() < deadline, self.effects
            due = self.azure.next_deadline()
            wait = PATIENCE if due is None else max(0.0, due - clock.elapsed())
            try:
                self.tell(self.events.get(timeout=min(wait, deadline - time.monotonic() + 0.01)))
            except queue.Empty:
                self.tell(Ticked())

    def of(self, kind):
        return [each for each in self.effects if isinstance(each, kind)]

    def notices(self):
        """Return the kinds of the notices that were read last."""
        told = self.of(Noticed)
        return [str(each.kind) for each in told[-1].notices] if told else None


def endpoint_of(metadata):
    host, _, port = metadata.endpoint.removeprefix("http://").partition(":")
    return Endpoint(host, int(port or 80))


@pytest.fixture
def trap(monkeypatch):
    with ProxyTrap() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found
        found.assert_untouched()


def look(metadata, budget=PATIENCE):
    endpoint = endpoint_of(metadata)
    return first_look(Azure(AzureSettings(endpoint=endpoint), HOST), endpoint, budget)


def test_a_node_finds_its_interface_wherever_that_stands(trap):
    with AzureMetadata(HOST, interfaces=(OTHER, SIX, MINE), name="web_7", zone="2") as metadata:
        sites = {look(metadata).site for _ in range(6)}
    (site,) = sites
    assert site is not None
    assert [str(each) for each in site.networks] == ["127.0.61.0/28", "127.0.62.0/29"]
    assert site.addresses == (HOST, "127.0.61.2")
    assert (site.machine, site.zone) == ("web_7", "westeurope-2")
    assert {"az.vm=web_7", "az.scale-set=web", "az.priority=Spot"} <= site.labels


@pytest.mark.parametrize("versions", [("2019-11-01", "2020-09-01"), ("2021-12-13", "2025-04-07")])
def test_a_region_without_our_version_is_understood(trap, versions):
    with AzureMetadata(HOST, interfaces=(MINE,), versions=versions) as metadata:
        assert look(metadata).site is not None


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_at_boot_costs_half_a_second_at_most(trap, fault):
    with AzureMetadata(HOST) as metadata:
        metadata.inject(fault, count=None)

        def hopeless_look() -> float:
            began = time.monotonic()
            found = look(metadata, budget=0.5)
            took = time.monotonic() - began
            assert found.site is None
            assert found.why
            return took

        assert shortest(hopeless_look, 0.75) < 0.75


@pytest.mark.parametrize("status", [404, 400])
def test_notices_are_read_and_taken_back_in_the_older_version_too(trap, status):
    versions = ("2020-07-01",)
    with (
        AzureFabric() as fabric,
        AzureMetadata(
            HOST,
            fabric=fabric,
            interfaces=(MINE,),
            event_versions=versions,
            unknown_event_version=status,
            per_second=5,
        ) as metadata,
    ):
        driver = Driver(metadata)
        driver.wait_until(lambda each: each.notices() == [])
        event = fabric.announce("Reboot", "web_0", notice=600.0)
        driver.wait_until(lambda each: each.notices() == ["Reboot"])
        (notice,) = driver.of(Noticed)[-1].notices
        assert notice.machines == {"web_0"}
        assert 590.0 < (notice.begins_in or 0.0) <= 600.0
        fabric.cancel(event)
        driver.wait_until(lambda each: each.notices() == [])
        assert driver.of(Note) == []


def test_an_acknowledgement_reaches_the_service(trap):
    with AzureFabric() as fabric, AzureMetadata(HOST, fabric=fabric) as metadata:
        driver = Driver(metadata)
        event = fabric.announce("Terminate", "web_0", notice=600.0)
        driver.wait_until(lambda each: each.notices() == ["Terminate"])
        before = list(metadata.approvals)
        assert before == []
        driver.tell(AcknowledgeRequested((event,)))
        driver.wait_until(lambda each: any(n.event == "azure_acknowledged" for n in each.of(Note)))
        (approval,) = metadata.approvals
        assert approval.event_id == event


@pytest.mark.parametrize("fault", [each for each in Fault if each not in {"hang", "drip"}])
def test_a_fault_in_between_ends_nothing_and_is_told_once(trap, fault):
    with AzureMetadata(HOST, interfaces=(MINE,), per_second=5) as metadata:
        driver = Driver(metadata)
        driver.wait_until(lambda each: each.of(Learned) and each.notices() == [])
        metadata.inject(fault, path="/metadata/scheduledevents")
        told = len(driver.of(Noticed))
        driver.wait_until(lambda each: len(each.of(Noticed)) > told + 1)
        failures = [each for each in driver.of(Note) if each.event == "azure_failed"]
        assert len(failures) == (fault is not Fault.GONE)
        assert len(driver.of(Learned)) == 1
        moments = [each.at for each in metadata.requests]
        for first, later in zip(moments, moments[MOST_PER_SECOND + 1 :], strict=False):
            assert later - first > 0.9
