"""The client's session against a server that is scripted: what it does when that does something odd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fastlog.base.clock import ManualClock, SystemClock
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState, ZkSession
from fastlog.coordination.zookeeper.codes import OpCode
from fastlog.coordination.zookeeper.errors import ConnectionLoss
from fastlog.coordination.zookeeper.jute import Reader
from fastlog.coordination.zookeeper.replies import NOTHING, ConnectReply, ConnectRequest, Result, write_reply
from fastlog.coordination.zookeeper.requests import OfPath
from fastlog.coordination.zookeeper.transport import Receiver, Transport

SYNC = OfPath(OpCode.SYNC, "/")
Answer = Callable[[int, int], bytes | None]
"""The packet for (xid, op); None cuts the connection."""


class Server:
    """Answers in another turn of the loop; `connects` are the first packets of its connections."""

    def __init__(self, answer: Answer) -> None:
        self.connects: list[ConnectRequest] = []
        self.answer = answer
        self.reachable = True
        self.sessions: list[int] = []
        self.closed: list[int] = []

    async def connect(self, receiver: Receiver) -> Transport:
        if not self.reachable:
            raise ConnectionRefusedError("nobody there")
        return _Link(self, receiver)


class _Link:
    def __init__(self, server: Server, receiver: Receiver) -> None:
        self._server = server
        self._receiver = receiver
        self._session_id = 0
        self._open = True

    def write(self, packet: bytes | bytearray) -> None:
        asyncio.get_running_loop().call_soon(self._take, bytes(packet))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._receiver.transport_lost("closed")

    def _take(self, packet: bytes) -> None:
        server, reader = self._server, Reader(packet)
        if not self._session_id:
            request = ConnectRequest.read(reader)
            server.connects.append(request)
            self._session_id = request.session_id or 100 + len(server.connects)
            if request.session_id == 0:
                server.sessions.append(self._session_id)
            self._receiver.packet_received(
                bytes(ConnectReply(request.timeout_ms, self._session_id, bytes(16)).write())
            )
            return
        xid, op = reader.int32(), reader.int32()
        if op == OpCode.CLOSE_SESSION:
            server.closed.append(self._session_id)
        answer = server.answer(xid, op)
        if answer is None:
            self.close()
        else:
            self._receiver.packet_received(answer)


def plain(xid: int, op: int) -> bytes:
    return bytes(write_reply(xid, 1, op, Result(path="/") if op == OpCode.SYNC else NOTHING))


async def test_an_answer_that_cannot_be_read_fails_its_request_and_those_after_it() -> None:
    cut_short = bytes(write_reply(1, 1, OpCode.PING, NOTHING))
    server = Server(lambda xid, op: cut_short if op == OpCode.SYNC else plain(xid, op))
    session = ZkSession([server.connect], SystemClock())
    session.start()
    await session.connected()
    client = ZkClient(session)
    asked = [asyncio.ensure_future(client.sync("/")) for _ in range(3)]
    done, waiting = await asyncio.wait(asked, timeout=10)
    assert (len(done), len(waiting)) == (3, 0)
    for answer in asked:
        with pytest.raises(ConnectionLoss):
            await answer
    await session.close()


async def test_a_session_that_was_given_up_is_ended_until_a_server_says_so() -> None:
    """The first attempt to end it breaks off: the second does it, and only then a new one begins."""
    clock, states = ManualClock(), list[SessionState]()
    closes = iter([None, plain])

    def answer(xid: int, op: int) -> bytes | None:
        if op != OpCode.CLOSE_SESSION:
            return plain(xid, op)
        how = next(closes, plain)
        return None if how is None else how(xid, op)

    server = Server(answer)
    expired = asyncio.Event()

    def entered(state: SessionState) -> None:
        states.append(state)
        if state is SessionState.EXPIRED:
            expired.set()

    session = ZkSession([server.connect], clock, timeout_ms=9000, on_state=entered)
    session.start()
    await session.connected()
    server.reachable = False
    clock.advance(11_900)
    server.answer = lambda xid, op: None
    session.submit(SYNC).add_done_callback(lambda answer: answer.exception())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(expired.wait(), 0.3)
    clock.advance(200)
    await asyncio.wait_for(expired.wait(), 30)
    server.answer, server.reachable = answer, True
    await asyncio.wait_for(session.connected(), 30)
    assert server.closed == [101, 101]
    assert [request.session_id for request in server.connects] == [0, 101, 101, 0]
    assert states == [
        SessionState.CONNECTED,
        SessionState.CONNECTING,
        SessionState.EXPIRED,
        SessionState.CONNECTED,
    ]
    await session.close()
