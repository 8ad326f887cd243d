"""What Azure's metadata service is asked, when, and what follows from its answers."""

import itertools
import json
import pickle
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beethoven.cloud.azure import Azure
from beethoven.cloud.azure_pace import GONE_PATIENCE, MOST_PER_SECOND, Limiter, retry_after
from beethoven.cloud.azure_versions import best_version
from beethoven.cloud.provider import (
    Absent,
    AcknowledgeRequested,
    Answered,
    Ask,
    Learned,
    Note,
    Noticed,
    Started,
    Ticked,
    Unanswered,
)
from beethoven.cloud.settings import AzureSettings
from beethoven.cloud.site import Site
from beethoven.cloud.static import Static

WALL = 1_474_309_757.0
NEW, OLD = "2024-07-09", "2020-07-01"
PINNED = "2021-02-01"


def document(name="web_3", address="172.19.0.16", subnet="172.19.0.0"):
    ipv4 = {
        "ipAddress": [{"privateIpAddress": address}],
        "subnet": [{"address": subnet, "prefix": "28"}],
    }
    return {
        "compute": {"name": name, "location": "westeurope", "zone": "1"},
        "network": {"interface": [{"macAddress": "000D3A2B3C4D", "ipv4": ipv4}]},
    }


def announced(*ids, kind="Preempt"):
    return {
        "DocumentIncarnation": 1,
        "Events": [
            {"EventId": each, "EventType": kind, "Resources": ["web_3"], "EventStatus": "Scheduled",
             "NotBefore": "", "DurationInSeconds": -1} for each in ids
        ],
    }  # fmt: skip


