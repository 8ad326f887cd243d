import hashlib
import hmac
import itertools
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.handshake import (
    MOST_FRAMES,
    Established,
    Event,
    Handshake,
    Refused,
    SelfConnection,
    Side,
    Status,
    refusal,
)
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.messages import HANDSHAKE, NO_PORT, Hello, Proof, Refusal, RefusalCode
from beethoven.cluster.wire import LONGEST_BEFORE_AUTHENTICATION, FrameDecoder, frame, write_body
from beethoven.errors import WireError

OLD, NEW, OTHER = (
    b"an old cookie of 24 byte",
    b"a new cookie of 24 bytes",
    b"another cookie entirely",
)
KEYRING = Keyring((OLD,))
VIOLA = Hello("orchestra", 1, 1, "id-viola", "viola", 7, "127.0.0.1:33000", bytes(32), "0.2.0")
CELLO = Hello("orchestra", 1, 1, "id-cello", "cello", 9, "127.0.0.2:33000", b"\1" * 32, "0.2.0")
SIDES = pytest.mark.parametrize("side", list(Side))


def initiator(hello=VIOLA, keyring=KEYRING):
    return Handshake(Side.INITIATOR, hello, keyring)


def responder(hello=CELLO, keyring=KEYRING):
    return Handshake(Side.RESPONDER, hello, keyring)


def pieces(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def play(left, right, *, size=10_000, alter=lambda _side, data: data):
    """Let both sides talk until nobody has anything to say; return both outcomes."""
    outcomes = [None, None]
    waiting = [(1, alter(Side.INITIATOR, left.begin().send)), (0, right.begin().send)]
    for at, data in waiting:
        side = (left, right)[at]
        for piece in pieces(data, size):
            step = side.receive(piece)
            outcomes[at] = step.outcome
            if step.send:
                sender = (Side.INITIATOR, Side.RESPONDER)[at]
                waiting.append((1 - at, alter(sender, step.send)))
    return tuple(outcomes)


def bodies(data):
    decoder = FrameDecoder(LONGEST_BEFORE_AUTHENTICATION)
    decoder.feed(data)
    return list(iter(decoder.next_frame, None))


def message(data):
    (body,) = bodies(data)
    return HANDSHAKE.decode(body)


def sent(*messages):
    return b"".join(frame(HANDSHAKE.encode(each)) for each in messages)


def assert_talk(left, right):
    for sender, receiver in ((left, right), (right, left)):
        (sealed,) = bodies(sender.session.seal(b"hello"))
        assert receiver.session.open(sealed) == b"hello"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 10_000])
def test_two_nodes_of_a_cluster_get_acquainted_however_the_stream_is_cut(size):
    left, right = play(initiator(), responder(), size=size)
    assert (left.peer, right.peer) == (CELLO, VIOLA)
    assert (left.protocol, right.protocol) == (1, 1)
    assert_talk(left, right)


def test_every_message_may_be_cut_at_every_byte():
    whole = initiator().begin().send
    for place in range(1, len(whole)):
        node = responder()
        first, second = node.receive(whole[:place]), node.receive(whole[place:])
        assert (first.send, first.outcome, second.outcome) == (b"", None, None)
        assert isinstance(message(second.send), Hello)


def test_the_two_directions_and_every_connection_have_keys_of_their_own():
    left, right = play(initiator(), responder())
    again, _ = play(initiator(replace(VIOLA, nonce=b"\2" * 32)), responder())
    (sealed,) = bodies(left.session.seal(b"x"))
    for session in (left.session, again.session):
        with pytest.raises(WireError):
            session.open(sealed)
    assert right.session.open(sealed) == b"x"


def test_what_comes_behind_the_last_message_belongs_to_the_session():
    left, right = initiator(), responder()
    answer = right.receive(left.begin().send)
    step = right.receive(left.receive(answer.send).send)
    sealed = step.outcome.session.seal(bytes(5000))
    outcome = left.receive(step.send + sealed).outcome
    assert outcome.rest == sealed
    # and not one byte of it is looked at
    assert left.receive(b"more").outcome is outcome


