import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.sealed import LONGEST_BODY, SealedReader, seal
from beethoven.cluster.session import OVERHEAD, Session
from beethoven.cluster.wire import LENGTH_SIZE
from beethoven.errors import WireError
from beethoven.runtime import framing

ONE, TWO = bytes(range(32)), bytes(range(32, 64))

FRAMES = st.lists(
    st.tuples(
        st.sampled_from([framing.CALL, framing.CAST, framing.REPLY, framing.WELCOME]),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=200),
    ),
    min_size=1,
    max_size=6,
)


def pair():
    return Session(ONE, TWO), SealedReader(Session(TWO, ONE))


def stream_of(session, frames):
    """Return the sealed frames, one element each for what is sent at once."""
    return [sealed for frame in frames for sealed in seal(session, *frame)]


def read(reader, data, size):
    found = []
    for start in range(0, len(data), size):
        found += reader.feed(data[start : start + size])
    return [(kind, number, bytes(payload)) for kind, number, payload in found]


def read_until_an_error(reader, data, size):
    """Return what was read before the reader refused to go on, and whether it did."""
    found = []
    for start in range(0, len(data), size):
        try:
            found += reader.feed(data[start : start + size])
        except (WireError, framing.StreamEnded):
            return found, True
    return found, False


@given(FRAMES, st.integers(1, 300))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(frames, size):
    sender, reader = pair()
    assert read(reader, b"".join(stream_of(sender, frames)), size) == frames


@given(FRAMES, st.integers(1, 300), st.data())
def test_after_an_alteration_nothing_wrong_is_ever_read(frames, size, data):
    sender, reader = pair()
    stream = bytearray(b"".join(stream_of(sender, frames)))
    place = data.draw(st.integers(0, len(stream) - 1))
    stream[place] ^= data.draw(st.integers(1, 255))
    # What follows lets a length that was made greater come to its end.
    found, has_failed = read_until_an_error(reader, bytes(stream) + bytes(2 * LONGEST_BODY), size)
    assert has_failed
    assert found == frames[: len(found)]


@given(FRAMES, st.integers(1, 300), st.data())
def test_a_truncated_stream_gives_only_what_is_whole(frames, size, data):
    sender, reader = pair()
    stream = b"".join(stream_of(sender, frames))
    found, has_failed = read_until_an_error(
        reader, stream[: data.draw(st.integers(0, len(stream) - 1))], size
    )
    assert not has_failed
    assert found == frames[: len(found)]
    assert len(found) < len(frames)


@given(FRAMES, st.data())
def test_whatever_is_replayed_dropped_or_swapped_is_found_out(frames, data):
    sender, reader = pair()
    parts = stream_of(sender, frames)
    order = data.draw(st.lists(st.integers(0, len(parts) - 1), max_size=2 * len(parts)))
    found, has_failed = read_until_an_error(reader, b"".join(parts[at] for at in order), 1 << 20)
    assert has_failed == (order != list(range(len(order))))
    assert found == frames[: len(found)]


@pytest.mark.parametrize("surplus", [-1, 0, 1, LONGEST_BODY, LONGEST_BODY + 1])
@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_a_payload_of_any_length_passes_in_bodies_of_bounded_length(surplus, size):
    sender, reader = pair()
    payload = bytes(range(256)) * (LONGEST_BODY // 256 + 1)
    payload = (payload * 2)[: LONGEST_BODY - framing.HEADER_SIZE + surplus]
    parts = stream_of(sender, [(framing.CALL, 7, payload), (framing.CAST, 8, b"next")])
    assert max(map(len, parts)) <= LENGTH_SIZE + LONGEST_BODY + OVERHEAD
    assert read(reader, b"".join(parts), size) == [
        (framing.CALL, 7, payload),
        (framing.CAST, 8, b"next"),
    ]


def test_a_short_frame_is_sealed_as_one():
    sender, _ = pair()
    assert len(stream_of(sender, [(framing.CALL, 1, b"x" * 1000)])) == 1


def test_frames_may_share_a_body():
    sender, reader = pair()
    both = framing.pack(framing.CALL, 1, b"one") + framing.pack(framing.CAST, 2, b"two")
    assert reader.feed(sender.seal(both)) == [(framing.CALL, 1, b"one"), (framing.CAST, 2, b"two")]


def test_a_longer_body_than_agreed_is_refused_before_it_has_come():
    sender, reader = pair()
    with pytest.raises(WireError, match="at most"):
        reader.feed(sender.seal(bytes(LONGEST_BODY + 1))[:100])


def test_what_is_no_stream_of_frames_ends_it():
    sender, reader = pair()
    with pytest.raises(framing.StreamEnded):
        reader.feed(sender.seal(b"\xff" * 100))


def test_a_session_goes_on_where_it_was_after_a_journey():
    sender, reader = pair()
    (first,) = seal(sender, framing.CALL, 1, b"one")
    sender = pickle.loads(pickle.dumps(sender))
    (second,) = seal(sender, framing.CALL, 2, b"two")
    assert len(reader.feed(first + second)) == 2
