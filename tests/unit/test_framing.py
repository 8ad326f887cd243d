import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.runtime import framing
from beethoven.runtime.framing import HEADER, LARGE, LONGEST, FrameReader, StreamEnded

PAYLOADS = st.one_of(
    st.binary(max_size=40),
    # Sizes around the bound from which a payload has a buffer of its own.
    st.integers(LARGE - 2, LARGE + 2).map(lambda size: bytes([size % 251]) * size),
)
FRAMES = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), PAYLOADS), max_size=6)


def stream_of(frames):
    return b"".join(framing.pack(kind, number, payload) for kind, number, payload in frames)


@given(FRAMES, st.data())
def test_any_cut_of_the_stream_gives_the_same_frames(frames, data):
    stream = stream_of(frames)
    places = st.lists(st.integers(0, len(stream)), max_size=8).map(sorted)
    cuts = [0, *data.draw(places), len(stream)]
    reader = FrameReader()
    got = []
    for start, end in itertools.pairwise(cuts):
        got += reader.feed(stream[start:end])
    assert got == frames


@given(FRAMES)
def test_one_byte_at_a_time_gives_the_same_frames(frames):
    short = [(kind, number, payload[:9]) for kind, number, payload in frames]
    reader = FrameReader()
    got = []
    for value in stream_of(short):
        got += reader.feed(bytes([value]))
    assert got == short


@given(FRAMES, st.integers(1, 70_000))
def test_half_a_frame_at_the_end_is_no_frame(frames, missing):
    whole = stream_of(frames)
    half = framing.pack(framing.CALL, 1, bytes(70_000))[:-missing]
    assert FrameReader().feed(whole + half) == frames


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_the_end_of_the_stream(garbage):
    reader = FrameReader()
    try:
        frames = reader.feed(garbage)
    except StreamEnded:
        return
    assert sum(len(payload) + framing.HEADER_SIZE for _, _, payload in frames) <= len(garbage)


@pytest.mark.parametrize("length", [LONGEST + 1, 2**63, 2**64 - 1])
def test_a_frame_that_is_too_long_ends_the_stream(length):
    with pytest.raises(StreamEnded):
        FrameReader().feed(HEADER.pack(length, 1, framing.CALL))


def test_a_long_frame_takes_memory_only_as_it_arrives():
    reader = FrameReader()
    assert reader.feed(HEADER.pack(LONGEST, 1, framing.CALL) + b"begun") == []
    assert reader._large == bytearray(b"begun")


def test_receive_reads_what_is_there_and_tells_the_end():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = FrameReader()
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            reader.receive(ours)
        theirs.sendall(framing.pack(framing.CAST, 7, b"hello"))
        assert reader.receive(ours) == [(framing.CAST, 7, b"hello")]
        theirs.close()
        with pytest.raises(StreamEnded):
            reader.receive(ours)


def test_receive_reads_no_further_than_a_large_frame():
    ours, theirs = socket.socketpair()
    large = framing.pack(framing.CALL, 1, bytes(LARGE))
    with ours, theirs:
        reader = FrameReader()
        theirs.sendall(large[:100])
        assert reader.receive(ours) == []
        theirs.sendall(large[100:] + framing.pack(framing.CAST, 2, b"next"))
        frames: list[framing.Frame] = []
        while len(frames) < 2:
            frames += reader.receive(ours)
        assert frames == [(framing.CALL, 1, bytes(LARGE)), (framing.CAST, 2, b"next")]


def test_cut_drops_what_is_cut_short():
    whole = framing.pack(framing.CALL, 1, b"whole")
    assert framing.cut(whole + whole[:-1]) == [(framing.CALL, 1, b"whole")]
