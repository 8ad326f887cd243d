"""What an answer about scheduled events announces."""

import json
import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cloud.azure_events import read_events, seconds_since_1970
from beethoven.cloud.azure_json import Unreadable
from beethoven.cloud.notice import Notice, NoticeKind

# 2016-09-19 18:29:17 UTC; the event begins 30 s later.
NOW = 1474309757.0
NOT_BEFORE = "Mon, 19 Sep 2016 18:29:47 GMT"
EVENT = {
    "EventId": "602d9444",
    "EventType": "Preempt",
    "ResourceType": "VirtualMachine",
    "Resources": ["web_3"],
    "EventStatus": "Scheduled",
    "NotBefore": NOT_BEFORE,
    "Description": "the machine goes",
    "EventSource": "Platform",
    "DurationInSeconds": -1,
}


def body(*events, **fields):
    return json.dumps({"DocumentIncarnation": 7, "Events": list(events), **fields}).encode()


def read(*events, now=NOW, date=""):
    return read_events(body(*events), now=now, date=date).notices


def one(**changes):
    (notice,) = read({**EVENT, **changes})
    return notice


def test_an_event_is_a_notice():
    assert one() == Notice(
        notice_id="602d9444",
        kind=NoticeKind.PREEMPT,
        machines=frozenset({"web_3"}),
        is_started=False,
        begins_in=30.0,
        lasts=None,
        text="the machine goes",
    )


def test_no_events_are_no_notices():
    assert read() == ()


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_kind_is_known_by_the_word_of_azure(kind):
    assert one(EventType=str(kind)).kind is kind


MOMENTS: list[tuple[object, float | None]] = [
    ("Mon, 19 Sep 2016 18:29:47 GMT", 30.0),
    ("Mon, 19 Sep 2016 20:29:47 +0200", 30.0),
    ("2016-09-19T18:29:47Z", 30.0),
    ("2016-09-19T18:29:47.500Z", 30.5),
    ("2016-09-19T18:29:47", 30.0),
    ("2016-09-19T20:29:47+02:00", 30.0),
    ("Mon, 19 Sep 2016 18:29:00 GMT", 0.0),
    ("", None),
    ("soon", None),
    ("Mon, 99 Sep 2016 18:29:47 GMT", None),
    ("Mon, 19 Sep 99999999999999999999 18:29:47 GMT", None),
    ("9" * 5000, None),
    (None, None),
    (1474309757, None),
    ([], None),
]


@pytest.mark.parametrize(("text", "seconds"), MOMENTS, ids=range(len(MOMENTS)))
def test_the_moment_is_read_as_it_is_written(text, seconds):
    assert one(NotBefore=text).begins_in == seconds


def test_what_has_begun_has_no_beginning():
    assert one(EventStatus="Started", NotBefore="") == one(EventStatus="Started")
    assert one(EventStatus="Started").is_started
    assert one(EventStatus="Started").begins_in is None


CLOCKS = [
    (NOW + 0.4, 0.0, 29.6),
    (NOW - 3600.0, 0.0, 30.0),
    (NOW + 3600.0, 0.0, 29.0),
    (NOW, 10.0, 20.0),
]


@pytest.mark.parametrize(("now", "later", "seconds"), CLOCKS)
def test_the_service_says_what_time_it_is(now, later, seconds):
    """Its header is cut to seconds; within the second our own clock decides."""
    (notice,) = read(EVENT, now=now, date=formatdate(NOW + later, usegmt=True))
    assert notice.begins_in == pytest.approx(seconds)


def test_a_header_that_is_no_date_does_not_count():
    assert read(EVENT, date="yesterday")[0].begins_in == 30.0


LASTS = [(-1, None), (0, 0.0), (5, 5.0), (2.5, 2.5), ("5", None), (True, None), (None, None),
         (10**400, None), (math.nan, None), (math.inf, None)]  # fmt: skip


@pytest.mark.parametrize(("value", "seconds"), LASTS, ids=range(len(LASTS)))
def test_how_long_it_lasts_is_known_or_not(value, seconds):
    assert one(DurationInSeconds=value).lasts == seconds


def test_fields_of_later_versions_may_be_missing():
    old = {name: EVENT[name] for name in ("EventId", "EventType", "Resources", "EventStatus")}
    (notice,) = read(old)
    assert (notice.begins_in, notice.lasts, notice.text) == (None, None, "")


def test_machines_are_names_only():
    assert one(Resources=["a", "", 3, None, ["b"], "a\nb", "c" * 300, "d"]).machines == {"a", "d"}
    assert one(Resources="web_3").machines == frozenset()


