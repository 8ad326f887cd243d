"""The mock of Azure's metadata: what it announces, and what becomes of that, in virtual time."""

import email.utils
import http.client
import json
import math
from datetime import datetime

import pytest

from beethoven.testing import (
    AzureFabric,
    AzureMetadata,
    EventKind,
    ManualClock,
    TimeFormat,
)
from tests.azure import (
    ASKED_RIGHTLY,
    EVENTS,
    NEWEST_EVENTS,
    PATIENCE,
    WALL,
    World,
    approve,
    ask,
    events,
    location,
    read,
)

pytestmark = pytest.mark.process


@pytest.fixture
def world():
    world = World()
    with world.fabric:
        yield world


class TestDocument:
    def test_an_event_has_all_fields(self, world):
        event_id = world.fabric.announce(
            EventKind.PREEMPT, "web_3", description="why", source="User"
        )
        (event,) = events(world.mine)
        assert event == {
            "EventId": event_id,
            "EventType": "Preempt",
            "ResourceType": "VirtualMachine",
            "Resources": ["web_3"],
            "EventStatus": "Scheduled",
            "NotBefore": "Fri, 15 Jan 2027 08:00:30 GMT",
            "Description": "why",
            "EventSource": "User",
            "DurationInSeconds": -1,
        }

    def test_the_incarnation_rises_on_changes_only(self, world):
        assert world.shown() == ([], 1)
        event_id = world.fabric.announce("Preempt", "web_3")
        for _ in range(3):
            assert world.shown() == (["Scheduled"], 2)
        world.clock.advance(29)
        assert world.shown() == (["Scheduled"], 2)
        world.clock.advance(1)
        assert world.shown() == (["Started"], 3)
        approve(world.mine, event_id)
        assert world.shown() == (["Started"], 3)
        world.clock.advance(5)
        assert world.shown() == ([], 4)
        world.clock.advance(1000)
        assert world.shown() == ([], 4)

    def test_ids_are_stable_and_neighbours_see_the_same(self, world):
        first = world.fabric.announce("Preempt", "web_3")
        second = world.fabric.announce("Reboot", "web_4", "web_9")
        for each in (world.mine, world.other, world.mine):
            shown = events(each)
            assert [event["EventId"] for event in shown] == [first, second]
            assert [event["Resources"] for event in shown] == [["web_3"], ["web_4", "web_9"]]

    def test_another_fabric_is_another_world(self, world):
        with AzureMetadata("127.0.0.4", name="web_3") as stranger:
            world.fabric.announce("Preempt", "web_3")
            assert events(stranger) == []

    def test_old_versions_have_fewer_fields_and_kinds(self, world):
        for kind in EventKind:
            world.fabric.announce(kind, "web_3")

        def shown(version):
            listed = events(world.mine, f"/metadata/scheduledevents?api-version={version}")
            return {event["EventType"] for event in listed}, set(listed[0])

        kinds = {str(kind) for kind in EventKind}
        newest, fields = shown("2024-07-09")
        assert newest == kinds
        assert shown("2020-07-01") == (kinds - {"SpotRebalanceRecommendation"}, fields)
        assert shown("2019-08-01")[1] == fields - {"DurationInSeconds"}
        oldest = fields - {"DurationInSeconds", "EventSource", "Description"}
        assert shown("2017-11-01") == (kinds - {"SpotRebalanceRecommendation", "Terminate"}, oldest)

    def test_moments_are_written_as_rfc_1123_or_iso_and_empty_once_started(self, world):
        world.fabric.announce("Preempt", "web_3", notice=8)
        world.fabric.announce("Preempt", "web_4", notice=8, time_format=TimeFormat.ISO)
        world.fabric.announce("Preempt", "web_5", is_started=True)
        rfc, iso, started = (event["NotBefore"] for event in events(world.mine))
        assert email.utils.parsedate_to_datetime(rfc).timestamp() == WALL + 8
        assert iso.endswith("Z")
        assert datetime.fromisoformat(iso).timestamp() == WALL + 8
        assert started == ""
        with (
            AzureFabric(time_format=TimeFormat.ISO) as fabric,
            AzureMetadata(fabric=fabric) as metadata,
        ):
            fabric.announce("Preempt", metadata.name)
            assert "T" in events(metadata)[0]["NotBefore"]

    def test_answers_have_the_time_of_day_by_which_events_count(self):
        with (
            AzureFabric(clock=ManualClock(WALL), ahead=3600) as fabric,
            AzureMetadata(fabric=fabric) as metadata,
        ):
            fabric.announce("Preempt", metadata.name, notice=8)
            connection = http.client.HTTPConnection(*location(metadata), timeout=PATIENCE)
            connection.request("GET", EVENTS, headers=ASKED_RIGHTLY)
            response = connection.getresponse()
            (event,) = json.loads(response.read())["Events"]
            connection.close()
        assert response.headers["Date"] == "Fri, 15 Jan 2027 09:00:00 GMT"
        assert event["NotBefore"] == "Fri, 15 Jan 2027 09:00:08 GMT"