def reply(status, content=b"", **headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return status, headers, body


WELL = {"instance": reply(200, document()), "events": reply(200, announced())}
HTML = reply(200, b"<html>log in</html>")


class World:
    """
    A provider, and a service that gives fixed answers; time is virtual.

    Attributes:
        replies: By purpose: an answer, why there is none, or a function of the question.
    """

    def __init__(self, replies=WELL, *, settings=AzureSettings(), latency=0.01):  # noqa: B008
        self.now = 100.0
        self.replies = dict(replies)
        self.latency = latency
        self.azure = Azure(
            settings,
            own=lambda: ("172.19.0.16",),
            wall=lambda: WALL + self.now,
            elapsed=lambda: self.now,
        )
        self.asked: list[tuple[float, Ask]] = []
        self.effects: list[tuple[float, object]] = []
        self.pending: list[tuple[float, object]] = []

    def start(self):
        self.tell(Started())
        return self

    def tell(self, event):
        for effect in self.azure.handle(event, now=self.now):
            self.effects.append((self.now, effect))
            if isinstance(effect, Ask):
                self.asked.append((self.now, effect))
                self.pending.append(self._fate(effect))

    def _fate(self, question):
        what = self.replies.get(question.purpose, "refused")
        what = what(question) if callable(what) else what
        if what == "silence":
            return self.now + question.timeout, Unanswered(question.purpose, "no answer")
        if isinstance(what, str):
            return self.now + self.latency, Unanswered(question.purpose, what)
        status, headers, body = what
        return self.now + self.latency, Answered(question.purpose, status, headers, body)

    def advance(self, seconds):
        end = self.now + seconds
        while True:
            self.pending.sort(key=lambda item: item[0])
            deadline = self.azure.next_deadline()
            moments = [deadline] if deadline is not None else []
            moments += [self.pending[0][0]] if self.pending else []
            if not moments or min(moments) > end:
                break
            self.now = max(self.now, min(moments))
            if self.pending and self.pending[0][0] <= self.now:
                self.tell(self.pending.pop(0)[1])
            else:
                self.tell(Ticked())
        self.now = end
        return self

    def of(self, kind):
        return [effect for _, effect in self.effects if isinstance(effect, kind)]

    def times(self, purpose):
        return [round(moment - 100.0, 2) for moment, each in self.asked if each.purpose == purpose]

    def targets(self, purpose):
        return [each.target for _, each in self.asked if each.purpose == purpose]

    def notes(self, event):
        return [each.fields for each in self.of(Note) if each.event == event]


def test_nothing_is_asked_before_the_start():
    world = World()
    assert world.azure.next_deadline() is None
    world.tell(Ticked())
    assert world.asked == []


def test_the_document_is_asked_for_first_and_every_10_s():
    world = World().start().advance(35.0)
    assert world.times("instance") == [0.0, 10.01, 20.02, 30.03]
    assert set(world.targets("instance")) == {f"/metadata/instance?api-version={PINNED}"}
    (learned,) = world.of(Learned)
    assert (learned.site.machine, learned.site.zone) == ("web_3", "westeurope-1")
    assert all(each.headers["Metadata"] == "true" for _, each in world.asked)


def test_events_are_asked_for_every_second_once_the_document_is_there():
    world = World().start().advance(5.5)
    assert world.times("events") == [0.01, 1.01, 2.01, 3.01, 4.01, 5.01]
    assert len(world.of(Noticed)) == 6
    assert [each.timeout for _, each in world.asked if each.purpose == "events"][:3] == [
        15.0, 10.0, 10.0]  # fmt: skip


def test_a_slow_document_does_not_keep_the_events_waiting():
    world = World({**WELL, "instance": "silence"}).start().advance(2.5)
    assert world.times("events") == [1.0, 2.0]


def test_the_first_question_about_events_may_take_longer():
    world = World({**WELL, "events": "silence"}).start().advance(140.0)
    timeouts = [each.timeout for _, each in world.asked if each.purpose == "events"]
    assert timeouts[:2] == [15.0, 10.0], "who has waited once waits no longer than others"


def test_a_site_is_told_only_when_it_changes():
    world = World().start().advance(25.0)
    world.replies["instance"] = reply(200, document(address="172.19.1.4", subnet="172.19.1.0"))
    world.advance(10.0)
    assert [str(each.site.networks[0]) for each in world.of(Learned)] == [
        "172.19.0.0/28", "172.19.1.0/28"]  # fmt: skip


@pytest.mark.parametrize("part", ["network", "compute"])
def test_a_document_in_which_a_part_is_missing_takes_nothing_back(part):
    world = World().start().advance(5.0)
    world.replies["instance"] = reply(
        200, {name: each for name, each in document().items() if name != part}
    )
    world.advance(30.0)
    assert len(world.of(Learned)) == 1
    assert len(world.notes("azure_part_ignored")) <= 2


def test_where_nobody_is_that_is_told_once_and_asked_on_rarely():
    world = World({}).start().advance(200.0)
    assert world.of(Absent) == [Absent("refused")]
    times = world.times("instance")
    pauses = [round(later - sooner, 6) for sooner, later in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1.0
    assert pauses[-1] == pytest.approx(60.0, abs=0.1)
    assert len(world.times("events")) <= len(times)
    assert world.of(Note) == []
    assert world.azure.summary()["is_absent"]
    assert "refused" in world.azure.summary()["failing"]


def test_who_has_been_answered_in_a_former_life_goes_on_asking_for_events():
    world = World({})
    world.tell(Started(is_known=True))
    world.advance(100.0)
    assert world.of(Absent) == []
    times = world.times("events")
    assert max(later - sooner for sooner, later in pairwise(times)) == pytest.approx(8.0, abs=0.1)


def test_a_service_that_comes_late_is_found():
    world = World({}).start().advance(70.0)
    world.replies.update(WELL)
    world.advance(60.0)
    assert len(world.of(Learned)) == len(world.of(Absent)) == 1
    found = next(moment for moment, each in world.effects if isinstance(each, Learned)) - 100.0
    since = [each for each in world.times("events") if each >= found]
    assert len(since) == pytest.approx(130.0 - found, abs=2)
    assert not world.azure.summary()["is_absent"]
    assert world.azure.summary()["failing"] == ""


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405])
def test_somebody_who_is_not_azure_is_as_nobody(status):
    world = World(dict.fromkeys(("instance", "versions", "events"), reply(status)))
    world.start().advance(100.0)
    assert len(world.of(Absent)) == 1
    assert str(status) in world.of(Absent)[0].why
    assert len(world.asked) < 12


