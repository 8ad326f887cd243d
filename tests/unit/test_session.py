import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.session import OVERHEAD, Session, expand, extract
from beethoven.cluster.wire import LENGTH_SIZE, LONGEST, FrameDecoder
from beethoven.errors import WireError

ONE, TWO = bytes(range(32)), bytes(range(32, 64))


def pair():
    return Session(ONE, TWO), Session(TWO, ONE)


def body_of(framed):
    decoder = FrameDecoder(LONGEST)
    decoder.feed(framed)
    body = decoder.next_frame()
    assert body is not None
    assert decoder.take_rest() == b""
    return body


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60))))
def test_what_one_end_seals_the_other_opens_in_either_direction(frames):
    left, right = pair()
    for is_leftward, body in frames:
        sender, receiver = (right, left) if is_leftward else (left, right)
        assert receiver.open(body_of(sender.seal(body))) == body


def test_a_known_frame_is_sealed_as_it_always_was():
    # The MAC was computed with `openssl dgst -sha256 -mac HMAC` over number and body.
    left, _ = pair()
    assert left.seal(b"viola") == bytes.fromhex(
        "0000001d000000000000000076696f6c618db0d473db719761e3b52bdd94d423a9"
    )


def test_the_longest_body_passes_and_a_longer_one_is_not_sealed():
    left, right = pair()
    longest = bytes(LONGEST - OVERHEAD)
    framed = left.seal(longest)
    assert len(framed) == LONGEST + LENGTH_SIZE
    assert right.open(body_of(framed)) == longest
    with pytest.raises(WireError, match=f"at most {len(longest)} bytes, got: {LONGEST}"):
        left.seal(bytes(LONGEST))


def test_a_body_that_was_not_sealed_takes_no_number():
    left, right = pair()
    with pytest.raises(WireError):
        left.seal(bytes(LONGEST))
    assert right.open(body_of(left.seal(b"next"))) == b"next"


@pytest.mark.parametrize("bit", range(8))
def test_a_frame_altered_at_any_bit_is_refused(bit):
    sealed = body_of(pair()[0].seal(b"violin and viola"))
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1 << bit
        with pytest.raises(WireError, match="altered"):
            pair()[1].open(bytes(altered))


def test_a_frame_cut_or_grown_at_any_place_is_refused():
    sealed = body_of(pair()[0].seal(b"violin and viola"))
    for place in range(len(sealed)):
        for wrong in (sealed[:place], sealed[place + 1 :], sealed[:place] + b"x" + sealed[place:]):
            with pytest.raises(WireError):
                pair()[1].open(wrong)


@given(st.binary(max_size=80))
def test_any_bytes_are_refused(garbage):
    with pytest.raises(WireError):
        pair()[1].open(garbage)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        pytest.param([0, 0], "expected frame 1 of the session, got: frame 0", id="replayed"),
        pytest.param([1], "expected frame 0 of the session, got: frame 1", id="reordered"),
        pytest.param([0, 2], "expected frame 1 of the session, got: frame 2", id="dropped"),
    ],
)
def test_a_frame_out_of_order_is_refused(order, message):
    left, right = pair()
    sealed = [body_of(left.seal(b"%d" % number)) for number in range(3)]
    *fine, wrong = order
    for number in fine:
        right.open(sealed[number])
    with pytest.raises(WireError, match=message):
        right.open(sealed[wrong])


def test_nothing_can_be_opened_after_a_frame_that_was_refused():
    left, right = pair()
    sealed = body_of(left.seal(b"fine"))
    with pytest.raises(WireError):
        right.open(b"noise")
    with pytest.raises(WireError):
        right.open(sealed)


def test_a_frame_sent_back_to_its_sender_is_refused():
    left, _ = pair()
    with pytest.raises(WireError):
        left.open(body_of(left.seal(b"echo")))


def test_a_session_goes_on_where_it_was_in_another_process():
    left, right = pair()
    right.open(body_of(left.seal(b"one")))
    left, right = pickle.loads(pickle.dumps((left, right), 5))
    assert right.open(body_of(left.seal(b"two"))) == b"two"


def test_the_text_of_a_session_shows_no_key():
    left, right = pair()
    left.seal(b"")
    assert repr(left) == "Session(sent=1, received=0)"
    assert repr(right) == "Session(sent=0, received=0)"


def test_keys_are_derived_as_rfc_5869_says():
    """RFC 5869, appendix A.1 and A.2."""
    key = extract(bytes.fromhex("000102030405060708090a0b0c"), b"\x0b" * 22)
    assert key.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert expand(key, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    long = extract(bytes(range(0x60, 0xB0)), bytes(range(0x50)))
    assert expand(long, bytes(range(0xB0, 0x100)), 82).hex() == (
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
        "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
        "cc30c58179ec3e87c14c01d5c1f3434f1d87"
    )
