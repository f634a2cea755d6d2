"""One client connection: bytes to frames, requests in order, answers in order, backpressure both ways.

Reading: asyncio receives straight into the native `FrameReader`. Requests of a connection start one after the
other; the next one starts when the current one says so (`Exchange.proceed`) or is answered.
Writing: at most one slice of an answer is ever in the transport's buffer, so a slow consumer does not hold a
second copy of what it fetches; while much is unsent no further request is started. Long fetches are sent by
I/O threads straight from the files; the transport has nothing to write meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from fastlog.native import FileResponse, FrameError, FrameReader
from fastlog.server.memory.work_memory import SMALL_REQUEST
from fastlog.server.network.exchange import SMALL_ANSWER, Answer, Exchange, small_answers
from fastlog.server.network.file_answers import FileAnswers
from fastlog.server.network.flow_control import TINY_FRAME
from fastlog.server.network.muting import NONE, Muting
from fastlog.server.network.session import Session, address_text
from fastlog.server.network.settled_requests import SettledRequests
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.pieces import Pieces

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.server.network.connection_host import ConnectionHost
    from fastlog.server.network.file_sender import Sender

_LOG: Final = logging.getLogger(__name__)

SLICE: Final = 256 * 1024
"""Most bytes that are given to the transport at a time."""
_LITTLE: Final = 64 * 1024
_PRODUCE: Final = int(ApiKey.PRODUCE)
_SLICES_PER_TURN: Final = 8
# A client may send thousands of small requests at once: others come in between.
_PUMP_SECONDS: Final = 0.002


class Connection(Muting, SettledRequests, FileAnswers, asyncio.BufferedProtocol):
    """The protocol of one accepted socket."""

    def __init__(self, host: ConnectionHost) -> None:
        self.host = host
        self.session: Final = Session(host.listener)
        self.last_active = 0.0
        self.frame_since: float | None = None
        self.blocked_since: float | None = None
        self.half_closed_since: float | None = None
        self.proving_since: float | None = None
        self._transport: asyncio.Transport | None = None
        self._files: Sender | None = None
        self.reader = FrameReader(host.limits.max_frame_bytes)
        self.unfinished_bytes = 0
        """Bytes of a frame that has not fully arrived."""
        self._begun = 0
        self._pending: deque[Frame] = deque()
        self._pending_bytes = 0
        self._exchanges: deque[Exchange] = deque()
        # Requests that hold up the next one; but for those of the API (or none) that may start all the same.
        self._busy = 0
        self._lets = NONE
        self._pumping = False
        # Answers that are sent together: at the end of the pump, or of this round of the event loop.
        self._gathered: list[Exchange] = []
        self._goes_on = False
        self._unsent = 0
        self._sent = 0
        self._backlog = False
        self._held = False
        self.is_finishing = False
        """Whether no further bytes are taken: what is under way is answered, then the connection closes."""
        self._paused = False
        self._aborted = False

    @property
    def peer(self) -> str:
        """Address of the other end, without the port."""
        return self.session.peer

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way in either direction."""
        return not self._exchanges and not self._pending

    @property
    def keeps_room(self) -> bool:
        """Whether others may wait for what its unfinished frame has room for."""
        return self._begun > 0 and not self.host.memory.is_waiting(self)

    def stuck_since(self) -> float | None:
        """Since when many bytes of whole requests wait behind another one, in monotonic seconds."""
        if self._pending_bytes <= _LITTLE:
            return None
        return self._exchanges[-1].started if self._exchanges else self.muted_since

    # -- called by asyncio --------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted: let in, or cut off when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.session.peer = str(peer[0]) if isinstance(peer, tuple) else "local"
        if not self.host.table.add(self):
            self._transport.abort()
            return
        number = self.host.metrics.connections_accepted
        self.session.connection_id = f"{address_text(own)}-{address_text(peer)}-{number}"
        # pause_writing is called as soon as the socket does not take everything.
        self._transport.set_write_buffer_limits(high=0)
        self.last_active = self.host.monotonic()
        self._begin_receiving(self._transport)

    def get_buffer(self, sizehint: int) -> FrameReader:
        """Where the next bytes go."""
        return self.reader

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes have come."""
        try:
            frames = self.reader.advance(nbytes)
        except FrameError as error:
            self.close("bad frame", error)
            return
        self.host.metrics.bytes_in += nbytes
        self._arrived(frames)

    def _arrived(self, frames: list[Frame]) -> None:
        host = self.host
        now = self.last_active = host.monotonic()
        left = self._serve(frames, now) if frames and not self._begun else frames
        if left:
            sizes = [len(frame) for frame in left]
            host.memory.take_in(self, sizes, now, begun=self._begun > 0)
            self._begun = 0
            self._pending.extend(left)
            self._pending_bytes += sum(sizes)
        partial = self.unfinished_bytes = self.reader.buffered
        if not partial:
            self.frame_since = None
        else:
            if frames or self.frame_since is None:
                self.frame_since = now
            if not self._begun:
                begun = self.reader.announced
                if begun > TINY_FRAME:
                    if not host.memory.begin(self, begun, partial, now):
                        self.close("no room", f"for a frame of {begun} bytes")
                        return
                    self._begun = begun
        if left:
            self._pump()

    def eof_received(self) -> bool:
        """The peer sends no more. What it asked is still worked on: producers with acks=0 just leave."""
        self.half_closed_since = self.host.monotonic()
        # What has begun will never be whole; the buffer that was offered for more of it goes too.
        self._forget_begun()
        self.reader = FrameReader(self.host.limits.max_frame_bytes)
        self.finish()
        return True

    def pause_writing(self) -> None:
        """The socket is full."""
        self.blocked_since = self.host.monotonic()

    def resume_writing(self) -> None:
        """The socket took everything."""
        self.blocked_since = None
        self.last_active = self.host.monotonic()
        if self._files is not None:
            self._files.resume()
        self._flush()
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: waits end, memory is given back, answers of running work are dropped."""
        self.is_finishing = True
        self._leave()
        self._end_mute()
        host = self.host
        host.table.remove(self)
        host.metrics.software.left(self.session)
        self._forget_begun()
        host.work.forget(self)
        for frame in self._pending:
            host.memory.done(len(frame))
        self._pending.clear()
        # They call this connection: no cycle is to keep the memory of both until somebody searches for it.
        files, self._files, self._transport = self._files, None, None
        if files is not None:
            files.close()
        self._gathered.clear()
        exchanges, self._exchanges = self._exchanges, deque()
        defects: list[Exception] = []
        for exchange in exchanges:
            exchange.is_lost = True
            try:
                operation, exchange.operation = exchange.operation, None
                if operation is not None:
                    host.purgatory.cancel(operation)
            except Exception as defect:  # noqa: BLE001 - all give their bytes back, then it is raised
                defects.append(defect)
            exchange.settle()
        host.answers.forget(self)
        if defects:
            raise defects[0]

    # -- called by exchanges and by the broker --------------------

    def on_proceed(self) -> None:
        """The current request does not hold up the next one any more."""
        self._busy -= 1
        self._pump()

    def on_let_same(self, api_key: int) -> None:
        """The current request does not hold up the next one if that is of the same API."""
        self._lets = api_key if self.muted_since is None else NONE
        self._pump()

    def on_reply(self, exchange: Exchange, size: int, was_current: bool) -> None:
        """A request was answered with `size` bytes."""
        if was_current:
            self._busy -= 1
        self._unsent += size
        if size <= SMALL_ANSWER and (self._pumping or (exchange.lets_same and len(self._exchanges) > 1)):
            # Others of this connection are about to be answered, too: a system call for each costs as much as
            # all the rest of a small request.
            if not self._pumping:
                self._go_on_soon()
            self._gathered.append(exchange)
            return
        self._flush()
        if not exchange.settled:
            exchange.wait_for_peer()
        if self._pending:
            self._pump()

    def on_room(self) -> None:
        """The next request waited for room to be worked on in."""
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
        self.is_finishing = True
        self._end_mute()
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
            self._aborted = self.is_finishing = True
            self._leave()
            try:
                self.host.log_closed(self, reason, detail)
            finally:
                self._transport.abort()

    # -- inside --------------------

    def _forget_begun(self) -> None:
        begun, self._begun = self._begun, 0
        self.unfinished_bytes = 0
        self.frame_since = None
        self.host.memory.forget(self, begun)

    def _pump(self) -> None:
        """Starts requests while one may be started."""
        if self._pumping:
            return
        self._pumping = True
        try:
            self._start_requests()
            while self._gathered:
                self._send_gathered()
                self._start_requests()
        except Exception as error:  # noqa: BLE001 - logged
            # Often it is another connection that made room for this one, and it must not suffer from it. What
            # this one has begun ends with it.
            _LOG.exception("starting a request from %s failed", self.peer)
            self.close("failed request", error)
        finally:
            self._pumping = False
        if self._backlog or self._pending:
            self._check_backlog()
        if self.is_finishing:
            self._close_when_done()
        elif not self._exchanges:
            self._at_rest()

    def _start_requests(self) -> None:
        host, pending, exchanges = self.host, self._pending, self._exchanges
        limits = host.limits
        began = 0.0
        if pending and not exchanges:
            self._serve_pending()
        while (
            pending
            and (not self._busy or pending[0].api_key == self._lets)
            and self._unsent < limits.max_unsent_bytes
            and len(exchanges) < limits.max_in_flight_per_connection
        ):
            now = host.monotonic()
            began = began or now
            if now - began > _PUMP_SECONDS:
                self._go_on_soon()
                break
            frame = pending[0]
            size = len(frame)
            # At each step either the frame or its exchange has the bytes: what fails gives them back.
            exchange = Exchange(self, frame.api_key, frame.api_version, frame.correlation_id, 0)
            exchange.started = now
            exchanges.append(exchange)
            if size > SMALL_REQUEST and frame.api_key != _PRODUCE:
                exchange.work = host.work.begin(self, size, frame.api_key)
                if not exchange.work:
                    exchanges.pop()
                    break
            pending.popleft()
            self._pending_bytes -= size
            exchange.size = size
            self._busy += 1
            self._lets = NONE
            host.dispatch(frame, exchange)

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._flush()
        for exchange in gathered:
            if not exchange.settled:
                exchange.wait_for_peer()

    def _go_on_soon(self) -> None:
        """Sends and starts more when others have had their turn."""
        if not self._goes_on:
            self._goes_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._gathered:
            self._send_gathered()
        else:
            self._flush()
        self._pump()

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
            if exchanges[0].answer is None:
                break
            if not self._send_first(transport, exchanges[0], exchanges[0].answer):
                return
        if self.is_finishing:
            self._close_when_done()
        elif not exchanges:
            self._at_rest()

    def _send_first(
        self, transport: asyncio.Transport, exchange: Exchange, answer: Answer | FileResponse
    ) -> bool:
        """Sends the first answer, and small ones behind it; False when not all of it is sent yet."""
        size = len(answer)
        if size <= SMALL_ANSWER and len(self._exchanges) > 1:
            small = small_answers(self._exchanges)
            if len(small) > 1:
                transport.write(b"".join(small))
                for one in small:
                    self._sent_first(len(one))
                return True
        if size <= SLICE and type(answer) is bytes:
            if size:
                transport.write(answer)
            self._sent_first(size)
            return True
        if isinstance(answer, FileResponse):
            self._send_files(transport, answer)
            return False
        if isinstance(answer, Pieces):
            if not self._write_pieces(transport, exchange, answer):
                return False
        elif size and not self._write(transport, answer):
            return False
        self._sent_first(size)
        return True

    def _write(self, transport: asyncio.Transport, answer: bytes | memoryview) -> bool:
        """Gives the transport an answer, slice by slice; False when not all of it: the socket is full, or it
        takes so much that others come first."""
        size = len(answer)
        if size <= SLICE:
            transport.write(answer)
            return True
        view = memoryview(answer)
        for _ in range(_SLICES_PER_TURN):
            if self.blocked_since is not None or transport.is_closing():
                return False
            transport.write(view[self._sent : self._sent + SLICE])
            self._sent += SLICE
            if self._sent >= size:
                self._sent = 0
                return True
        self._go_on_soon()
        return False

    def _write_pieces(self, transport: asyncio.Transport, exchange: Exchange, answer: Pieces) -> bool:
        """The same for an answer in pieces, each of which is free when it is sent."""
        for _ in range(_SLICES_PER_TURN // 2):
            if not self._write(transport, answer.pieces[0]):
                return False
            exchange.sent(answer.take_off())
            if not answer.pieces:
                return True
            if self.blocked_since is not None or transport.is_closing():
                return False
        self._go_on_soon()
        return False

    def _sent_first(self, size: int) -> None:
        exchange = self._exchanges.popleft()
        self._unsent -= size
        self.host.metrics.bytes_out += size
        exchange.count()
        exchange.settle()

    def _close_when_done(self) -> None:
        if self.is_idle and self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _set_reading(self) -> None:
        """Makes the transport read, or not, as all reasons together say."""
        paused = self._held or self._backlog or self.is_finishing or self.muted_since is not None
        transport = self._transport
        if paused == self._paused or transport is None or transport.is_closing():
            return
        self._paused = paused
        if paused and not self.is_finishing and self.muted_since is None:
            self.host.metrics.reads_paused += 1
        self._read(transport, reads=not paused)