def test_silence_later_is_a_failure_and_no_absence():
    world = World().start().advance(15.0)
    world.replies.update({"instance": "refused", "events": "refused"})
    world.advance(100.0)
    assert world.of(Absent) == []
    assert [each["question"] for each in world.notes("azure_failed")] == ["events", "instance"]
    world.replies.update(WELL)
    world.advance(60.0)
    assert len(world.notes("azure_recovered")) == 2
    assert len(world.of(Learned)) == 1
    late = [each for each in world.times("events") if 15 < each < 115]
    assert late[-1] - late[-2] == pytest.approx(8.0, abs=0.1), "it is never deaf for longer"


def versions(*listed):
    return reply(200, {"apiVersions": list(listed)})


VERSIONS = [
    (["2017-04-02", "2019-08-15", "2020-09-01"], "2020-09-01"),
    (["2020-09-01", "2021-12-13", "2025-04-07"], "2021-12-13"),
    (["2017-04-02"], "2017-04-02"),
    (["2015-01-01"], None),
    ([PINNED], None),
    (["latest", 7, None, {}], None),
    ([], None),
]


@pytest.mark.parametrize(("listed", "chosen"), VERSIONS)
@pytest.mark.parametrize("status", [400, 404])
def test_a_refused_version_of_the_document_is_chosen_anew(listed, chosen, status):
    def instance(question):
        is_known = question.target.endswith(str(chosen))
        return reply(200, document()) if is_known else reply(status, b"{}")

    world = World({**WELL, "instance": instance, "versions": versions(*listed)})
    world.start().advance(0.5)
    assert len(world.of(Learned)) == (chosen is not None)
    assert len(world.of(Absent)) == (chosen is None)
    if chosen is not None:
        world.advance(30.0)
        assert len(world.times("versions")) == 1
        assert world.azure.summary()["versions"]["instance"] == chosen


def test_versions_that_are_listed_and_refused_have_an_end():
    many = [f"20{year}-01-01" for year in range(17, 90)]
    world = World({"instance": reply(404), "versions": versions(*many)}).start().advance(30.0)
    assert len(world.of(Absent)) == 1
    assert len(world.asked) < 12


@given(
    st.frozensets(st.sampled_from(["2017-04-02", "2019-08-15", PINNED, "2023-01-01", "2015-01-01"]))
)
def test_the_best_version_is_one_that_is_offered_and_not_refused(offered):
    assert best_version(offered, offered) is None
    best = best_version(offered, ())
    assert best in offered or offered <= {"2015-01-01"}


@pytest.mark.parametrize("status", [400, 404])
def test_events_fall_back_to_the_older_version_at_once(status):
    def events(question):
        is_old = question.target.endswith(OLD)
        return reply(200, announced("1")) if is_old else reply(status)

    world = World({**WELL, "events": events}).start().advance(3.5)
    assert [each[-10:] for each in world.targets("events")] == [NEW, OLD, OLD, OLD, OLD]
    assert world.of(Note) == []
    assert world.azure.summary()["versions"]["events"] == OLD


def test_410_is_borne_for_70_s():
    world = World({**WELL, "instance": reply(410)}).start().advance(GONE_PATIENCE - 1.0)
    assert (world.of(Note), world.of(Absent)) == ([], [])
    assert "410" in world.azure.summary()["failing"]
    assert 8 <= len(world.times("instance")) <= 16
    world.advance(20.0)
    assert len(world.notes("azure_failed")) == 1
    world.replies["instance"] = WELL["instance"]
    world.advance(61.0)
    assert len(world.of(Learned)) == 1