def test_a_known_handshake_has_the_proofs_and_keys_it_always_had():
    """The formulas, written down a second time; the figures were computed once and kept."""
    left, right = initiator(), responder()
    hello = left.begin().send
    answer = right.receive(hello).send
    proof = left.receive(answer).send
    (first,), (second,) = bodies(hello), bodies(answer)
    lengths = len(first).to_bytes(4) + len(second).to_bytes(4)
    seen = hashlib.sha256(b"beethoven handshake 1" + lengths + first + second).digest()
    signed = b"beethoven handshake 1" + b"initiator" + b"\0\1" + seen
    expected = hmac.digest(OLD, signed, "sha256")
    assert message(proof) == Proof(expected)
    assert expected.hex() == "de8efc094065781c0b9a32cd28657a7aad3e505e3177f50fb05d1f7d3aaf4645"
    signed = b"beethoven handshake 1" + b"responder" + b"\0\1" + seen + expected
    step = right.receive(proof)
    answered = hmac.digest(OLD, signed, "sha256")
    assert message(step.send) == Proof(answered)
    assert answered.hex() == "75b2deebe5269e91de01fcfc300c4ccfbcca2d95ee41fc2827b96a9a191da57a"
    strong = hmac.digest(seen, OLD, "sha256")
    info = b"beethoven session 1" + b"\0\1" + expected
    key = hmac.digest(strong, info + b"\1", "sha256")
    sealed = left.receive(step.send).outcome.session.seal(b"viola")
    assert sealed[-16:] == hmac.digest(key, bytes(8) + b"viola", "sha256")[:16]
    assert sealed.hex() == "0000001d000000000000000076696f6c618e463795ff16c0d79e3644c1ee737242"


@pytest.mark.parametrize(
    ("theirs", "code", "initiator_text", "responder_text"),
    [
        pytest.param(
            {"keyring": Keyring((OTHER,))},
            RefusalCode.WRONG_COOKIE,
            "refused by the other side: does not know that cookie",
            "the node at 127.0.0.1:33000 does not know the cookie of this one",
            id="wrong cookie",
        ),
        pytest.param(
            {"hello": replace(CELLO, cluster="band")},
            RefusalCode.WRONG_CLUSTER,
            "refused by the other side: belongs to another cluster",
            "expected a node of cluster 'band', got: one of 'orchestra'",
            id="wrong cluster",
        ),
        pytest.param(
            {"hello": replace(CELLO, protocol_min=3, protocol_max=4)},
            RefusalCode.WRONG_VERSION,
            "refused by the other side: speaks protocols 3 to 4",
            "expected protocols 3 to 4, got: 1 to 1",
            id="wrong version",
        ),
        pytest.param(
            {"hello": replace(CELLO, node_id="id-viola")},
            RefusalCode.DUPLICATE_ID,
            "refused by the other side: goes by the same id, but is another node",
            "another node, at 127.0.0.1:33000, goes by the id of this one, id-viola",
            id="two nodes of one id",
        ),
    ],
)
def test_nodes_that_do_not_belong_together_both_say_why(
    theirs, code, initiator_text, responder_text
):
    left, right = play(initiator(), responder(**theirs))
    assert left == Refused(code, initiator_text)
    assert right == Refused(code, responder_text)


@pytest.mark.parametrize(
    ("hello", "code", "text", "told"),
    [
        (
            replace(CELLO, cluster="band"),
            RefusalCode.WRONG_CLUSTER,
            "expected a node of cluster 'orchestra', got: one of 'band'",
            "belongs to another cluster",
        ),
        (
            replace(CELLO, protocol_min=2, protocol_max=3),
            RefusalCode.WRONG_VERSION,
            "expected protocols 1 to 1, got: 2 to 3",
            "speaks protocols 1 to 1",
        ),
    ],
)
def test_an_initiator_checks_for_itself_what_a_responder_let_pass(hello, code, text, told):
    node = initiator()
    node.begin()
    step = node.receive(sent(hello))
    assert step.outcome == Refused(code, text)
    assert message(step.send) == Refusal(code, told)


def test_an_initiator_does_not_trust_a_responder_that_cannot_prove_the_cookie():
    node = initiator()
    node.begin()
    assert isinstance(message(node.receive(sent(CELLO)).send), Proof)
    step = node.receive(sent(Proof(bytes(32))))
    text = "the node at 127.0.0.2:33000 does not know the cookie of this one"
    assert step.outcome == Refused(RefusalCode.WRONG_COOKIE, text)
    assert message(step.send) == Refusal("wrong_cookie", "does not know that cookie")


def test_a_program_with_another_cookie_is_called_one():
    program = replace(VIOLA, name="client", address=f"127.0.0.1:{NO_PORT}", purpose="directory")
    _, right = play(initiator(program), responder(keyring=Keyring((OTHER,))))
    text = "a program at 127.0.0.1 does not know the cookie of this one"
    assert right == Refused(RefusalCode.WRONG_COOKIE, text)


