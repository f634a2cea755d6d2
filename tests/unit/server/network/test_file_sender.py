"""Answers from files over real sockets, with an I/O thread played by the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from fastlog.native import Socket
from fastlog.server.network.file_sender import FileSender

Turn = tuple[int, "asyncio.Future[int]"]


class Response:
    """As long as it is said to be."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


class World:
    """One sender; turns are answered by the test."""

    def __init__(self, ours: socket.socket) -> None:
        self.turns: list[Turn] = []
        self.progress: list[bool] = []
        self.ends: list[object] = []
        self.socket = ours
        self.sender = FileSender(
            cast("Any", self), cast("Any", self.send), self.progress.append, self.ends.append
        )

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self.socket

    def send(self, to: Socket, _response: Response, start: int) -> asyncio.Future[int]:
        assert to.fileno() != self.socket.fileno()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.turns.append((start, future))
        return future

    def start(self, size: int) -> None:
        self.sender.start(cast("Any", Response(size)))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the conditions have no event
            await asyncio.sleep(0.001)


def fill(ours: socket.socket) -> int:
    sent = 0
    try:
        while True:
            sent += ours.send(bytes(4096))
    except BlockingIOError:
        return sent


async def test_an_answer_that_the_socket_takes_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    world = World(pair[0])
    world.start(100)
    assert world.sender.busy
    world.turns[0][1].set_result(100)
    await until(lambda: bool(world.ends))
    assert (world.ends, world.progress, world.sender.busy) == ([None], [], False)
    world.start(5)
    assert [start for start, _ in world.turns] == [0, 0]


async def test_the_next_turn_waits_for_room_in_the_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    world = World(ours)
    world.start(100)
    stuffed = fill(ours)
    world.turns[0][1].set_result(60)
    await until(lambda: world.progress == [True])
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(world.turns) == 1
    theirs.recv(stuffed, socket.MSG_WAITALL)
    await until(lambda: len(world.turns) == 2)
    assert (world.turns[1][0], world.progress) == (60, [True, False])
    world.turns[1][1].set_result(100)
    await until(lambda: bool(world.ends))
    assert world.ends == [None]


@pytest.mark.parametrize("ending", ["peer", "disk", "engine"])
async def test_what_cannot_go_on_is_said_once(
    pair: tuple[socket.socket, socket.socket], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(pair[0])
    if ending == "engine":

        def closed(*_: object) -> None:
            raise RuntimeError("closed")

        monkeypatch.setattr(world.sender, "_send", closed)
    world.start(100)
    if ending == "peer":
        world.turns[0][1].set_result(-1)
    elif ending == "disk":
        world.turns[0][1].set_exception(OSError("broken disk"))
    await until(lambda: bool(world.ends))
    assert len(world.ends) == 1
    assert {"peer": "gone", "disk": "broken disk", "engine": "closed"}[ending] in str(world.ends[0])


@pytest.mark.parametrize("waiting", [False, True])
async def test_nothing_is_called_after_close(
    pair: tuple[socket.socket, socket.socket], waiting: bool
) -> None:
    ours, theirs = pair
    world = World(ours)
    world.start(100)
    stuffed = fill(ours)
    if waiting:
        world.turns[0][1].set_result(60)
        await until(lambda: world.progress == [True])
    world.sender.close()
    if not waiting:
        world.turns[0][1].set_result(100)
    theirs.recv(stuffed, socket.MSG_WAITALL)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(world.turns), world.ends) == (1, [])
    ours.close()
    assert theirs.recv(1) == b""


@pytest.mark.parametrize("ending", ["writer", "progress", "end"])
async def test_what_fails_between_turns_ends_the_connection(
    pair: tuple[socket.socket, socket.socket], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(pair[0])

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    def broken_at_first(error: object) -> None:
        world.ends.append(error)
        if error is None:
            broken()

    if ending == "writer":
        monkeypatch.setattr(asyncio.get_running_loop(), "add_writer", broken)
    elif ending == "progress":
        monkeypatch.setattr(world.sender, "_on_progress", broken)
    else:
        monkeypatch.setattr(world.sender, "_on_end", broken_at_first)
    world.start(100)
    world.turns[0][1].set_result(100 if ending == "end" else 60)
    await until(lambda: bool(world.ends))
    await asyncio.sleep(0.01)
    assert [str(end) for end in world.ends] == (["None", "broken"] if ending == "end" else ["broken"])
    assert not world.sender.busy
    assert len(world.turns) == 1