def test_410_that_passes_at_once_costs_little():
    world = World({**WELL, "instance": reply(410)}).start()
    world.advance(0.1)
    world.replies["instance"] = WELL["instance"]
    world.advance(0.3)
    assert len(world.of(Learned)) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("purpose", ["instance", "events"])
def test_a_busy_service_is_asked_less_and_less_and_for_ever(status, purpose):
    world = World({**WELL, purpose: reply(status)}).start().advance(300.0)
    times = world.times(purpose)
    pauses = [round(b - a, 1) for a, b in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= (1.0 if status == 429 else 0.2)
    assert pauses[-1] == pytest.approx(60.0 if purpose == "instance" else 8.0, abs=0.1)
    assert len(world.notes("azure_failed")) == 1
    assert world.of(Absent) == []


@pytest.mark.parametrize("status", [410, 429, 503])
def test_retry_after_is_heeded(status):
    answer = reply(status, **{"retry-after": "20"})
    world = World({**WELL, "instance": answer}).start().advance(30.0)
    assert world.times("instance") == [0.0, 20.01]


RETRY = [("5", 5.0), ("0", 0.0), ("", 0.0), ("-5", 0.0), ("soon", 0.0), ("9" * 30, 120.0),
         ("Mon, 19 Sep 2016 18:29:47 GMT", 30.0), ("Mon, 19 Sep 2010 18:29:47 GMT", 0.0),
         ("Mon, 19 Sep 2036 18:29:47 GMT", 120.0), ("\u0665", 0.0)]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), RETRY)
def test_retry_after_is_seconds_or_a_moment(text, seconds):
    assert retry_after(text, wall=WALL) == seconds


@pytest.mark.parametrize("bad", [
    HTML, reply(200, b'{"Events": ['), reply(200, b"[" * 100_000), reply(200, []), reply(200),
])  # fmt: skip
@pytest.mark.parametrize("purpose", ["instance", "events"])
def test_what_cannot_be_read_is_noted_once_and_ends_nothing(purpose, bad):
    world = World().start().advance(5.0)
    world.replies[purpose] = bad
    world.advance(60.0)
    told = len(world.of(Noticed))
    assert [each["question"] for each in world.notes("azure_failed")] == [purpose]
    world.replies.update(WELL)
    world.advance(70.0)
    assert world.notes("azure_recovered") == [{"question": purpose}]
    assert len(world.of(Learned)) == 1
    assert len(world.of(Noticed)) > told
    world.replies[purpose] = bad
    world.advance(20.0)
    assert len(world.notes("azure_failed")) == 2


def test_a_failing_service_takes_no_notice_back():
    world = World({**WELL, "events": reply(200, announced("1"))}).start().advance(2.0)
    world.replies["events"] = reply(500)
    told = len(world.of(Noticed))
    world.advance(30.0)
    assert len(world.of(Noticed)) == told
    assert [each["notice_id"] for each in world.azure.summary()["notices"]] == ["1"]


def announcing(events):
    """Return an answer in which an event for web_3 comes behind as many for others."""
    own = announced("own")["Events"]
    others = [{**own[0], "EventId": str(each), "Resources": ["web_4"]} for each in range(events)]
    return reply(200, {"Events": [*others, *own]})


@pytest.mark.parametrize("others", [64, 1023, 1024, 3000])
def test_a_notice_for_this_machine_is_heard_behind_any_number_of_others(others):
    world = World().start().advance(1.5)
    world.replies["events"] = announcing(others)
    world.advance(1.5)
    assert world.of(Noticed)[-1].notices[0].notice_id == "own"


@pytest.mark.parametrize("others", [64, 3000])
def test_a_notice_stays_however_many_others_come_before_it(others):
    world = World({**WELL, "events": announcing(0)}).start().advance(1.5)
    told = len(world.of(Noticed))
    world.replies["events"] = announcing(others)
    world.advance(3.0)
    later = world.of(Noticed)[told:]
    assert later
    assert all("own" in {one.notice_id for one in each.notices} for each in later)