class TestLifeCycles:
    @pytest.mark.parametrize("notice", [30, 8, 0])
    def test_preempt_is_scheduled_then_started_then_gone(self, world, notice):
        world.fabric.announce("Preempt", "web_3", notice=notice, late=0.5)
        assert world.shown()[0] == ["Scheduled"]
        world.clock.advance(notice)
        assert world.shown()[0] == ["Scheduled"]
        assert world.log == []
        world.clock.advance(0.5)
        assert world.shown()[0] == ["Started"]
        assert world.log == [("evicted", "web_3")]
        world.clock.advance(5)
        assert world.shown()[0] == []

    def test_a_notice_of_nothing_kills_at_once(self, world):
        world.fabric.announce("Preempt", "web_3", notice=0)
        world.clock.advance(0)
        assert world.log == [("evicted", "web_3")]
        assert [event["EventStatus"] for event in events(world.other)] == ["Started"]

    def test_it_may_be_started_at_once_and_kill_later(self, world):
        world.fabric.announce("Preempt", "web_3", is_started=True, evicted_after=2, listed_for=9)
        assert world.shown() == (["Started"], 3)
        assert world.log == []
        world.clock.advance(2)
        assert world.log == [("evicted", "web_3")]
        world.clock.advance(7)
        assert world.shown()[0] == []

    def test_a_cancelled_event_vanishes_and_nothing_happens(self, world):
        event_id = world.fabric.announce("Preempt", "web_3")
        other = world.fabric.announce("Preempt", "web_4")
        world.fabric.cancel(event_id)
        assert world.shown() == (["Scheduled"], 4)
        world.clock.advance(60)
        assert world.log == [("evicted", "web_4")]
        for gone in (event_id, other, "nothing"):
            with pytest.raises(ValueError, match="expected event_id to be of a scheduled event"):
                world.fabric.cancel(gone)

    @pytest.mark.parametrize(
        ("kind", "notice"),
        [("Preempt", 30), ("Terminate", 300), ("Redeploy", 600), ("Reboot", 900), ("Freeze", 900)],
    )
    def test_each_kind_has_the_least_notice_of_azure(self, world, kind, notice):
        world.fabric.announce(kind, "web_3")
        world.clock.advance(notice - 0.1)
        assert world.shown()[0] == ["Scheduled"]
        world.clock.advance(0.1)
        assert world.shown()[0] == ["Started"]
        assert world.log == ([] if kind == "Freeze" else [("evicted", "web_3")])

    def test_a_recommendation_is_never_followed_by_an_eviction(self, world):
        event_id = world.fabric.announce(EventKind.REBALANCE, "web_3")
        short = world.fabric.announce(EventKind.REBALANCE, "web_4", listed_for=60)
        assert events(world.mine) == []
        assert approve(world.mine, event_id) == 200
        assert world.shown()[0] == ["Scheduled", "Scheduled"]
        world.clock.advance(60)
        assert [each["EventId"] for each in events(world.mine, NEWEST_EVENTS)] == [event_id]
        world.clock.advance(100_000)
        assert world.shown()[0] == ["Scheduled"]
        world.fabric.cancel(event_id)
        assert world.shown()[0] == []
        assert world.log == []
        assert short != event_id

    def test_a_kind_that_azure_does_not_have_does_nothing(self, world):
        world.fabric.announce("Meteor", "web_3", notice=1)
        world.clock.advance(1)
        assert world.shown("Meteor")[0] == ["Started"]
        world.clock.advance(5)
        assert world.shown()[0] == []
        assert world.log == []

    def test_a_machine_comes_back_with_the_same_name_and_address(self, world):
        endpoint = world.mine.endpoint
        world.fabric.announce("Preempt", "web_3", "web_4", notice=8, returns_after=3)
        world.clock.advance(8)
        assert sorted(world.log) == [("evicted", "web_3"), ("evicted", "web_4")]
        world.clock.advance(3)
        assert sorted(world.log[2:]) == [("returned", "web_3"), ("returned", "web_4")]
        assert world.mine.endpoint == endpoint
        assert (
            read(world.mine, "/metadata/instance/compute?api-version=2021-02-01")["name"] == "web_3"
        )
        assert world.shown()[0] == []

    def test_announcements_that_make_no_sense_are_errors(self, world):
        with pytest.raises(ValueError, match="expected machines to be names of at least one"):
            world.fabric.announce("Preempt")
        with pytest.raises(ValueError, match="expected machines to be a sequence of texts"):
            world.fabric.announce("Preempt", ["web_3", "web_4"])
        with pytest.raises(ValueError, match="expected duration to be an int"):
            world.fabric.announce("Freeze", "web_3", duration=5.0)
        assert world.shown() == ([], 1)

    @pytest.mark.parametrize(
        "name", ["notice", "late", "evicted_after", "returns_after", "listed_for", "lasts"]
    )
    @pytest.mark.parametrize("seconds", [-1, 1e12, math.inf, math.nan, "5"])
    def test_durations_are_seconds_that_one_can_wait_for(self, world, name, seconds):
        with pytest.raises(ValueError, match=f"expected {name} to be seconds from 0 to 1e.09"):
            world.fabric.announce("Freeze", "web_3", **{name: seconds})
        with pytest.raises(ValueError, match=r"expected seconds to be seconds from 0 to 1e.09"):
            world.clock.advance(seconds)
        assert world.clock.monotonic() == 0

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("preempt", "Preempt"),
            ("FREEZE", "Freeze"),
            ("Rebalance", "SpotRebalanceRecommendation"),
        ],
    )
    def test_a_kind_of_azure_that_is_written_otherwise_is_an_error(self, world, wrong, right):
        expected = f"expected kind to be '{right}', as Azure writes it, got: '{wrong}'"
        with pytest.raises(ValueError, match=expected):
            world.fabric.announce(wrong, "web_3")
        with pytest.raises(ValueError, match=r"expected kind to be a text, got: \['Preempt'\]"):
            world.fabric.announce(["Preempt"], "web_3")


