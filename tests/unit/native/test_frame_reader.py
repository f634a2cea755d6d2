"""FrameReader: any fragmentation gives the same frames, and no misuse of the buffer reaches memory."""

import gc
import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.native import Frame, FrameError, FrameReader, MalformedRequest
from tests.unit.native.data import feed, frame, header


def address(frame: Frame) -> int:
    return int(np.frombuffer(frame, np.uint8).ctypes.data)


def framed(*payloads: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(payload)) + payload for payload in payloads)


@settings(max_examples=60, deadline=None)
@given(
    payloads=st.lists(st.integers(8, 300_000).map(lambda n: bytes([n % 251]) * n), max_size=6),
    cuts=st.lists(st.integers(1, 20) | st.integers(1, 100_000), max_size=60),
)
def test_any_fragmentation_gives_the_same_frames(payloads: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader(1 << 20)
    stream, frames = framed(*payloads), []
    for size in [*cuts, len(stream)]:
        frames += feed(reader, stream[:size])
        stream = stream[size:]
    assert [bytes(f) for f in frames] == payloads
    assert reader.buffered == 0


def test_receives_straight_from_a_socket() -> None:
    reader = FrameReader(1 << 20)
    left, right = socket.socketpair()
    with left, right:
        left.sendall(framed(b"12345678", b"abcdefghij"))
        received = right.recv_into(reader)
        frames = reader.advance(received)
    assert [bytes(f) for f in frames] == [b"12345678", b"abcdefghij"]


@pytest.mark.parametrize("length", [0, 7, -1, -(2**31), 1001, 2**31 - 1])
def test_bad_length_is_an_error_and_the_reader_stays_dead(length: int) -> None:
    reader = FrameReader(1000)
    good = framed(b"12345678")
    with pytest.raises(FrameError) as caught:
        feed(reader, good + struct.pack(">i", length))
    assert [bytes(f) for f in caught.value.frames] == [b"12345678"]
    assert isinstance(caught.value, MalformedRequest)
    assert caught.value.code == 42
    with pytest.raises(FrameError, match="lost"):
        feed(reader, good)


def test_a_buffer_is_used_again_when_nobody_has_its_frame() -> None:
    reader = FrameReader(1 << 24)
    reader.reuse_buffers()
    (first,) = feed(reader, framed(b"a" * 1_000_000))
    view, place = memoryview(first), address(first)
    del first
    gc.collect()
    (second,) = feed(reader, framed(b"b" * 1_000_000))
    assert address(second) != place
    assert view == b"a" * 1_000_000, "a view keeps the frame"
    view.release()
    (third,) = feed(reader, framed(b"c" * 900_000))
    assert address(third) == place
    assert bytes(third) == b"c" * 900_000 and bytes(second) == b"b" * 1_000_000


def test_memory_follows_the_bytes_not_the_announced_length() -> None:
    reader = FrameReader(1 << 30)
    feed(reader, struct.pack(">i", 1 << 30) + bytes(100))
    assert len(reader) < 1 << 20
    assert reader.buffered == 104


def test_advance_is_refused_while_a_view_is_alive() -> None:
    reader = FrameReader(1000)
    view = memoryview(reader)
    second = memoryview(reader)
    assert len(view) == len(reader) > 0
    assert not view.readonly
    view[:12] = framed(b"12345678")
    with pytest.raises(BufferError):
        reader.advance(12)
    view.release()
    with pytest.raises(BufferError):
        reader.advance(12)
    assert bytes(second[4:12]) == b"12345678"
    second.release()
    assert [bytes(f) for f in reader.advance(12)] == [b"12345678"]


def test_a_view_outlives_every_other_reference() -> None:
    view = memoryview(FrameReader(1000))
    gc.collect()
    view[:] = bytes(len(view))


def test_advance_beyond_the_buffer_is_refused() -> None:
    reader = FrameReader(1000)
    with pytest.raises(ValueError, match="more bytes"):
        reader.advance(len(reader) + 1)
    assert reader.advance(0) == []


def test_frame_is_a_read_only_buffer_with_the_header_fields() -> None:
    request = frame(header(3, 12, -7, "client é") + b"rest")
    assert (request.api_key, request.api_version, request.correlation_id) == (3, 12, -7)
    assert request.client_id == "client é"
    assert len(request) == len(bytes(request))
    with memoryview(request) as view:
        assert view.readonly
        assert bytes(view[-4:]) == b"rest"
    view = memoryview(request)
    del request
    gc.collect()
    assert bytes(view[-4:]) == b"rest"


def test_client_id_may_be_null_or_cut_short() -> None:
    assert frame(header(3, 1, 0, None)).client_id is None
    with pytest.raises(MalformedRequest):
        _ = frame(header(3, 1, 0, "abcdef")[:-2]).client_id


def test_frames_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError):
        Frame()