def test_a_text_is_one_line_without_tricks():
    assert one(Description="a\nb\x1b[31m  c" + "x" * 1000).text == ("a b[31m c" + "x" * 191)


def test_an_event_of_an_unknown_type_is_left_out_with_a_remark():
    found = read_events(body({**EVENT, "EventType": "Explode"}, EVENT), now=NOW)
    assert [each.kind for each in found.notices] == [NoticeKind.PREEMPT]
    assert found.remarks == ("an event of unknown type 'Explode'",)


@pytest.mark.parametrize("bad", [None, [], "x", {}, {**EVENT, "EventId": ""}, {"EventId": "1"}])
def test_an_event_that_nobody_could_name_is_left_out_alone(bad):
    found = read_events(body(bad, EVENT), now=NOW)
    assert len(found.notices) == len(found.remarks) == 1


def test_remarks_are_few_whatever_comes():
    events = [{**EVENT, "EventType": f"T{each}"} for each in range(1000)]
    assert len(read_events(body(*events), now=NOW).remarks) == 4


def test_of_two_events_of_one_id_the_first_counts():
    assert [each.kind for each in read(EVENT, {**EVENT, "EventType": "Freeze"})] == ["Preempt"]


UNREADABLE = [b"", b"<html>", b"[]", b"{}", b'{"Events": {}}', b'{"Events": null}', body()[:-1],
              b'{"Events": ' + b"[" * 100_000, b"\x00" * 50]  # fmt: skip


@pytest.mark.parametrize("data", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_has_no_list_of_events_is_unreadable(data):
    with pytest.raises(Unreadable):
        read_events(data, now=NOW)


def many(count, machine="web_{}"):
    return [
        {**EVENT, "EventId": str(each), "Resources": [machine.format(each)]}
        for each in range(count)
    ]


def ids(found):
    return [each.notice_id for each in found.notices]


CUT = "events beyond 64 for this machine or 1024 in all"


def test_what_is_for_the_own_machine_comes_first():
    found = read_events(body(*many(100)), now=NOW, machine="web_90")
    assert ids(found) == ["90", *map(str, range(90)), *map(str, range(91, 100))]
    assert found.remarks == ()


def test_of_a_flood_of_events_the_own_and_the_first_count():
    found = read_events(body(*many(3000)), now=NOW, machine="web_2500")
    assert ids(found) == ["2500", *map(str, range(1023))]
    assert found.remarks == (CUT,)


def test_of_a_flood_for_the_own_machine_what_is_known_and_then_the_first_count():
    events = [*many(100, "web_3"), {**EVENT, "EventId": "theirs", "Resources": ["web_4"]}]
    found = read_events(body(*events), now=NOW, machine="web_3", known={"98", "99"})
    assert ids(found) == ["98", "99", *map(str, range(62)), "theirs"]
    assert found.remarks == (CUT,)


def test_nothing_is_cut_before_the_own_machine_is_known():
    assert len(read(*many(1024))) == 1024
    with pytest.raises(Unreadable, match="more than 1024 events, before this machine is known"):
        read(*many(1025))


@given(
    st.lists(st.sampled_from(["web_3", "web_4"]), max_size=100),
    st.integers(0, 1100),
    st.randoms(),
)
def test_an_own_event_that_is_known_is_never_cut(machines, others, random):
    events = [
        {**EVENT, "EventId": f"own-{each}", "Resources": [machine]}
        for each, machine in enumerate(machines)
    ] + many(others, "web_5")
    random.shuffle(events)
    before = read_events(body(*events), now=NOW, machine="web_3").notices
    random.shuffle(events)
    known = {each.notice_id for each in before}
    after = read_events(body(*events), now=NOW, machine="web_3", known=known).notices
    assert known >= {each.notice_id for each in after if "web_3" in each.machines}
    assert {each for each in before if "web_3" in each.machines} <= {*after}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(EVENT, ANYTHING))), ANYTHING)
def test_whatever_is_listed_makes_sound_notices(events, extra):
    mixed = [{**EVENT, **each} for each in events] + [extra]
    for notice in read(*events, *mixed):
        assert notice.notice_id
        assert notice.begins_in is None or 0 <= notice.begins_in < math.inf
        assert notice.lasts is None or 0 <= notice.lasts < math.inf
        assert all(each and each.isprintable() for each in (*notice.machines, notice.kind))
        assert notice.text.isprintable()


@given(st.text())
def test_any_text_is_a_moment_or_none(text):
    found = seconds_since_1970(text)
    assert found is None or math.isfinite(found)


@given(st.floats(0, 4e9).map(float.__floor__))
def test_a_moment_survives_being_written(seconds):
    assert seconds_since_1970(formatdate(seconds, usegmt=True)) == seconds
