"""A transport, a dispatcher and what connections share, all moved by hand."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, Final, cast

from fastlog.native import Frame
from fastlog.replication.partition import PartitionKey
from fastlog.replication.purgatory import Operation, Purgatory
from fastlog.server.memory.answer_memory import AnswerMemory
from fastlog.server.memory.response_memory import ResponseMemory
from fastlog.server.memory.work_memory import WorkMemory
from fastlog.server.network.connection import Connection
from fastlog.server.network.connection_host import ConnectionHost
from fastlog.server.network.connection_table import ConnectionTable
from fastlog.server.network.exchange import Exchange
from fastlog.server.network.flow_control import FlowLimits, RequestMemory
from fastlog.server.network.session import ListenerIdentity
from fastlog.server.observability.metrics import BrokerMetrics
from tests.unit.replication.fakes import FakeLoop

NO_QUOTAS: Final = SimpleNamespace(clients=SimpleNamespace(active=False))
"""What a dispatcher has where nobody has a limit."""


class FakeTransport:
    """Takes `room` bytes, then says that it is full until `drain`."""

    def __init__(self, peer: str = "10.0.0.1", room: int = 1 << 40) -> None:
        self.peer = peer
        self.room = room
        self.written = bytearray()
        self.buffered = bytearray()
        self.largest_write = 0
        self.writes = 0
        self.reading = True
        self.closing = False
        self.aborted = False
        self.protocol: Connection | None = None

    def get_extra_info(self, name: str) -> Any:
        """The addresses of both ends."""
        return {"peername": (self.peer, 12345), "sockname": ("10.0.0.9", 9092)}.get(name)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Every byte that the socket does not take counts."""
        assert high == 0

    def write(self, data: bytes | memoryview) -> None:
        """As asyncio: what the socket does not take is kept, and the protocol is told."""
        assert not self.closing
        self.writes += 1
        self.largest_write = max(self.largest_write, len(data))
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.written += taken
        self.buffered += data[len(taken) :]
        if self.buffered and self.protocol is not None:
            self.protocol.pause_writing()

    def drain(self, room: int) -> None:
        """The peer took bytes."""
        self.room += room
        taken = bytes(self.buffered[: self.room])
        del self.buffered[: len(taken)]
        self.room -= len(taken)
        self.written += taken
        if not self.buffered and self.protocol is not None:
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        """No more bytes come."""
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        """Bytes come again."""
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closing

    def close(self) -> None:
        """Ends after the buffer is sent."""
        self.closing = True

    def abort(self) -> None:
        """Ends at once."""
        self.closing = self.aborted = True


class Harness:
    """One listener's worth of shared parts, with exchanges noted instead of dispatched."""

    def __init__(self, limits: FlowLimits | None = None) -> None:
        self.limits = limits or FlowLimits()
        self.loop = FakeLoop()
        self.metrics = BrokerMetrics()
        self.refused: list[tuple[str, str]] = []
        self.closed: list[str] = []
        self.started: list[Exchange] = []
        self.frames: list[bytes] = []
        self.memory = RequestMemory(self.limits.request_memory_bytes)
        self.responses = ResponseMemory(1024 * 1024)
        self.answers = AnswerMemory(1024 * 1024, 4 * 1024 * 1024, self.loop.time)
        self.work = WorkMemory(self.limits.work_memory_bytes)
        self.purgatory = Purgatory(self.loop)
        self.table = ConnectionTable(
            self.limits,
            self.memory,
            self.responses,
            self.answers,
            self.metrics,
            lambda peer, reason: self.refused.append((peer, reason)),
        )
        self.host = ConnectionHost(
            listener=ListenerIdentity("PLAINTEXT"),
            monotonic=self.loop.time,
            limits=self.limits,
            memory=self.memory,
            work=self.work,
            answers=self.answers,
            table=self.table,
            purgatory=self.purgatory,
            metrics=self.metrics,
            dispatch=self.dispatch,
            log_closed=lambda _connection, reason, _detail: self.closed.append(reason),
            send=self.send,
            copy=self.send,
        )

    def send(self, socket: Any, response: Any, start: int) -> Any:
        """No test with a fake transport may come here: there is no socket to send to."""
        raise AssertionError("an answer from files needs a real socket")

    def dispatch(self, frame: Frame, exchange: Exchange) -> None:
        """Notes a request that was started."""
        self.started.append(exchange)
        self.frames.append(bytes(frame))

    def connect(self, peer: str = "10.0.0.1", room: int = 1 << 40) -> tuple[Connection, FakeTransport]:
        """A new connection."""
        connection, transport = Connection(self.host), FakeTransport(peer, room)
        transport.protocol = connection
        connection.connection_made(cast("Any", transport))
        return connection, transport


def request(correlation_id: int, size: int = 0, *, api_key: int = 3) -> bytes:
    """A request frame with `size` bytes of body."""
    return struct.pack(">ihhi", 8 + size, api_key, 0, correlation_id) + bytes(size)


def receive(connection: Connection, data: bytes) -> None:
    """Gives bytes to a connection as the event loop does."""
    while data:
        view = memoryview(connection.get_buffer(-1))
        piece = data[: len(view)]
        view[: len(piece)] = piece
        view.release()
        connection.buffer_updated(len(piece))
        data = data[len(piece) :]


class Wait(Operation):
    """A parked fetch that answers with nothing at its end."""

    early_end = True

    def __init__(self) -> None:
        super().__init__()
        self.expired = 0

    def is_ready(self, key: PartitionKey) -> bool:
        return False

    def complete(self) -> None:
        raise AssertionError

    def expire(self) -> None:
        self.expired += 1

    def failed(self, error: BaseException) -> None:
        raise AssertionError from error
