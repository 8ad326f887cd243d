import itertools
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster import fields as kinds
from beethoven.cluster.fields import COUNT, Unfit
from beethoven.cluster.messages import HANDSHAKE, Hello, Proof, Refusal
from beethoven.cluster.wire import (
    DEEPEST,
    LENGTH_SIZE,
    LONGEST,
    LONGEST_BEFORE_AUTHENTICATION,
    FrameDecoder,
    MessageTable,
    frame,
    read_body,
)
from beethoven.errors import WireError

HELLO = Hello(
    cluster="orchestra",
    protocol_min=1,
    protocol_max=2,
    node_id="0f3c",
    name="viola",
    incarnation=7,
    address="127.0.0.1:33000",
    nonce=bytes(range(32)),
    version="0.2.0",
)
FIELDS = HANDSHAKE.to_wire(HELLO)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Seat:
    number: Annotated[int, kinds.integer(1, 9)]


@dataclass(frozen=True, slots=True)
class Everything:
    flag: Annotated[bool, kinds.BOOLEAN]
    colour: Annotated[Colour, kinds.one_of(Colour)]
    seats: Annotated[tuple[Seat, ...], kinds.many(kinds.record(Seat), 2)]
    loads: Annotated[dict[str, float], kinds.mapping(kinds.NAME, kinds.number(0, 1), 2)]
    echo: Annotated[int | None, kinds.optional(COUNT)] = None


@dataclass(frozen=True, slots=True)
class Pulse:
    number: Annotated[int, COUNT]
    at: Annotated[int, COUNT]
    load: Annotated[float | None, kinds.optional(kinds.number(0, 1e9))] = None


TABLE = MessageTable[Everything | Pulse](everything=Everything, pulse=Pulse)
EVERYTHING = Everything(True, Colour.RED, (Seat(1), Seat(9)), {"viola": 0.5})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def complaint_of(read):
    """Return what is wrong, or nothing; anything but a `WireError` is a failure."""
    try:
        read()
    except WireError as error:
        return str(error)
    return ""


def cut(stream, places, limit=LONGEST):
    decoder = FrameDecoder(limit)
    got = []
    for start, end in itertools.pairwise([0, *places, len(stream)]):
        decoder.feed(stream[start:end])
        while (body := decoder.next_frame()) is not None:
            got.append(body)
    return got


def test_a_frame_is_its_length_most_significant_byte_first_and_its_body():
    assert frame(b"viola") == b"\0\0\0\x05viola"


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_any_cut_of_the_stream_gives_the_same_frames(bodies, data):
    stream = b"".join(map(frame, bodies))
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    assert cut(stream, places) == bodies
    assert cut(stream, range(1, len(stream))) == bodies


@given(st.binary(max_size=200), st.integers(0, 50))
def test_any_bytes_give_frames_within_the_limit_or_a_wire_error(garbage, limit):
    try:
        bodies = cut(garbage, [], limit)
    except WireError:
        return
    assert all(len(body) <= limit for body in bodies)
    assert b"".join(map(frame, bodies)) == garbage[: sum(len(b) + LENGTH_SIZE for b in bodies)]


@pytest.mark.parametrize("limit", [LONGEST_BEFORE_AUTHENTICATION, LONGEST])
def test_the_longest_frame_is_read_and_a_longer_one_is_refused_by_its_length_alone(limit):
    assert cut(frame(bytes(limit)), [], limit) == [bytes(limit)]
    decoder = FrameDecoder(limit)
    decoder.feed((limit + 1).to_bytes(4))
    with pytest.raises(WireError, match=rf"at most {limit} bytes, got: {limit + 1}"):
        decoder.next_frame()
    with pytest.raises(WireError, match=f"at most {limit} bytes"):
        frame(bytes(limit + 1), limit)


def test_an_announced_length_takes_no_memory():
    decoder = FrameDecoder(LONGEST)
    decoder.feed(LONGEST.to_bytes(4) + b"begun")
    assert decoder.next_frame() is None
    assert repr(decoder) == f"FrameDecoder(limit={LONGEST}, waiting=9)"


def test_frames_in_front_of_a_bad_one_are_delivered():
    decoder = FrameDecoder(9)
    decoder.feed(frame(b"good") + b"\xff\xff\xff\xff")
    assert decoder.next_frame() == b"good"
    with pytest.raises(WireError):
        decoder.next_frame()