def test_a_responder_signs_nothing_for_a_stranger():
    node = responder(keyring=Keyring((OLD, NEW)))
    answers = [node.receive(sent(VIOLA)).send, node.receive(sent(Proof(bytes(32)))).send]
    assert [type(message(each)) for each in answers] == [Hello, Refusal]


@pytest.mark.parametrize("changed", [{"hello": replace(CELLO, cluster="band")}, {}])
def test_a_refusal_says_nothing_of_this_node(changed):
    node = responder(**changed)
    told = node.receive(sent(VIOLA)).send + node.receive(sent(Proof(bytes(32)))).send
    (refused,) = [each for each in bodies(told) if b'"refusal"' in each]
    assert not [word for word in (b"band", b"cello", OLD) if word in refused]


@pytest.mark.parametrize(
    ("left", "right", "keys"),
    [
        pytest.param((OLD,), (OLD, NEW), (0, 0), id="the new key is added to one"),
        pytest.param((OLD, NEW), (OLD,), (0, 0), id="the new key is added to the other"),
        pytest.param((NEW, OLD), (OLD, NEW), (0, 1), id="the new key is made the first on one"),
        pytest.param((OLD, NEW), (NEW, OLD), (0, 1), id="the new key is made the first on both"),
        pytest.param((NEW,), (NEW, OLD), (0, 0), id="the old key is taken from one"),
        pytest.param((NEW, OLD), (NEW,), (0, 0), id="the old key is taken from the other"),
        pytest.param((OLD,), (NEW, OLD), (0, 1), id="a step was left out"),
    ],
)
def test_a_cookie_is_changed_without_a_moment_apart(left, right, keys):
    outcomes = play(initiator(keyring=Keyring(left)), responder(keyring=Keyring(right)))
    assert tuple(outcome.key for outcome in outcomes) == keys
    assert_talk(*outcomes)


@pytest.mark.parametrize(
    ("left", "right", "agreed"),
    [
        ((1, 3), (2, 5), 3),
        ((2, 5), (1, 3), 3),
        ((1, 1), (1, 9), 1),
        ((4, 4), (1, 4), 4),
        ((1, 2), (3, 4), None),
        ((3, 4), (1, 2), None),
        ((2, 1), (1, 2), None),
    ],
)
def test_nodes_speak_the_newest_protocol_that_both_know(left, right, agreed):
    outcomes = play(
        initiator(replace(VIOLA, protocol_min=left[0], protocol_max=left[1])),
        responder(replace(CELLO, protocol_min=right[0], protocol_max=right[1])),
    )
    if agreed is None:
        assert {outcome.code for outcome in outcomes} == {RefusalCode.WRONG_VERSION}
    else:
        assert [outcome.protocol for outcome in outcomes] == [agreed, agreed]


def test_a_node_that_dials_itself_recognises_itself_on_both_sides():
    left, right = play(initiator(), responder(replace(VIOLA, nonce=b"\3" * 32)))
    assert (left, right) == (SelfConnection(), SelfConnection())


@SIDES
def test_an_echo_never_gets_acquainted(side):
    node = Handshake(side, VIOLA, KEYRING)
    echoed = node.begin().send or node.receive(sent(VIOLA)).send
    assert node.receive(echoed).outcome == SelfConnection()


def test_a_proof_sent_back_under_another_name_proves_nothing():
    node = initiator()
    hello = message(node.begin().send)
    proof = node.receive(sent(replace(hello, node_id="id-echo"))).send
    assert node.receive(proof).outcome.code is RefusalCode.WRONG_COOKIE


def test_a_recorded_handshake_cannot_be_played_again():
    left, right = initiator(), responder()
    hello = left.begin().send
    proof = left.receive(right.receive(hello).send).send
    later = responder(replace(CELLO, nonce=b"\4" * 32))
    later.receive(hello)
    assert later.receive(proof).outcome.code is RefusalCode.WRONG_COOKIE


def test_whatever_is_altered_on_the_way_nobody_gets_acquainted():
    streams = {Side.INITIATOR: 0, Side.RESPONDER: 0}

    def count(side, data):
        streams[side] += len(data)
        return data

    assert isinstance(play(initiator(), responder(), alter=count)[0], Established)
    for altered_side, total in list(streams.items()):
        for place in range(total):
            assert not both_established(altered_side, place), (altered_side, place)


