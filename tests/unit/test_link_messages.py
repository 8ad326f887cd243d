import contextlib
import json
import string
from dataclasses import replace
from math import nextafter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.addresses import Address
from beethoven.cluster.link_messages import (
    LATEST,
    LINK,
    LONGEST_DURATION,
    LONGEST_LABEL,
    LONGEST_ZONE,
    MOST_LABELS,
    MOST_MEMBERS,
    AskAbout,
    Heartbeat,
    Introduction,
    Leave,
    LinkMessage,
    MemberRecord,
    Members,
    Vouch,
    heartbeat_of,
    introduction_of,
    member_to_record,
    microseconds,
    record_to_member,
    vouch_for,
)
from beethoven.cluster.member import Member
from beethoven.cluster.wire import LONGEST
from beethoven.errors import WireError

LARGEST = 2**63 - 1
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=64)
HOSTS = st.builds(str, st.ip_addresses(v=4) | st.ip_addresses(v=6)).filter(
    lambda host: host not in {"0.0.0.0", "::"}
)
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=LONGEST_LABEL)
ADDRESSES = st.builds(Address, HOSTS, st.integers(1, 65535))
MEMBERS = st.builds(
    Member,
    node_id=NAMES,
    name=NAMES,
    address=ADDRESSES,
    incarnation=st.integers(1, LARGEST),
    labels=st.frozensets(PRINTABLE, max_size=MOST_LABELS),
    zone=PRINTABLE,
    joined_at=st.floats(0, 1e11),
    machine=PRINTABLE,
)
VIOLA = Member("0f3c", "viola", Address("127.0.0.1", 33000), 7, frozenset({"ssd", "gpu"}), "a", 1.5)
MESSAGES: list[LinkMessage] = [
    introduction_of(VIOLA),
    Heartbeat(1, 2),
    Heartbeat(LARGEST, None),
    Members(()),
    Members((member_to_record(VIOLA),)),
    AskAbout("0f3c"),
    Vouch("0f3c", 1.5),
    Leave(),
]
TYPES = sorted({LINK.to_wire(message)["type"] for message in MESSAGES})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def is_multicast(member: Member) -> bool:
    host = member.address.host
    return host.startswith("ff") or host.split(".")[0] in {str(each) for each in range(224, 240)}


def sent(message):
    return LINK.decode(LINK.encode(message))


def refusal(fields):
    """Return why these fields are refused; anything but a `WireError` is a failure."""
    with pytest.raises(WireError) as raised:
        LINK.from_wire(fields)
    assert str(raised.value).isprintable()
    return str(raised.value)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back_as_it_was_and_of_its_own_class(message):
    back = sent(message)
    assert back == message
    assert type(back) is type(message)


@given(MEMBERS.filter(lambda member: not is_multicast(member)))
def test_a_member_comes_back_from_its_introduction_and_from_a_list(member):
    assert record_to_member(sent(introduction_of(member))) == member
    (told,) = sent(Members((member_to_record(member),))).members
    assert record_to_member(told) == member


def test_an_introduction_lies_on_the_wire_like_this():
    assert LINK.encode(introduction_of(VIOLA)) == (
        b'{"type":"introduction","node_id":"0f3c","name":"viola","address":"127.0.0.1:33000",'
        b'"incarnation":7,"labels":["gpu","ssd"],"zone":"a","joined_at":1.5,"machine":""}'
    )


def test_a_clock_before_1970_or_without_a_time_does_not_keep_a_node_from_introducing_itself():
    for clock in (-5.0, float("nan"), float("inf"), 1e300):
        told = sent(introduction_of(Member("a", "a", VIOLA.address, 1, joined_at=clock)))
        assert 0 <= told.joined_at <= LATEST


@given(st.floats(0, 1e10))
def test_a_time_is_rounded_down_to_the_microsecond(seconds):
    whole = microseconds(seconds)
    assert whole / 1e6 <= seconds
    assert (whole + 1) / 1e6 > seconds


def test_a_time_just_below_a_microsecond_is_not_rounded_up_to_it():
    for whole in (1, 3, 123_456_789, 86_400_000_001):
        assert microseconds(whole / 1e6) == whole
        assert microseconds(nextafter(whole / 1e6, 0)) == whole - 1