def test_the_rest_is_what_lies_behind_the_last_frame_and_is_given_once():
    decoder = FrameDecoder(9)
    decoder.feed(frame(b"one") + b"rest")
    assert decoder.next_frame() == b"one"
    assert (decoder.take_rest(), decoder.take_rest()) == (b"rest", b"")


@given(st.binary(max_size=120))
def test_any_body_is_an_object_with_a_type_or_a_wire_error(body):
    complaint = complaint_of(lambda: str.upper(read_body(body)["type"]))
    assert complaint.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GET / HTTP/1.1",
        b"[]",
        b"1",
        b'{"type":1}',
        b"{}",
        b'{"type":"a","x":NaN}',
        b'{"type":"a","x":-Infinity}',
        b'\xef\xbb\xbf{"type":"a"}',
        '{"type":"a"}'.encode("utf-16"),
        b'{"type":"\xff"}',
        b'{"type":"a","x":' + b"9" * 5000 + b"}",
        b'{"type":"a"}{',
    ],
)
def test_a_body_that_is_no_json_object_with_a_type_is_refused(body):
    with pytest.raises(WireError, match=r"^expected (a JSON object|type to be a string), got: b"):
        read_body(body)


def nested(depth):
    return b'{"type":"a","x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_nesting_is_bounded_however_deep_it_is_and_whether_it_ends():
    assert read_body(nested(DEEPEST))["type"] == "a"
    for body in (nested(DEEPEST + 1), nested(400_000), b"[" * LONGEST, b'{"":' * 200_000):
        with pytest.raises(WireError):
            read_body(body)


def test_brackets_do_not_nest_inside_strings_or_side_by_side():
    text = '[{"\\"[[' * 20
    body = json.dumps({"type": "a", "x": [text, *([] for _ in range(99))]}).encode()
    assert read_body(body)["x"][0] == text