def both_established(altered_side, place):
    passed = {Side.INITIATOR: 0, Side.RESPONDER: 0}

    def alter(side, data):
        start = passed[side]
        passed[side] += len(data)
        if side is not altered_side or not start <= place < passed[side]:
            return data
        wrong = bytearray(data)
        wrong[place - start] ^= 1
        return bytes(wrong)

    outcomes = play(initiator(), responder(), alter=alter)
    return all(isinstance(outcome, Established) for outcome in outcomes)


@pytest.mark.parametrize(
    "change",
    [
        {"cluster": "orchestra2"},
        {"protocol_max": 2},
        {"node_id": "id-other"},
        {"incarnation": 8},
        {"nonce": b"\5" * 32},
        {"address": "127.0.0.3:33000"},
        {"name": "violin"},
        {"version": "0.3.0"},
        {"purpose": "role"},
        {"target": "echo"},
    ],
)
def test_a_proof_covers_every_field_of_the_hello(change):
    left, right = initiator(), responder(replace(CELLO, cluster=change.get("cluster", "orchestra")))
    left.begin()
    proof = left.receive(sent(CELLO)).send
    right.receive(sent(replace(VIOLA, **change)))
    assert right.receive(proof).outcome.code is RefusalCode.WRONG_COOKIE


@pytest.mark.parametrize(
    ("purpose", "target"),
    [
        ("role", "echo"),
        ("process", "0a1b-0c2d3e4f"),
        ("directory", ""),
        ("of_newer_nodes", "a.b-C_d"),
    ],
)
def test_a_responder_learns_what_the_connection_is_for(purpose, target):
    hello = replace(VIOLA, purpose=purpose, target=target)
    left, right = play(initiator(hello), responder())
    assert (right.peer.purpose, right.peer.target) == (purpose, target)
    assert_talk(left, right)


def test_a_node_of_before_opens_links():
    left = initiator()
    old = left.begin().send.replace(b',"purpose":"","target":""', b"")
    body = old[4:]
    step = responder().receive(frame(body))
    assert isinstance(message(step.send), Hello)
    assert HANDSHAKE.decode(body) == VIOLA


@pytest.mark.parametrize(
    "fields",
    [
        {"purpose": "Role"},
        {"purpose": "a role"},
        {"purpose": "r" * 33},
        {"purpose": None},
        {"purpose": "role\n"},
        {"target": "../names/echo"},
        {"target": "a/b"},
        {"target": "a\0b"},
        {"target": "é"},
        {"target": "t" * 129},
        {"target": 7},
        {"target": ["echo"]},
    ],
)
def test_a_purpose_or_a_target_that_is_none_is_refused_before_any_proof(fields):
    hello = {**HANDSHAKE.to_wire(VIOLA), **fields}
    step = responder().receive(frame(write_body(hello)))
    assert step.outcome.code is RefusalCode.MALFORMED
    assert [type(message(step.send))] == [Refusal]


def test_fields_and_messages_of_newer_nodes_are_read_past():
    node = responder()
    hello = HANDSHAKE.encode(VIOLA)[:-1] + b',"colour":"red"}'
    step = node.receive(frame(b'{"type":"from_the_future"}') + frame(hello))
    assert isinstance(message(step.send), Hello)


@SIDES
def test_a_stranger_may_send_few_frames(side):
    node = Handshake(side, VIOLA, KEYRING)
    steps = [node.receive(frame(b'{"type":"noise"}')) for _ in range(MOST_FRAMES + 1)]
    assert [step.outcome for step in steps[:-1]] == [None] * MOST_FRAMES
    text = f"expected at most {MOST_FRAMES} frames, got: more"
    assert steps[-1].outcome == Refused(RefusalCode.MALFORMED, text)


@SIDES
@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        frame(b"not json"),
        frame(b""),
        (LONGEST_BEFORE_AUTHENTICATION + 1).to_bytes(4),
    ],
)
def test_one_who_does_not_speak_the_protocol_is_dropped_without_a_word(side, garbage):
    step = Handshake(side, VIOLA, KEYRING).receive(garbage)
    assert step.send == b""
    assert isinstance(step.outcome, Refused)
    assert step.outcome.code is RefusalCode.MALFORMED


def test_one_who_speaks_it_badly_is_told_what_is_wrong():
    step = responder().receive(frame(b'{"type":"hello","cluster":"NO"}'))
    assert isinstance(step.outcome, Refused)
    assert step.outcome.text.startswith("hello: expected cluster to be ")
    assert message(step.send) == Refusal("malformed", step.outcome.text[:200])