class TestApproval:
    def test_it_is_200_and_again_200_for_anybody_and_for_ever(self, world):
        event_id = world.fabric.announce("Reboot", "web_3")
        assert approve(world.mine, event_id) == 200
        assert approve(world.mine, event_id) == 200
        assert approve(world.other, event_id) == 200
        world.clock.advance(60)
        assert world.shown()[0] == []
        assert approve(world.other, event_id) == 200

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not json",
            b"[]",
            b"{}",
            b'{"StartRequests": []}',
            b'{"StartRequests": {"EventId": "x"}}',
            b'{"StartRequests": ["x"]}',
            b'{"StartRequests": [{"Event": "x"}]}',
            b'{"StartRequests": [{"EventId": 7}]}',
            b'{"StartRequests": [{"EventId": "unknown"}]}',
            b"[" * 60_000,
            b"\xff\xfe",
        ],
    )
    def test_a_malformed_one_is_400_and_does_nothing(self, world, body):
        world.fabric.announce("Reboot", "web_3")
        assert ask(world.mine, EVENTS, method="POST", body=body)[0] == 400
        assert world.shown()[0] == ["Scheduled"]
        assert world.fabric.approvals == ()

    def test_with_one_id_unknown_none_is_approved(self, world):
        event_id = world.fabric.announce("Reboot", "web_3")
        assert approve(world.mine, event_id, "unknown") == 400
        assert world.shown()[0] == ["Scheduled"]

    def test_it_ends_the_wait_for_all_resources(self, world):
        event_id = world.fabric.announce("Reboot", "web_3", "web_4")
        assert approve(world.mine, event_id) == 200
        world.clock.advance(0)
        assert sorted(world.log) == [("evicted", "web_3"), ("evicted", "web_4")]
        assert world.shown()[0] == ["Started"]

    def test_who_approved_what_is_recorded(self, world):
        reboot = world.fabric.announce("Reboot", "web_3")
        preempt = world.fabric.announce("Preempt", "web_4")
        assert world.mine.approvals == ()
        world.clock.advance(3)
        approve(world.mine, reboot)
        approve(world.other, preempt, reboot)
        found = [(each.event_id, each.kind, each.by, each.at) for each in world.fabric.approvals]
        assert found == [
            (reboot, "Reboot", "web_3", 3.0),
            (preempt, "Preempt", "web_4", 3.0),
            (reboot, "Reboot", "web_4", 3.0),
        ]
        assert [each.event_id for each in world.mine.approvals] == [reboot]
        assert len(world.other.approvals) == 2

    def test_the_header_is_needed_here_too(self, world):
        event_id = world.fabric.announce("Reboot", "web_3")
        body = json.dumps({"StartRequests": [{"EventId": event_id}]}).encode()
        assert ask(world.mine, EVENTS, method="POST", body=body, headers={})[0] == 400
        assert ask(world.mine, EVENTS.partition("?")[0], method="POST", body=body)[0] == 400
        assert world.fabric.approvals == ()
