"""One client connection: bytes to frames, requests in order, answers in order, backpressure both ways.

Reading: asyncio receives straight into the native `FrameReader`. Requests of a connection start one after the
other; the next one starts when the current one says so (`Exchange.proceed`) or is answered.
Writing: at most one slice of an answer is ever in the transport's buffer, so a slow consumer does not hold a
second copy of what it fetches; while much is unsent no further request is started. Long fetches are sent by
I/O threads straight from the files; the transport has nothing to write meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from fastlog.native import FileResponse, FrameError, FrameReader
from fastlog.server.exchange import Exchange
from fastlog.server.file_sender import PEER_GONE, FileSender

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.replication.purgatory import Purgatory
    from fastlog.server.connection_table import ConnectionTable
    from fastlog.server.file_sender import Send
    from fastlog.server.flow_control import FlowLimits, RequestMemory
    from fastlog.server.metrics import BrokerMetrics

SLICE: Final = 256 * 1024
"""Most bytes that are given to the transport at a time."""


class ClosedConnectionLog(Protocol):
    """Told why the broker itself closes a connection."""

    def __call__(self, connection: Connection, reason: str, detail: object) -> None:
        """`reason` is one of a few words, `detail` is for people."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionHost:
    """What the connections of one listener share."""

    listener: str
    monotonic: Callable[[], float]
    limits: FlowLimits
    memory: RequestMemory
    table: ConnectionTable
    purgatory: Purgatory
    metrics: BrokerMetrics
    dispatch: Callable[[Frame, Exchange], None]
    log_closed: ClosedConnectionLog
    send: Send


