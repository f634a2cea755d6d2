"""Responses that are sent from the segment files: the same bytes as those that are read into memory."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.native import Chunk, FileResponse, IoEngine, Log, LogConfig, Socket, StorageError
from tests.unit.native.data import batch
from tests.unit.native.test_io_engine import Loop, io, log, row

__all__ = ["io", "log"]

LARGE = 40_000


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def send(io: Loop, to: Socket, response: FileResponse, start: int = 0) -> object:
    token, future = io.token()
    io.engine.send(token, to, response, start)
    return await future


async def test_long_stretches_are_sent_from_the_file(
    io: Loop, log: Log, pair: tuple[socket.socket, socket.socket]
) -> None:
    log.append(batch(os.urandom(LARGE)))
    total, whole, outcomes = await io.fetch([row(log)])
    assert isinstance(whole, Chunk)
    result = await io.fetch([row(log)], from_files=True)
    response = result[1]
    assert isinstance(response, FileResponse)
    assert (result[0], result[2]) == (total, outcomes)
    assert len(response) == len(whole)
    assert response.memory_bytes == len(whole) - total
    ours, theirs = pair
    received, position, to = b"", 0, Socket(ours.fileno())
    while position < len(response):
        reached = await send(io, to, response, position)
        assert isinstance(reached, int)
        assert reached > position
        received += theirs.recv(reached - position, socket.MSG_WAITALL)
        position = reached
    assert received == bytes(whole)


async def test_short_stretches_are_read_into_memory(io: Loop, log: Log) -> None:
    log.append(batch(b"x" * 1000))
    _, chunk, _ = await io.fetch([row(log)], from_files=True)
    assert isinstance(chunk, Chunk)


async def test_a_deleted_log_is_still_sent(
    io: Loop, log: Log, pair: tuple[socket.socket, socket.socket]
) -> None:
    log.append(batch(b"y" * LARGE))
    _, response, _ = await io.fetch([row(log)], from_files=True)
    assert isinstance(response, FileResponse)
    log.close()
    log.delete_files()
    assert await send(io, Socket(pair[0].fileno()), response) == len(response)


async def test_a_peer_that_left_gives_minus_one(
    io: Loop, log: Log, pair: tuple[socket.socket, socket.socket]
) -> None:
    log.append(batch(b"y" * LARGE))
    _, response, _ = await io.fetch([row(log)], from_files=True)
    assert isinstance(response, FileResponse)
    pair[1].close()
    assert await send(io, Socket(pair[0].fileno()), response) == -1


async def test_a_file_that_cannot_be_sent_costs_its_own_log_only(
    io: Loop, log: Log, tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    log.append(batch(b"z" * LARGE))
    _, response, _ = await io.fetch([row(log)], from_files=True)
    assert isinstance(response, FileResponse)
    os.truncate(tmp_path / "t-0" / "00000000000000000000.log", 100)
    assert isinstance(await send(io, Socket(pair[0].fileno()), response), StorageError)
    other = Log.open(str(tmp_path / "t-1"), LogConfig())
    other.append(batch(b"z" * LARGE))
    _, response, outcomes = await io.fetch([row(log), row(other)], from_files=True)
    assert isinstance(response, FileResponse)
    assert [error for _, error, _ in outcomes] == [56, 0]


def test_a_socket_is_a_descriptor_of_its_own(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    held = Socket(ours.fileno())
    assert held.fileno() != ours.fileno()
    ours.close()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    del held
    assert theirs.recv(1) == b""
    with pytest.raises(ValueError, match="closed"):
        Socket(-1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Socket(10_000)


def test_a_closed_engine_sends_nothing(log: Log, pair: tuple[socket.socket, socket.socket]) -> None:
    async def run() -> None:
        io = Loop()
        log.append(batch(b"y" * LARGE))
        _, response, _ = await io.fetch([row(log)], from_files=True)
        io.close()
        assert isinstance(response, FileResponse)
        with pytest.raises(RuntimeError, match="closed"):
            io.engine.send(1, Socket(pair[0].fileno()), response, 0)

    asyncio.run(run())
    assert IoEngine(1).drain() == []