def test_a_flood_before_the_machine_is_known_is_not_guessed_at():
    world = World({"instance": "silence", "events": announcing(3000)}).start().advance(4.0)
    assert (world.of(Noticed), len(world.notes("azure_failed"))) == ([], 1)
    world.replies["instance"] = WELL["instance"]
    world.advance(20.0)
    assert world.of(Noticed)[-1].notices[0].notice_id == "own"
    assert {"question": "events"} in world.notes("azure_recovered")


def test_the_summary_tells_the_first_notices():
    world = World({**WELL, "events": announcing(3000)}).start().advance(3.0)
    told = world.azure.summary()["notices"]
    assert len(told) == 64
    assert told[0]["notice_id"] == "own"


def acknowledging(answer):
    world = World({**WELL, "events": reply(200, announced("1", "2")), "acknowledge": answer})
    world.start().advance(1.5)
    world.tell(AcknowledgeRequested(("1", "2", "unheard of")))
    return world


def test_an_acknowledgement_is_posted_for_what_is_announced():
    world = acknowledging(reply(200)).advance(20.0)
    (question,) = [each for _, each in world.asked if each.purpose == "acknowledge"]
    assert question.method == "POST"
    assert question.target == f"/metadata/scheduledevents?api-version={NEW}"
    assert question.headers["Metadata"] == "true"
    assert json.loads(question.body) == {"StartRequests": [{"EventId": "1"}, {"EventId": "2"}]}
    assert world.notes("azure_acknowledged") == [{"ids": "1,2"}]


def test_an_acknowledgement_that_got_lost_is_posted_again_while_it_is_announced():
    world = acknowledging(reply(503)).advance(5.0)
    assert len(world.times("acknowledge")) >= 4
    world.replies["acknowledge"] = "refused"
    world.advance(20.0)
    world.replies["events"] = reply(200, announced())
    world.advance(20.0)
    asked = len(world.times("acknowledge"))
    world.replies["acknowledge"] = reply(200)
    world.advance(60.0)
    assert len(world.times("acknowledge")) == asked
    assert world.notes("azure_acknowledged") == []


def test_an_acknowledgement_does_not_outlive_its_notice():
    world = acknowledging(reply(500)).advance(2.0)
    asked = world.times("acknowledge")
    world.replies |= {"events": reply(200, announced("2")), "acknowledge": reply(200)}
    world.advance(1.01)
    assert world.times("acknowledge") == asked
    world.replies["events"] = reply(200, announced("1", "2"))
    world.advance(10.0)
    assert world.notes("azure_acknowledged") == [{"ids": "2"}]


def test_an_acknowledgement_that_is_refused_is_given_up():
    world = acknowledging(reply(400)).advance(60.0)
    assert len(world.times("acknowledge")) == 1
    assert len(world.notes("azure_acknowledgement_refused")) == 1


def test_what_is_to_be_acknowledged_meanwhile_is_posted_afterwards():
    world = World({**WELL, "events": reply(200, announced("1", "2")), "acknowledge": reply(200)})
    world.start().advance(1.5)
    world.tell(AcknowledgeRequested(("1",)))
    world.tell(AcknowledgeRequested(("2",)))
    world.advance(5.0)
    assert [each["ids"] for each in world.notes("azure_acknowledged")] == ["1", "2"]


@pytest.mark.parametrize("answer", ["refused", "silence", HTML, reply(500), reply(410)])
def test_who_does_not_list_versions_is_asked_for_the_document_again(answer):
    world = World({**WELL, "instance": reply(400), "versions": answer}).start().advance(30.0)
    assert world.of(Absent) == []
    world.replies["instance"] = WELL["instance"]
    world.advance(61.0)
    assert len(world.of(Learned)) == 1
    assert world.azure.summary()["failing"] == ""


