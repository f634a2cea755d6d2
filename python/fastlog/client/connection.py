"""One connection to one broker: requests are pipelined, answers find their request by correlation id.

Frames are cut by the native `FrameReader`, which checks a frame's length before it takes memory for it and
then takes only what arrived. A request that is not answered in time closes the connection: on Kafka's ordered
connections everything behind it would wait as well, and a late answer must not meet a later request.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import struct
from typing import Final, Self, cast

from fastlog.client.errors import BadResponse, ClientError, ConnectionFailed, RequestTimedOut
from fastlog.native import Frame, FrameError, FrameReader
from fastlog.wire import APIS, ApiKey, Request, Response, WireError, decode_response, encode_request

MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
"""Largest answer that is taken. A fetch answer holds at least one batch whatever was asked for."""

_CORRELATION_ID: Final = struct.Struct(">i")


class Connection(asyncio.BufferedProtocol):
    """A connected socket. All methods belong to the event loop that opened it."""

    def __init__(self, address: str, client_id: str | None, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self.address: Final = address
        self._client_id = client_id
        self._reader = FrameReader(max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[ApiKey, asyncio.Future[Frame]]] = {}
        self._failure: str | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        *,
        client_id: str | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109 - covers name lookup and several addresses as a whole
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> Self:
        """Connects to the first address of `host` that accepts, within `timeout` seconds.

        Raises ConnectionFailed with the cause in words.
        """
        loop = asyncio.get_running_loop()
        address = format_address(host, port)
        problems: list[str] = []
        try:
            async with asyncio.timeout(max(timeout, 0)):
                infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                for family, _, _, _, sockaddr in infos:
                    connection = cls(address, client_id, max_frame_bytes)
                    try:
                        await loop.create_connection(
                            lambda made=connection: made,
                            str(sockaddr[0]),
                            port,
                            family=family,
                        )
                    except OSError as error:
                        problems.append(_in_words(error))
                    else:
                        return connection
        except TimeoutError:
            problems.append(f"no connection within {timeout:.1f} s")
        except socket.gaierror as error:
            problems.append(f"the name {host!r} cannot be resolved ({error.strerror})")
        except (OSError, UnicodeError) as error:
            problems.append(_in_words(error))
        text = "; ".join(dict.fromkeys(problems)) or "the name has no address"
        raise ConnectionFailed(f"cannot connect: {text}", broker=address)

    # -- requests --------------------

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._failure is None and self._transport is not None

    @property
    def in_flight(self) -> int:
        """Requests without an answer so far."""
        return len(self._waiting)

    async def call(self, message: Request, version: int, *, timeout: float) -> Response:  # noqa: ASYNC109
        """Sends a request and returns its answer.

        Raises ConnectionFailed, RequestTimedOut (after `timeout` seconds), BadResponse, and
        UnencodableMessage when the version has no form for the message. A caller that is cancelled leaves the
        connection as it was; the answer is dropped when it comes.
        """
        frame = await self.answer(message.API, self.start(message, version), timeout)
        return self.decode(message.API, version, frame)

    def start(self, message: Request, version: int) -> asyncio.Future[Frame]:
        """Writes a request at once, in the order of the calls; the future brings the answer's frame.

        Raises ConnectionFailed when the connection is closed already: then nothing was sent.
        """
        transport = self._open_transport(message.API)
        correlation_id = next(self._ids) & 0x7FFFFFFF
        data = encode_request(message, version, correlation_id, self._client_id)
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = (message.API, future)
        transport.write(data)
        return future

    async def send(self, message: Request, version: int) -> None:
        """Writes a request that has no answer (Produce with acks=0) and waits while the socket is full.

        Raises ConnectionFailed when the connection is closed, before or while waiting.
        """
        transport = self._open_transport(message.API)
        transport.write(encode_request(message, version, next(self._ids) & 0x7FFFFFFF, self._client_id))
        await self._writable.wait()
        self._open_transport(message.API, sent=True)

    async def answer(self, api: ApiKey, future: asyncio.Future[Frame], timeout: float) -> Frame:  # noqa: ASYNC109
        """Waits for a started request. Closes the connection when the time is up."""
        try:
            async with asyncio.timeout(max(timeout, 0)):
                return await future
        except TimeoutError:
            name = APIS[api].name
            self._fail(f"it was closed because {name} got no answer within {timeout:.1f} s")
            text = f"no answer within {timeout:.1f} s"
            raise RequestTimedOut(text, api=api, broker=self.address) from None

    def decode(self, api: ApiKey, version: int, frame: Frame) -> Response:
        """The message in an answer's frame. Raises BadResponse and closes the connection when it is none."""
        try:
            return decode_response(api, version, frame)[1]
        except WireError as error:
            self._fail(f"it was closed because of an answer that cannot be read: {error}")
            text = f"the answer of version {version} cannot be read: {error}"
            raise BadResponse(text, api=api, broker=self.address) from error

    async def close(self) -> None:
        """Closes the socket; requests that still wait fail. May be called more than once."""
        self._fail("it was closed by this client")
        if self._transport is not None:
            await self._lost.wait()

    def _open_transport(self, api: ApiKey, *, sent: bool = False) -> asyncio.Transport:
        if self._failure is not None or self._transport is None:
            text = f"the connection is closed: {self._failure or 'it was never open'}"
            raise ConnectionFailed(text, api=api, broker=self.address, sent=sent)
        return self._transport

    # -- called by asyncio --------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> FrameReader:
        """Where the next bytes go."""
        return self._reader

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes have come."""
        try:
            frames = self._reader.advance(nbytes)
        except FrameError as error:
            frames = error.frames
            self._take(frames)
            self._fail(f"the peer sent a frame that cannot be: {error} (does it speak another protocol?)")
            return
        self._take(frames)

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
        self._fail("the broker closed it" if exc is None else f"it broke: {_in_words(exc)}")
        self._lost.set()

    def _take(self, frames: list[Frame]) -> None:
        for frame in frames:
            correlation_id: int = _CORRELATION_ID.unpack_from(frame)[0]
            waiting = self._waiting.pop(correlation_id, None)
            if waiting is None:
                self._fail(f"an answer came that nobody asked for (correlation id {correlation_id})")
                return
            if not waiting[1].done():
                waiting[1].set_result(frame)

    def _fail(self, why: str) -> None:
        if self._failure is None:
            self._failure = why
        waiting, self._waiting = self._waiting, {}
        for api, future in waiting.values():
            if not future.done():
                text = f"the connection ended before the answer came: {self._failure}"
                error: ClientError = ConnectionFailed(text, api=api, broker=self.address, sent=True)
                future.set_exception(error)
                # Someone who stopped waiting does not look at it; that is no forgotten error.
                future.exception()
        self._writable.set()
        if self._transport is not None:
            self._transport.abort()


def format_address(host: str, port: int) -> str:
    """host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _in_words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused (no broker listens there)"
    if isinstance(error, ConnectionResetError):
        return "connection reset by the peer"
    if isinstance(error, OSError) and error.errno:
        name = errno.errorcode.get(error.errno, str(error.errno))
        return f"{os.strerror(error.errno)} ({name})"
    return str(error) or type(error).__name__
