"""Reading from many sockets at once: what a connection is told of, and what not."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from fastlog.native import Frame, FrameError, FrameReader, Receiver
from fastlog.server.network.receiving import Receiving

FRAME = b"\0\x12\0\0\0\0\0\x07"
"""The header of a request, which is settled for nobody."""
SECONDS = 10.0


def prefixed(frame: bytes) -> bytes:
    """With its length."""
    return struct.pack(">i", len(frame)) + frame


class FakeConnection:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.came_in: list[tuple[list[bytes] | None, bytes, BaseException | None]] = []
        self.closed: list[str] = []
        self.last_active = 0.0
        self.fails = False

    def came(self, frames: list[Frame] | None, unsent: bytes, error: BaseException | None) -> None:
        if self.fails:
            raise RuntimeError("on purpose")
        self.came_in.append((None if frames is None else [bytes(frame) for frame in frames], unsent, error))

    def close(self, reason: str, detail: object = None) -> None:
        self.closed.append(reason)


class Stream:
    """A socket that is watched, its peer, and its connection."""

    def __init__(self, receiver: Receiver | Receiving) -> None:
        self.own, self.peer = socket.socketpair()
        self.own.setblocking(False)
        self.reader = FrameReader(1000)
        self.connection = FakeConnection()
        self.fd = self.own.fileno()
        receiver.watch(self.fd, self.connection, self.reader)

    def close(self) -> None:
        self.own.close()
        self.peer.close()


Make = Callable[[], Stream]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def stream(receiver: Receiver) -> Iterator[Make]:
    made: list[Stream] = []

    def make() -> Stream:
        made.append(Stream(receiver))
        return made[-1]

    yield make
    for one in made:
        one.close()


def left(receiver: Receiver) -> list[tuple[Any, Any, bytes, BaseException | None]]:
    """What is left of what has come."""
    found = receiver.receive(None, SECONDS).left
    return [
        (connection, None if frames is None else [bytes(frame) for frame in frames], unsent, error)
        for connection, frames, unsent, error in found
    ]


def test_frames_are_handed_to_their_connections(receiver: Receiver, stream: Make) -> None:
    first, second, silent = stream(), stream(), stream()
    first.peer.sendall(prefixed(FRAME + b"a") + prefixed(FRAME + b"b"))
    second.peer.sendall(prefixed(FRAME + b"c"))
    found = {id(row[0]): row[1] for row in left(receiver)}
    assert found == {
        id(first.connection): [FRAME + b"a", FRAME + b"b"],
        id(second.connection): [FRAME + b"c"],
    }
    assert left(receiver) == []
    assert len(receiver) == 3
    assert silent.connection.came_in == []


def test_a_begun_frame_is_told_of_and_goes_on(receiver: Receiver, stream: Make) -> None:
    one = stream()
    whole = prefixed(FRAME + b"rest")
    one.peer.sendall(whole[:9])
    assert left(receiver) == [(one.connection, [], b"", None)]
    assert one.reader.buffered == 9
    receiver.free(one.fd)
    one.peer.sendall(whole[9:])
    assert left(receiver) == [(one.connection, [FRAME + b"rest"], b"", None)]


def test_an_end_is_told_of_without_frames(receiver: Receiver, stream: Make) -> None:
    one = stream()
    one.peer.close()
    assert left(receiver) == [(one.connection, None, b"", None)]
    receiver.leave(one.fd)
    assert left(receiver) == []
    receiver.leave(one.fd)


def test_what_is_no_frame_is_an_error(receiver: Receiver, stream: Make) -> None:
    one, other = stream(), stream()
    one.peer.sendall(struct.pack(">i", 1 << 30))
    other.peer.sendall(prefixed(FRAME))
    found = {id(row[0]): row for row in left(receiver)}
    _, frames, unsent, error = found[id(one.connection)]
    assert (frames, unsent) == (None, b"")
    assert isinstance(error, FrameError)
    assert found[id(other.connection)][1] == [FRAME]


def test_a_socket_is_watched_once(receiver: Receiver, stream: Make) -> None:
    one = stream()
    with pytest.raises(ValueError, match="watched already"):
        receiver.watch(one.fd, one.connection, one.reader)
    with pytest.raises(OSError, match="Bad file descriptor"):
        receiver.watch(1 << 20, one.connection, one.reader)
    assert len(receiver) == 1


class FakeSettled:
    """Executes nothing."""

    def receive(self, receiver: Receiver) -> list[Any]:
        return receiver.receive(None, SECONDS).left


async def test_one_that_fails_is_cut_and_the_others_go_on() -> None:
    receiving = Receiving(cast("Any", FakeSettled()))
    streams = [Stream(receiving) for _ in range(3)]
    try:
        streams[1].connection.fails = True
        for one in streams:
            one.peer.sendall(prefixed(FRAME))
        # What is in a socket pair is readable at once: the next rounds of the loop take it.
        for _ in range(3):
            await asyncio.sleep(0)
        assert [one.connection.closed for one in streams] == [[], ["failed request"], []]
        assert streams[2].connection.came_in == [([FRAME], b"", None)]
    finally:
        receiving.close()
        for one in streams:
            one.close()