@given(st.integers(0, 2**52))
def test_what_is_echoed_is_what_was_sent(sent_at_us):
    theirs = sent(Heartbeat(sent_at_us, None))
    ours = sent(heartbeat_of(1.0, theirs.sent_at))
    assert ours.echo_us == sent_at_us


@given(st.floats(0, 1e10), st.none() | st.floats(0, 1e10))
def test_a_heartbeat_is_never_younger_than_its_sender_meant(sent_at, echo):
    heartbeat = sent(heartbeat_of(sent_at, echo))
    assert heartbeat.sent_at <= sent_at
    assert (heartbeat.echo is None) == (echo is None)
    assert heartbeat.echo is None or (echo is not None and heartbeat.echo <= echo)


@given(st.integers(0, LARGEST) | st.just(LARGEST))
def test_whatever_time_a_peer_has_can_be_echoed(sent_at_us):
    theirs = sent(Heartbeat(sent_at_us, None))
    assert sent(heartbeat_of(5.0, theirs.sent_at)).echo is not None


@given(st.floats())
def test_any_age_can_be_vouched_for(age):
    vouch = sent(vouch_for("0f3c", age))
    assert 0 <= vouch.age <= LONGEST_DURATION
    if 0 <= age <= LONGEST_DURATION:
        assert vouch.age == age


def test_the_longest_list_of_usual_members_fits_into_a_frame():
    labels = frozenset({"gpu", "ssd", "eu-west-1"})
    address = Address("10.255.255.255", 65535)
    viola = Member("f" * 32, "n" * 32, address, LARGEST, labels, "z" * 64, 1.7e9)
    member = member_to_record(viola)
    assert len(LINK.encode(Members((member,) * MOST_MEMBERS))) < LONGEST // 2


@pytest.mark.parametrize("message", MESSAGES)
def test_unknown_fields_are_ignored(message):
    fields = {**LINK.to_wire(message), "colour": [{}], "sequence": None}
    assert LINK.from_wire(fields) == message


def test_unknown_fields_of_a_member_in_a_list_and_unknown_types_are_ignored():
    fields = LINK.to_wire(introduction_of(VIOLA))
    listed = {"type": "members", "members": [{**fields, "colour": 1}]}
    assert LINK.from_wire(listed) == Members((member_to_record(VIOLA),))
    assert LINK.from_wire({"type": "from_the_future"}) is None


@pytest.mark.parametrize("message", MESSAGES)
def test_a_field_may_be_missing_only_if_it_has_a_default(message):
    fields = LINK.to_wire(message)
    optional = {"labels", "zone", "joined_at", "machine", "echo_us"}
    for name in fields.keys() - {"type"}:
        without = {key: value for key, value in fields.items() if key != name}
        if name in optional:
            assert LINK.from_wire(without) is not None
        else:
            assert f"expected {name} to be present" in refusal(without)


BAD: dict[str, list[Any]] = {
    "node_id": ["", "-a", "a" * 65, "../a", 1, None],
    "name": ["", "Viola", "a" * 65, "a b", None],
    "address": ["viola:33000", "0.0.0.0:1", "127.0.0.1:0", "[fe80::1%eth0]:1", 33000],
    "incarnation": [0, 2**63, True, "7", 1.0],
    "labels": [["a" * 65], ["x"] * 33, ["a\nb"], [1], "gpu", {"a": 1}, None],
    "zone": ["a" * 65, "a\x00", 1, None],
    "machine": ["a" * 257, "a\n", 1, None],
    "joined_at": [-1, 2e12, float("inf"), float("nan"), "1", True, None],
}