@SIDES
def test_messages_out_of_turn_are_refused(side):
    early = Handshake(side, VIOLA, KEYRING).receive(sent(Proof(bytes(32))))
    assert early.outcome == Refused(RefusalCode.MALFORMED, "expected a hello, got: another message")
    twice = Handshake(side, VIOLA, KEYRING).receive(sent(CELLO, CELLO))
    assert twice.outcome == Refused(RefusalCode.MALFORMED, "expected a proof, got: another message")


@SIDES
def test_time_and_the_end_of_the_stream_end_the_wait(side):
    node = Handshake(side, VIOLA, KEYRING)
    assert node.time_out() == node.time_out()
    assert node.time_out().outcome == Refused(RefusalCode.TIMEOUT, "no hello in time")
    assert node.time_out().send == b""
    late = Handshake(side, VIOLA, KEYRING)
    late.receive(sent(CELLO))
    assert message(late.time_out().send) == Refusal("timeout", "no proof in time")
    closed = Handshake(side, VIOLA, KEYRING).receive(b"").outcome
    assert closed == Refused(RefusalCode.CLOSED, "closed by the other side without a hello")


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (
            Refusal("busy", "too many are joining"),
            Refused(RefusalCode.BUSY, "refused by the other side: too many are joining"),
        ),
        (
            Refusal("new_word", ""),
            Refused(RefusalCode.OTHER, "refused by the other side: new_word"),
        ),
        (Refusal("self"), SelfConnection()),
    ],
)
def test_a_refusal_ends_the_handshake_with_its_reason(told, outcome):
    node = initiator()
    step = node.receive(sent(told))
    assert (step.send, step.outcome) == (b"", outcome)


def test_a_beacon_can_refuse_without_a_handshake():
    assert message(refusal(RefusalCode.BUSY, "x" * 500)) == Refusal("busy", "x" * 200)


def test_the_table_has_a_move_for_every_event_whatever_is_awaited():
    assert set(Handshake._MOVES) == set(itertools.product(Status, get_args(Event)))


@SIDES
@given(garbage=st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_leave_the_handshake_waiting_or_refused(side, garbage):
    node = Handshake(side, VIOLA, KEYRING)
    for data in garbage:
        outcome = node.receive(data).outcome
        assert outcome is None or isinstance(outcome, Refused)


def body_of(name, fields):
    return write_body({**HANDSHAKE.to_wire(CELLO), **fields, "type": name})


FRAMES = st.one_of(
    st.binary(max_size=60).map(frame),
    st.sampled_from([sent(VIOLA), sent(CELLO), sent(Proof(bytes(32))), sent(Refusal("busy"))]),
    st.builds(
        body_of,
        st.sampled_from(["hello", "proof", "refusal", "noise"]),
        st.dictionaries(
            st.sampled_from(["cluster", "nonce", "proof", "code", "text", "node_id"]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.integers(),
        ),
    ).map(frame),
)


@SIDES
@given(frames=st.lists(FRAMES, max_size=8))
def test_no_messages_establish_anything_without_the_cookie(side, frames):
    node = Handshake(side, replace(VIOLA, node_id="id-own"), KEYRING)
    node.begin()
    total = 0
    for data in frames:
        step = node.receive(data)
        total += len(step.send)
        assert not isinstance(step.outcome, Established)
        assert all(HANDSHAKE.decode(body) for body in bodies(step.send))
    assert total <= 2 * (LONGEST_BEFORE_AUTHENTICATION + 4)


@SIDES
def test_a_stranger_occupies_no_more_memory_than_a_frame(side):
    node = Handshake(side, VIOLA, KEYRING)
    whole = frame(bytes(LONGEST_BEFORE_AUTHENTICATION))
    for piece in pieces(whole[:-1], 7):
        assert node.receive(piece).outcome is None
    assert len(node._decoder._data) < len(whole)
    for _ in range(100):
        node.receive(bytes(65536))
    assert len(node._decoder._data) == 0


def test_neither_a_handshake_nor_its_outcome_shows_a_key():
    node = initiator()
    outcome, _ = play(node, responder())
    assert repr(node) == "Handshake(initiator, ended, frames=2)"
    assert "session=Session(sent=0, received=0)" in repr(outcome)
    assert OLD.decode() not in repr((node, outcome, KEYRING))


def test_a_hello_that_nobody_would_read_is_found_at_once():
    with pytest.raises(WireError, match="hello: expected cluster"):
        initiator(replace(VIOLA, cluster="Not A Name"))