def test_answers_to_questions_that_were_not_asked_do_nothing():
    world = World()
    for purpose in ("instance", "events", "versions", "acknowledge", "whatever"):
        world.tell(Answered(purpose, 200, {}, b"{}"))
        world.tell(Unanswered(purpose, "why"))
    assert world.effects == []


def test_the_summary_is_json_and_says_what_is_known():
    world = World({**WELL, "events": reply(200, announced("1"))})
    assert json.loads(json.dumps(world.azure.summary()))["asked_ago"] is None
    world.start().advance(5.5)
    summary = json.loads(json.dumps(world.azure.summary()))
    assert summary["site"]["machine"] == "web_3"
    assert summary["site"]["networks"] == ["172.19.0.0/28"]
    assert summary["asked_ago"] == 0.5
    assert summary["instance_ago"] == 5.5
    assert summary["learned_at"].startswith("2016-09-19T18:30")
    assert [each["kind"] for each in summary["notices"]] == ["Preempt"]
    assert summary["versions"] == {"instance": PINNED, "events": NEW}
    assert (summary["failing"], summary["is_absent"]) == ("", False)


def test_a_provider_can_be_handed_to_another_process():
    assert pickle.loads(pickle.dumps(Azure(AzureSettings(), "10.0.0.4"))).next_deadline() is None


def test_who_knows_its_site_says_so_at_once_and_never_asks():
    static = Static(Site(machine="m"))
    assert static.handle(Started(), now=0.0) == [Learned(Site(machine="m"))]
    assert static.handle(Ticked(), now=1.0) == []
    assert static.next_deadline() is None
    assert json.dumps(static.summary())


def test_no_more_than_the_rate_begin_within_any_second():
    limiter = Limiter()
    moments = []
    now = 0.0
    for _ in range(40):
        now = max(now, limiter.next_at())
        limiter.spend(now=now)
        moments.append(now)
    assert MOST_PER_SECOND < 5
    assert all(b - a > 1.0 for a, b in zip(moments, moments[MOST_PER_SECOND:], strict=False))


ANSWERS = st.one_of(
    st.sampled_from(["silence", "refused"]),
    st.builds(
        reply,
        st.sampled_from([200, 200, 200, 204, 301, 400, 401, 404, 410, 429, 500, 503]),
        st.sampled_from([
            b"", b"<html>", b"{}", b"[" * 5000, document(), document("web_4"), announced("1"),
            announced("1", "2", kind="Reboot"), announced("9", kind="Odd"),
            {"apiVersions": ["2020-09-01", "2023-01-01", PINNED]}, {"Events": [None, 1, {}]},
        ]),
        **{"retry-after": st.sampled_from(["", "1", "x", "99999"])},
    ),
)  # fmt: skip
PURPOSES = st.sampled_from(["instance", "events", "versions", "acknowledge"])
STEPS = st.lists(
    st.tuples(PURPOSES, ANSWERS, st.floats(0.0, 40.0), st.booleans()), min_size=1, max_size=12
)


@settings(deadline=None)
@given(STEPS, st.sampled_from([0.0, 0.01, 0.9]))
def test_whatever_is_answered_it_goes_on_politely(steps, latency):
    world = World(latency=latency).start()
    for purpose, answer, seconds, acknowledges in steps:
        world.replies[purpose] = answer
        if acknowledges:
            world.tell(AcknowledgeRequested(("1", "2")))
        world.advance(seconds)
        json.dumps(world.azure.summary())
    moments = [moment for moment, _ in world.asked]
    for first, fifth in zip(moments, moments[MOST_PER_SECOND:], strict=False):
        assert fifth - first > 1.0
    under_way = [event.purpose for _, event in world.pending]
    assert len(under_way) == len(set(under_way))
    assert len(world.of(Absent)) <= 1
    for before, after in itertools.pairwise(world.of(Learned)):
        assert before != after
    world.replies = dict(WELL)
    told = len(world.of(Noticed))
    world.advance(300.0)
    assert len(world.of(Noticed)) > told + 50, "it always finds its way back"
    assert world.azure.summary()["failing"] == ""