class Connection(asyncio.BufferedProtocol):
    """The protocol of one accepted socket."""

    def __init__(self, host: ConnectionHost) -> None:
        self.host = host
        self.peer = ""
        self.last_active = 0.0
        self.frame_since: float | None = None
        self.blocked_since: float | None = None
        self.half_closed_since: float | None = None
        self._transport: asyncio.Transport | None = None
        self._files: FileSender | None = None
        self._reader = FrameReader(host.limits.max_frame_bytes)
        self._partial = 0
        self._pending: deque[Frame] = deque()
        self._pending_bytes = 0
        self._exchanges: deque[Exchange] = deque()
        self._busy = False
        self._pumping = False
        self._unsent = 0
        self._sent = 0
        self._backlog = False
        self._held = False
        self._finishing = False
        self._paused = False
        self._aborted = False

    @property
    def listener(self) -> str:
        """Name of the listener that accepted the connection."""
        return self.host.listener

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way in either direction."""
        return not self._exchanges and not self._pending

    @property
    def unfinished_bytes(self) -> int:
        """Bytes of a frame that has not fully arrived."""
        return self._partial

    @property
    def is_finishing(self) -> bool:
        """Whether no further bytes are taken: what is under way is answered, then the connection closes."""
        return self._finishing

    # -- called by asyncio --------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted: let in, or cut off when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "local"
        if not self.host.table.add(self):
            self._transport.abort()
            return
        # pause_writing is called as soon as the socket does not take everything.
        self._transport.set_write_buffer_limits(high=0)
        self.last_active = self.host.monotonic()

    def get_buffer(self, sizehint: int) -> FrameReader:
        """Where the next bytes go."""
        return self._reader

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes have come."""
        host = self.host
        try:
            frames = self._reader.advance(nbytes)
        except FrameError as error:
            self.close("bad frame", error)
            return
        now = self.last_active = host.monotonic()
        host.metrics.bytes_in += nbytes
        size = 0
        if frames:
            for frame in frames:
                size += len(frame)
            self._pending.extend(frames)
            self._pending_bytes += size
        partial = self._reader.buffered
        if partial:
            if frames or self.frame_since is None:
                self.frame_since = now
        else:
            self.frame_since = None
        change = partial - self._partial
        self._partial = partial
        host.memory.received(self, size, change)
        if frames:
            self._pump()

    def eof_received(self) -> bool:
        """The peer sends no more. What it asked is still worked on: producers with acks=0 just leave."""
        self.half_closed_since = self.host.monotonic()
        self.finish()
        return True

    def pause_writing(self) -> None:
        """The socket is full."""
        self.blocked_since = self.host.monotonic()

    def resume_writing(self) -> None:
        """The socket took everything."""
        self.blocked_since = None
        self.last_active = self.host.monotonic()
        self._flush()
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: waits end, memory is given back, answers of running work are dropped."""
        self._finishing = True
        host = self.host
        host.table.remove(self)
        host.memory.forget(self, self._partial)
        self._partial = 0
        for frame in self._pending:
            host.memory.done(len(frame))
        self._pending.clear()
        if self._files is not None:
            self._files.close()
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            exchange.is_lost = True
            if exchange.operation is not None:
                host.purgatory.cancel(exchange.operation)
            self._settle(exchange)

    # -- called by exchanges and by the broker --------------------

    def on_proceed(self) -> None:
        """The current request does not hold up the next one any more."""
        self._busy = False
        self._pump()

    def on_reply(self, size: int, was_current: bool) -> None:
        """A request was answered with `size` bytes."""
        if was_current:
            self._busy = False
        self._unsent += size
        self._flush()
        if self._pending:
            self._pump()

    def hold_reading(self) -> None:
        """Too many bytes of requests are in memory."""
        self._held = True
        self._set_reading()

    def release_reading(self) -> None:
        """There is room again."""
        self._held = False
        self._set_reading()

    def finish(self) -> None:
        """Takes no more bytes, answers what has come, then closes."""
        self._finishing = True
        self._set_reading()
        for exchange in list(self._exchanges):
            operation = exchange.operation
            if operation is not None and operation.early_end:
                self.host.purgatory.end_early(operation)
        self._pump()
        self._close_when_done()

    def close(self, reason: str, detail: object = None) -> None:
        """Cuts the connection; answers that were not sent are lost."""
        if self._transport is not None and not self._aborted:
            self._aborted = self._finishing = True
            self.host.log_closed(self, reason, detail)
            self._transport.abort()

    # -- inside --------------------

    def _pump(self) -> None:
        """Starts requests while one may be started."""
        if self._pumping:
            return
        self._pumping = True
        limits = self.host.limits
        while (
            self._pending
            and not self._busy
            and self._unsent < limits.max_unsent_bytes
            and len(self._exchanges) < limits.max_in_flight_per_connection
        ):
            frame = self._pending.popleft()
            size = len(frame)
            self._pending_bytes -= size
            exchange = Exchange(self, frame.api_key, frame.api_version, frame.correlation_id, size)
            exchange.started = self.host.monotonic()
            self._exchanges.append(exchange)
            self._busy = True
            self.host.dispatch(frame, exchange)
        self._pumping = False
        if self._backlog or self._pending:
            self._check_backlog()
        if self._finishing:
            self._close_when_done()

    def _check_backlog(self) -> None:
        limits = self.host.limits
        waiting, size = len(self._pending), self._pending_bytes
        if self._backlog:
            # Resumes at half of the limits: each change of mind costs a system call.
            if 2 * waiting <= limits.max_pending_frames and 2 * size <= limits.max_pending_bytes:
                self._backlog = False
                self._set_reading()
        elif waiting >= limits.max_pending_frames or size >= limits.max_pending_bytes:
            self._backlog = True
            self._set_reading()

    def _flush(self) -> None:
        """Sends answers, in the order of the requests, as far as the socket takes them."""
        transport = self._transport
        exchanges = self._exchanges
        if transport is None:
            return
        while exchanges and self.blocked_since is None and not transport.is_closing():
            if self._files is not None and self._files.busy:
                return
            exchange = exchanges[0]
            answer = exchange.answer
            if answer is None:
                break
            size = len(answer)
            if isinstance(answer, FileResponse):
                self._send_files(transport, answer)
                return
            if size and not self._write(transport, answer):
                return
            self._sent_first(size)
        if self._finishing:
            self._close_when_done()

    def _write(self, transport: asyncio.Transport, answer: bytes | memoryview) -> bool:
        """Gives the transport an answer, slice by slice; False when the socket is full before the last."""
        size = len(answer)
        if size <= SLICE:
            transport.write(answer)
            return True
        view = memoryview(answer)
        while self._sent < size:
            if self.blocked_since is not None or transport.is_closing():
                return False
            transport.write(view[self._sent : self._sent + SLICE])
            self._sent += SLICE
        self._sent = 0
        return True

    def _sent_first(self, size: int) -> None:
        exchange = self._exchanges.popleft()
        self._unsent -= size
        self._count(exchange, size)
        self._settle(exchange)

    def _count(self, exchange: Exchange, size: int) -> None:
        host, operation = self.host, exchange.operation
        metrics = host.metrics
        metrics.bytes_out += size
        now = host.monotonic()
        if operation is None and not exchange.answered:
            metrics.answered(exchange.api_key, now - exchange.started)
            return
        parked = 0.0 if operation is None else operation.waited
        sending = now - exchange.answered if exchange.answered else 0.0
        metrics.answered_late(exchange.api_key, now - exchange.started, parked, sending)

    # -- answers from files: the first exchange stays first until its answer is sent --------------------

    def _send_files(self, transport: asyncio.Transport, answer: FileResponse) -> None:
        if self._files is None:
            self._files = FileSender(transport, self.host.send, self._on_files_progress, self._on_files_sent)
        self._files.start(answer)

    def _on_files_progress(self, blocked: bool) -> None:
        now = self.host.monotonic()
        if blocked:
            self.blocked_since = now
        else:
            self.blocked_since = None
            self.last_active = now

    def _on_files_sent(self, error: object) -> None:
        if error is PEER_GONE and self._transport is not None:
            self._transport.abort()
            return
        if error is not None:
            self.close("failed send", error)
            return
        answer = self._exchanges[0].answer
        self._sent_first(len(answer) if answer is not None else 0)
        self.last_active = self.host.monotonic()
        self._flush()
        self._pump()

    def _settle(self, exchange: Exchange) -> None:
        self.host.memory.done(exchange.size)
        exchange.size = 0
        exchange.answer = b""
        if exchange.on_sent is not None:
            on_sent, exchange.on_sent = exchange.on_sent, None
            on_sent()

    def _close_when_done(self) -> None:
        if self.is_idle and self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _set_reading(self) -> None:
        """Makes the transport read, or not, as all reasons together say."""
        paused = self._held or self._backlog or self._finishing
        transport = self._transport
        if paused == self._paused or transport is None or transport.is_closing():
            return
        self._paused = paused
        if paused:
            if not self._finishing:
                self.host.metrics.reads_paused += 1
            self.frame_since = None
            transport.pause_reading()
        else:
            if self._partial:
                self.frame_since = self.host.monotonic()
            transport.resume_reading()