@pytest.mark.parametrize("field", BAD)
def test_a_bad_field_of_an_introduction_or_a_listed_member_is_named(field):
    fields = LINK.to_wire(introduction_of(VIOLA))
    for value in BAD[field]:
        bad = {**fields, field: value}
        assert refusal(bad).startswith(f"introduction: expected {field}")
        in_list = {"type": "members", "members": [fields, bad]}
        assert refusal(in_list).startswith(f"members: expected members[1].{field}")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"type": "heartbeat", "sent_at_us": -1}, "sent_at_us"),
        ({"type": "heartbeat", "sent_at_us": 1.5}, "sent_at_us"),
        ({"type": "heartbeat", "sent_at_us": 2**63}, "sent_at_us"),
        ({"type": "heartbeat", "sent_at_us": 1, "echo_us": -1}, "echo_us"),
        ({"type": "heartbeat", "sent_at_us": 1, "echo_us": True}, "echo_us"),
        ({"type": "members", "members": {}}, "members"),
        ({"type": "members", "members": [[]]}, r"members\[0\]"),
        ({"type": "members", "members": [{}] * (MOST_MEMBERS + 1)}, "members"),
        ({"type": "ask_about", "node_id": ""}, "node_id"),
        ({"type": "vouch", "node_id": "a b", "age": 1}, "node_id"),
        ({"type": "vouch", "node_id": "a", "age": -0.1}, "age"),
        ({"type": "vouch", "node_id": "a", "age": 1.1e9}, "age"),
        ({"type": "vouch", "node_id": "a", "age": float("nan")}, "age"),
    ],
)
def test_a_bad_field_of_the_other_messages_is_named(fields, named):
    with pytest.raises(WireError, match=rf"^{fields['type']}: expected {named} to be "):
        LINK.from_wire(fields)


def test_the_limits_themselves_are_within():
    labels = tuple(f"{number:0{LONGEST_LABEL}}" for number in range(MOST_LABELS))
    longest = MemberRecord(
        "i" * 64,
        "n" * 64,
        f"[fdff{':ffff' * 7}]:65535",
        LARGEST,
        labels,
        "𝄞" * LONGEST_ZONE,
        LATEST,
    )
    assert sent(Members((longest,))) == Members((longest,))
    assert sent(Vouch("a", LONGEST_DURATION)) == Vouch("a", LONGEST_DURATION)


@pytest.mark.parametrize("machine", ["a" * 257, "a\nb"])
def test_a_machine_whose_name_cannot_be_told_is_not_told(machine):
    assert sent(introduction_of(replace(VIOLA, machine=machine))).machine == ""


def test_an_older_node_that_tells_no_machine_is_understood():
    fields = LINK.to_wire(introduction_of(replace(VIOLA, machine="web_3")))
    told = LINK.from_wire(fields)
    assert isinstance(told, Introduction)
    assert told.machine == "web_3"
    del fields["machine"]
    told = LINK.from_wire(fields)
    assert isinstance(told, Introduction)
    assert record_to_member(told) == VIOLA


def test_what_a_reader_would_refuse_is_not_sent():
    for message in (
        AskAbout(""),
        Heartbeat(-1),
        introduction_of(Member("a", "a", VIOLA.address, 0)),
        introduction_of(Member("a", "a", VIOLA.address, 1, frozenset({"a\nb"}))),
        Members((member_to_record(VIOLA),) * (MOST_MEMBERS + 1)),
    ):
        with pytest.raises(WireError):
            LINK.encode(message)


@given(st.sampled_from(MESSAGES), st.data())
def test_a_mutated_body_is_read_or_refused_by_a_wire_error(message, data):
    body = bytearray(LINK.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body)))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read_or_refused(bytes(body))


@given(st.sampled_from(TYPES), st.data())
def test_any_fields_are_read_or_refused_by_a_wire_error(name, data):
    known = [*BAD, "sent_at_us", "echo_us", "members", "age"]
    changes = data.draw(st.dictionaries(st.sampled_from(known), JSON))
    valid = data.draw(st.sampled_from(MESSAGES))
    read_or_refused(json.dumps({**LINK.to_wire(valid), **changes, "type": name}).encode())


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused_by_a_wire_error(body):
    read_or_refused(body)


def read_or_refused(body):
    """Read a body as a core server does, and do with it what that does."""
    message = None
    with contextlib.suppress(WireError):
        message = LINK.decode(body)
    match message:
        case Introduction():
            record_to_member(message)
        case Members(members):
            assert all(map(record_to_member, members))
        case Heartbeat():
            LINK.encode(heartbeat_of(0.0, message.sent_at))
