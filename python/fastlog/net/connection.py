"""One connection to one broker: a `Pipeline` on an asyncio socket."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Final, cast

from fastlog.native import Frame, FrameReader
from fastlog.net.errors import BadResponse, ClientError, RequestTimedOut, in_words
from fastlog.net.pipeline import MAX_FRAME_BYTES, MAX_IN_FLIGHT, Pipeline
from fastlog.wire import (
    ApiKey,
    Request,
    Response,
    WireError,
    decode_response,
    decode_response_header,
)

_TLS_RECORD: Final = 16 * 1024
_RETIRED: Final = "another one has taken its place"


class Connection(asyncio.BufferedProtocol):
    """A connected socket. All methods belong to the event loop that opened it.

    `is_encrypted`: asyncio's TLS wants to write into slices of the buffer, so bytes take a detour.
    """

    def __init__(
        self,
        address: str,
        client_id: str | None,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT,
        is_encrypted: bool = False,
    ) -> None:
        self.address: Final = address
        self._pipeline: Final[Pipeline[asyncio.Future[Frame]]] = Pipeline(
            address, client_id, max_frame_bytes=max_frame_bytes, max_in_flight=max_in_flight
        )
        self._loop = asyncio.get_running_loop()
        # A view: asyncio reads into slices of it, and a slice of a bytearray is a copy.
        self._decrypted = memoryview(bytearray(_TLS_RECORD)) if is_encrypted else None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._for_room: deque[asyncio.Future[None]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._retires = False
        self.renew_at = math.inf
        """The moment (`time.monotonic`) from which another one should take its place: its session ends."""

    # -- requests --------------------

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._pipeline.failure is None and self._transport is not None

    @property
    def is_due(self) -> bool:
        """Whether another one should take its place."""
        return self.renew_at != math.inf and time.monotonic() >= self.renew_at

    @property
    def in_flight(self) -> int:
        """Requests without an answer so far."""
        return self._pipeline.in_flight

    async def call(self, message: Request, version: int, *, timeout: float) -> Response:  # noqa: ASYNC109
        """Sends a request and returns its answer, within `timeout` seconds.

        Raises ConnectionFailed, RequestTimedOut (the connection is closed then), BadResponse, and
        UnencodableMessage when the version has no form for the message. A caller that is cancelled leaves the
        connection as it was; the answer is dropped when it comes.
        """
        return self.decode(message.API, version, await self.ask(message, version, timeout=timeout))

    async def call_raw(self, message: Request, version: int, *, timeout: float) -> memoryview:  # noqa: ASYNC109
        """The same without looking into the answer: its body, which keeps the frame alive."""
        return self.body(message.API, version, await self.ask(message, version, timeout=timeout))

    async def ask(self, message: Request, version: int, *, timeout: float) -> Frame:  # noqa: ASYNC109
        """The same without looking at the answer at all: its frame, from the correlation id on."""
        if self._for_room or not self._pipeline.room:
            timeout = await self._wait_for_room(message.API, timeout)
        try:
            answer = self.start(message, version, timeout=timeout)
        except BaseException:
            # It has not taken the room that it waited for.
            self._grant_room()
            raise
        return await answer

    def start(self, message: Request, version: int, *, timeout: float) -> asyncio.Future[Frame]:
        """Writes a request at once, in the order of the calls; the future brings the answer's frame.

        The future raises what `call` does. Raises ConnectionFailed when the connection is closed already:
        then nothing was sent. RuntimeError when as many requests are in flight as may be.
        """
        transport = self._open_transport(message.API)
        future: asyncio.Future[Frame] = self._loop.create_future()
        now = self._loop.time()
        transport.write(self._pipeline.send(message, version, future, timeout, now))
        self._watch(now + max(timeout, 0))
        return future

    async def send(self, message: Request, version: int) -> None:
        """Writes a request that has no answer (Produce with acks=0) and waits while the socket is full.

        Raises ConnectionFailed when the connection is closed, before or while waiting.
        """
        transport = self._open_transport(message.API)
        transport.write(self._pipeline.send_unanswered(message, version))
        await self._writable.wait()
        self._pipeline.check(message.API, sent=True)

    def decode(self, api: ApiKey, version: int, frame: Frame) -> Response:
        """The message in an answer's frame. Raises BadResponse and closes the connection when it is none."""
        try:
            correlation_id, answer = decode_response(api, version, frame)
        except WireError as error:
            raise self._unreadable(api, version, error) from error
        answer.origin = (self.address, correlation_id)
        return answer

    def body(self, api: ApiKey, version: int, frame: Frame) -> memoryview:
        """What follows the header in an answer's frame. Raises BadResponse as `decode`."""
        view = memoryview(frame)
        try:
            return view[decode_response_header(api, version, view)[1] :]
        except WireError as error:
            raise self._unreadable(api, version, error) from error

    async def close(self) -> None:
        """Closes the socket; requests that still wait fail. May be called more than once."""
        self._fail("it was closed by this client")
        if self._transport is not None:
            await self._lost.wait()

    def reuse_buffers(self) -> None:
        """Keeps the memory of large answers for the next ones, up to 32 MiB (`FrameReader.reuse_buffers`)."""
        self._pipeline.buffer.reuse_buffers()

    def abort(self) -> None:
        """Closes it at once, without waiting for anything: its event loop ends."""
        self._fail("its event loop has ended")

    def retire(self) -> None:
        """Closes it as soon as what is under way is answered: another one has taken its place."""
        self._retires = True
        if not self.in_flight:
            self._fail(_RETIRED)

    async def lost(self) -> None:
        """Returns when the socket is gone, whoever closed it; a caller that keeps it idle learns it so."""
        await self._lost.wait()

    # -- called by asyncio --------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> FrameReader | memoryview:
        """Where the next bytes go."""
        return self._pipeline.buffer if self._decrypted is None else self._decrypted

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes have come."""
        if self._decrypted is None:
            self._take(nbytes)
            return
        at = 0
        while at < nbytes and self._pipeline.failure is None:
            with memoryview(self._pipeline.buffer) as room:
                size = min(len(room), nbytes - at)
                room[:size] = self._decrypted[at : at + size]
            self._take(size)
            at += size

    def eof_received(self) -> bool:
        """The broker sends no more: nothing that waits will be answered."""
        self._fail("the broker closed it")
        return False

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The socket takes bytes again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._fail("the broker closed it" if exc is None else f"it broke: {in_words(exc)}")
        self._lost.set()

    # -- inside --------------------

    def _open_transport(self, api: ApiKey) -> asyncio.Transport:
        self._pipeline.check(api)
        if self._transport is None:
            raise RuntimeError("the connection was never open")
        return self._transport

    def _take(self, nbytes: int) -> None:
        for future, frame in self._pipeline.received(nbytes):
            if not future.done():
                future.set_result(frame)
        failure = self._pipeline.failure
        if failure is not None:
            self._fail(failure)
        elif self._for_room:
            self._grant_room()
        elif self._retires and not self.in_flight:
            self._fail(_RETIRED)

    def _fail(self, why: str) -> None:
        self._fail_all(self._pipeline.fail(why))

    def _fail_all(self, failed: list[tuple[asyncio.Future[Frame], ClientError]]) -> None:
        for future, error in failed:
            if not future.done():
                future.set_exception(error)
                # Someone who stopped waiting does not look at it; that is no forgotten error.
                future.exception()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._grant_room()
        self._writable.set()
        if self._transport is not None:
            self._transport.abort()

    def _unreadable(self, api: ApiKey, version: int, error: WireError) -> BadResponse:
        self._fail(f"it was closed because of an answer that cannot be read: {error}")
        return BadResponse(
            f"the answer of version {version} cannot be read: {error}", api=api, broker=self.address
        )

    async def _wait_for_room(self, api: ApiKey, timeout: float) -> float:  # noqa: ASYNC109
        """Waits until fewer requests are in flight; returns the seconds that are left."""
        deadline = self._loop.time() + max(timeout, 0)
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    turn: asyncio.Future[None] = self._loop.create_future()
                    self._for_room.append(turn)
                    try:
                        await turn
                    except asyncio.CancelledError:
                        # What was granted to it goes to the next one.
                        self._grant_room()
                        raise
                    self._pipeline.check(api)
                    if self._pipeline.room:
                        return max(deadline - self._loop.time(), 0)
        except TimeoutError:
            text = f"it could not be sent within {timeout:.1f} s: too many requests wait for their answers"
            raise RequestTimedOut(text, api=api, broker=self.address) from None

    def _grant_room(self) -> None:
        """Wakes as many as may send now, and all when the connection is over."""
        waiting = self._for_room
        room = len(waiting) if self._pipeline.failure is not None else self._pipeline.room
        while waiting and room > 0:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1

    # One timer watches the earliest deadline. It is not moved when an answer comes: it looks when it rings.

    def _watch(self, deadline: float) -> None:
        timer = self._timer
        if timer is None or deadline < timer.when():
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        overdue = self._pipeline.overdue(self._loop.time())
        if overdue:
            self._fail_all(overdue)
            return
        deadline = self._pipeline.next_deadline()
        if deadline is not None:
            self._watch(deadline)