def test_quotes_without_end_take_linear_time():
    with pytest.raises(WireError):
        read_body(b"[" * 17 + b'"\\' * (LONGEST // 2))


@pytest.mark.parametrize("message", [HELLO, Proof(bytes(32)), Refusal("busy"), Refusal("b", "né")])
def test_a_message_of_the_handshake_comes_back_as_it_was(message):
    body = HANDSHAKE.encode(message)
    assert len(body) <= LONGEST_BEFORE_AUTHENTICATION
    assert HANDSHAKE.decode(body) == message


@given(st.builds(Pulse, *[st.integers(0, 2**63 - 1)] * 2, st.none() | st.floats(0, 1e9)))
def test_a_message_of_numbers_comes_back_as_it_was(pulse):
    assert TABLE.decode(TABLE.encode(pulse)) == pulse


def test_every_kind_of_field_comes_back_as_it_was():
    assert TABLE.decode(TABLE.encode(EVERYTHING)) == EVERYTHING


def test_the_longest_hello_and_the_longest_refusal_fit_into_the_first_frames():
    longest = Hello(
        "c" * 64, 65535, 65535, "i" * 64, "n" * 64, 2**63 - 1,
        f"[fdff{':ffff' * 7}]:65535", bytes(32), "𝄞" * 32, "p" * 32, "t" * 128,
    )  # fmt: skip
    for message in (longest, Refusal("r" * 32, "𝄞" * 200), Refusal("r" * 32, '"' * 200)):
        assert len(HANDSHAKE.encode(message)) <= LONGEST_BEFORE_AUTHENTICATION


def test_a_known_hello_lies_on_the_wire_as_it_always_did():
    assert HANDSHAKE.encode(HELLO) == (
        b'{"type":"hello","cluster":"orchestra","protocol_min":1,"protocol_max":2,'
        b'"node_id":"0f3c","name":"viola","incarnation":7,"address":"127.0.0.1:33000",'
        b'"nonce":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",'
        b'"version":"0.2.0","purpose":"","target":""}'
    )


def test_unknown_types_and_unknown_fields_are_ignored():
    assert HANDSHAKE.from_wire({"type": "from_the_future", "x": 1}) is None
    assert HANDSHAKE.from_wire({**FIELDS, "colour": [{}]}) == HELLO


def test_a_field_with_a_default_may_be_missing_and_no_other():
    assert TABLE.from_wire({"type": "pulse", "number": 1, "at": 2}) == Pulse(1, 2)
    with pytest.raises(WireError, match=r"^pulse: expected at to be present"):
        TABLE.from_wire({"type": "pulse", "number": 1})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("cluster", ["", "Upper", "a" * 65, "a\n", "a b", 1, None, ["a"], "é"]),
        ("protocol_min", [0, -1, 65536, True, 1.0, "1", None, 10**30]),
        ("incarnation", [0, 2**63, False, "7"]),
        ("node_id", ["", "-a", "a" * 65, "a\x00", "../a"]),
        ("nonce", ["", "00" * 31, "00" * 33, "0G" * 32, "AB" * 32, 5, "\uff10\uff10" * 32]),
        ("version", ["a" * 33, "a\nb", "\x1b[2J", "\ud800", 1]),
        (
            "address",
            [
                "", "127.0.0.1", "host:1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:99999",
                "::1:33000", "[127.0.0.1]:1", "1.2.3:1", "1.2.3.4.5:1", "0.0.0.0:1", "[::]:1",
                "224.0.0.1:1", "[ff02::1]:1", "[fe80::1%eth0]:1", "127.0.0.1:1 ", "\u0661.2.3.4:1",
                "127.0.0.1:\u0663", 5,
            ],
        ),
    ],
)  # fmt: skip
def test_a_field_that_is_not_of_its_kind_is_named(field, values):
    for value in values:
        with pytest.raises(WireError, match=rf"^hello: expected {field} to be .*, got: ") as raised:
            HANDSHAKE.from_wire({**FIELDS, field: value})
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("address", ["10.1.2.3:1", "[::1]:65535", "[fd00::1]:33000"])
def test_an_address_is_numbers_of_either_family(address):
    hello = HANDSHAKE.from_wire({**FIELDS, "address": address})
    assert isinstance(hello, Hello)
    assert hello.address == address


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"flag": 1}, "flag"),
        ({"colour": "blue"}, "colour"),
        ({"colour": ["red"]}, "colour"),
        ({"seats": {}}, "seats"),
        ({"seats": [{"number": 1}] * 3}, "seats"),
        ({"seats": [{"number": 1}, {"number": 0}]}, r"seats\[1\]\.number"),
        ({"seats": [{}]}, r"seats\[0\]\.number"),
        ({"seats": [1]}, r"seats\[0\]"),
        ({"loads": []}, "loads"),
        ({"loads": {"a": 0, "b": 0, "c": 0}}, "loads"),
        ({"loads": {"A": 0}}, "loads key"),
        ({"loads": {"viola": 1.5}}, r"loads\['viola'\]"),
        ({"loads": {"viola": float("inf")}}, r"loads\['viola'\]"),
        ({"loads": {"viola": float("nan")}}, r"loads\['viola'\]"),
        ({"loads": {"viola": True}}, r"loads\['viola'\]"),
        ({"echo": -1}, "echo"),
    ],
)
def test_a_field_inside_a_field_is_named_with_its_place(change, named):
    with pytest.raises(WireError, match=rf"^everything: expected {named} to be "):
        TABLE.from_wire({**TABLE.to_wire(EVERYTHING), **change})


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), JSON))
def test_any_fields_give_a_message_or_a_wire_error(changes):
    fields = {**FIELDS, **changes, "type": "hello"}
    assert len(complaint_of(lambda: HANDSHAKE.from_wire(fields))) < 400


@given(JSON)
def test_any_value_of_a_nested_field_gives_a_message_or_a_wire_error(value):
    whole = TABLE.to_wire(EVERYTHING)
    for fields in ({**whole, "seats": value}, {**whole, "loads": value}, {**whole, "echo": value}):
        assert complaint_of(lambda fields=fields: TABLE.from_wire(fields)).isprintable()


def test_a_complaint_does_not_repeat_a_long_value():
    with pytest.raises(WireError) as raised:
        HANDSHAKE.from_wire({**FIELDS, "name": "x" * LONGEST, "cluster": "orchestra"})
    assert len(str(raised.value)) < 300


def test_a_message_that_its_reader_would_refuse_is_not_written():
    with pytest.raises(WireError, match=r"^refusal: expected code to be"):
        HANDSHAKE.encode(Refusal("NO"))
    with pytest.raises(WireError, match=r"^pulse: expected load to be"):
        TABLE.encode(Pulse(1, 2, load=float("nan")))


def test_a_message_may_not_have_a_field_named_type():
    @dataclass(frozen=True, slots=True)
    class Bad:
        type: Annotated[int, COUNT]

    with pytest.raises(AssertionError):
        MessageTable[Bad](bad=Bad)


def test_an_unfit_value_knows_its_rule():
    with pytest.raises(Unfit) as raised:
        COUNT.read("1")
    assert raised.value.rule.startswith("an integer from 0")
