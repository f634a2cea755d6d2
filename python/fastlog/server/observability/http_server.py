"""A small HTTP/1.1 server for metrics and health, on the broker's own event loop.

It takes GET and HEAD, one request of a connection at a time, and bounds everything: the head of a request,
the time to send one, the time to take a piece of an answer and all of it, and the number of connections. When
there are too many, who only waits makes room for who comes: a probe must get its answer however many
connections are open. Long answers, which are taken as slowly as their reader likes, have a few places of
their own: what is left over can always make room.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Mapping
from contextlib import aclosing
from dataclasses import field, replace
from http import HTTPStatus
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.server.observability.http_access import NOT_ALLOWED
from fastlog.server.observability.http_head import (
    HEAD_END,
    MAX_HEAD_BYTES,
    HttpRefusal,
    HttpRequest,
    parse_head,
)
from fastlog.server.observability.http_hosts import UNKNOWN_HOST

__all__ = ["HttpLimits", "HttpResponse", "HttpServer"]

_LOG: Final = logging.getLogger(__name__)
_TEXT: Final = "text/plain; charset=utf-8"
_HEADERS_OF: Final[Mapping[HTTPStatus, Mapping[str, str]]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: {"Allow": "GET, HEAD"},
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
}
_WRITE_BUFFER: Final = 64 * 1024
# After a refusal: how long, and how much of what still comes is read and dropped.
_LINGER_SECONDS: Final = 1.0
_MOST_IGNORED: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds, and a number of connections. Prometheus keeps its connection between scrapes."""

    connections: int = 32
    long_answers: int = 8
    """Of these, how many may be given the answer of a long path. Less than all."""
    idle_seconds: float = 90.0
    head_seconds: float = 10.0
    send_seconds: float = 10.0
    answer_seconds: float = 30.0
    """How long an answer may take in all: no scraper waits for longer."""
    stalled_seconds: float = 1.0
    """How long its reader may take nothing when another wants the place of a long answer."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer. A `body` that is a generator is sent piece by piece as it comes."""

    status: HTTPStatus
    body: bytes | AsyncGenerator[bytes, None]
    content_type: str = _TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


@dataclass(slots=True)
class _Place:
    """One connection. `since` is when it began to wait for a request, or to be answered (loop time)."""

    writer: asyncio.StreamWriter
    since: float
    answering: bool = False
    long: bool = False
    stalled_since: float | None = None
    """Since when its reader has taken nothing."""
    leaving: bool = False


class HttpServer:
    """Serves `handler` from `start` to `close`.

    Answers of `long_paths` take their time. The others must be made without waiting for anything. Requests
    that are not `is_for_us` are refused; those whom `allows` does not let see everything (it is told whether
    they show a certificate) get the `open_paths` alone.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits | None = None,
        long_paths: Container[str] = (),
        is_for_us: Callable[[HttpRequest], bool] = lambda request: True,
        allows: Callable[[HttpRequest, bool], bool] = lambda request, shows_certificate: True,
        open_paths: Container[str] = (),
    ) -> None:
        self._is_for_us = is_for_us
        self._allows = allows
        self._open_paths = open_paths
        self._tls: ssl.SSLContext | None = None
        self._handler = handler
        self._long_paths = long_paths
        self._limits = limits or HttpLimits()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Place] = {}

    @property
    def connections(self) -> int:
        """Open connections."""
        return sum(not place.leaving for place in self._connections.values())

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Takes the address (an empty host: all interfaces) and serves; returns it. Raises OSError."""
        self._tls = tls
        self._server = await asyncio.start_server(
            self._accept, host or None, port, limit=MAX_HEAD_BYTES, backlog=32
        )
        address = self._server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def close(self) -> None:
        """Stops serving and cuts what is open."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        if self.connections >= self._limits.connections and not self._make_room(loop.time()):
            writer.transport.abort()
            return
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        place = _Place(writer, loop.time())
        task = loop.create_task(self._serve(reader, place), name="fastlog-http")
        self._connections[task] = place
        task.add_done_callback(self._forget)

    def _make_room(self, now: float) -> bool:
        """Ends whoever has waited longest for a request, or else whoever does not take an answer.

        A short answer is in the socket at once, unless its reader has not taken the ones before.
        """
        patience = self._limits.answer_seconds
        candidates = [
            (place.answering, place.since, index, task, place)
            for index, (task, place) in enumerate(self._connections.items())
            if not place.leaving
            and (
                not place.answering
                or now - place.since > patience
                or (not place.long and place.stalled_since is not None)
            )
        ]
        if not candidates:
            return False
        *_, task, place = min(candidates)
        _leave(task, place)
        return True

    def _room_for_long(self, now: float) -> bool:
        """Whether another long answer may begin: one whose reader has stalled for longest makes room."""
        long = [item for item in self._connections.items() if item[1].long and not item[1].leaving]
        if len(long) < self._limits.long_answers:
            return True
        stalled = [
            (place.stalled_since, index, task, place)
            for index, (task, place) in enumerate(long)
            if place.stalled_since is not None and now - place.stalled_since > self._limits.stalled_seconds
        ]
        if not stalled:
            return False
        *_, task, place = min(stalled)
        _leave(task, place)
        return True

    def _forget(self, task: asyncio.Task[None]) -> None:
        writer = self._connections.pop(task).writer
        # Whatever is unsent at the end of a cancelled or failed exchange would never be whole.
        if task.cancelled() or task.exception() is not None:
            writer.transport.abort()
        else:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, place: _Place) -> None:
        writer = place.writer
        try:
            if self._tls is not None:
                # By then it has its place: who never ends a handshake makes room as others do.
                async with asyncio.timeout(self._limits.head_seconds):
                    await writer.start_tls(self._tls)
            while await self._exchange(reader, place):
                pass
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            _LOG.debug("a connection to the metrics port ends: %r", error)
            writer.transport.abort()
        except Exception:  # noqa: BLE001 - one request, not the broker
            _LOG.exception("an answer on the metrics port was cut short")
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, place: _Place) -> bool:
        """One request and its answer; whether another may follow."""
        limits, now = self._limits, asyncio.get_running_loop().time
        place.since, place.answering = now(), False
        # What was sent ahead would be read without a pause: others have their turn first.
        await asyncio.sleep(0)
        async with asyncio.timeout(limits.idle_seconds):
            first = await reader.read(1)
        if not first:
            return False
        try:
            async with asyncio.timeout(limits.head_seconds):
                head = first + await reader.readuntil(HEAD_END)
            request = parse_head(head)
            if not self._is_for_us(request):
                raise HttpRefusal(HTTPStatus.MISDIRECTED_REQUEST, UNKNOWN_HOST)
            if not self._allows(request, bool(place.writer.get_extra_info("peercert"))):
                if request.path not in self._open_paths:
                    raise HttpRefusal(HTTPStatus.UNAUTHORIZED, NOT_ALLOWED)
                request = replace(request, sees_all=False)
        except asyncio.LimitOverrunError:
            refusal = HttpRefusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large")
            await self._refuse(reader, place, refusal)
            return False
        except HttpRefusal as refusal:
            await self._refuse(reader, place, refusal)
            return False
        place.since, place.answering = now(), True
        if request.path not in self._long_paths:
            return await self._answer(place, request)
        if not self._room_for_long(now()):
            full = HttpRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many others are being answered")
            await self._refuse(reader, place, full)
            return False
        place.long = True
        try:
            async with asyncio.timeout(limits.answer_seconds):
                return await self._answer(place, request)
        finally:
            place.long = False

    async def _answer(self, place: _Place, request: HttpRequest) -> bool:
        try:
            response = await self._handler(request)
        except Exception:  # noqa: BLE001 - answered, and logged
            _LOG.exception("%s cannot be answered", request.path)
            response = HttpResponse(HTTPStatus.INTERNAL_SERVER_ERROR, b"a defect, see the broker's log\n")
        if isinstance(response.body, bytes):
            return await self._send(place, request, response, response.body)
        async with aclosing(response.body) as body:
            return await self._send_pieces(place, request, response, body)

    async def _refuse(self, reader: asyncio.StreamReader, place: _Place, refusal: HttpRefusal) -> None:
        headers = _HEADERS_OF.get(refusal.status, {})
        body = f"{refusal.reason}\n".encode()
        response = HttpResponse(refusal.status, body, headers=headers)
        place.writer.write(_head(response, close=True, length=len(body)) + body)
        await self._drain(place)
        if place.writer.can_write_eof():
            place.writer.write_eof()
        # To close with bytes unread would reset the connection, and the peer might never see the answer.
        # Meanwhile it makes room as one that waits for a request does.
        place.answering = False
        left = _MOST_IGNORED
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0 and (piece := await reader.read(left)):
                left -= len(piece)

    async def _send(self, place: _Place, request: HttpRequest, response: HttpResponse, body: bytes) -> bool:
        head = _head(response, close=not request.keep_alive, length=len(body))
        place.writer.write(head + body if request.method != "HEAD" else head)
        await self._drain(place)
        return request.keep_alive

    async def _send_pieces(
        self, place: _Place, request: HttpRequest, response: HttpResponse, body: AsyncGenerator[bytes, None]
    ) -> bool:
        writer, chunked = place.writer, request.chunks_allowed
        keep_alive = request.keep_alive and chunked
        writer.write(_head(response, close=not keep_alive, length=None, chunked=chunked))
        if request.method != "HEAD":
            async for piece in body:
                if piece:
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    await self._drain(place)
            if chunked:
                writer.write(b"0\r\n\r\n")
        await self._drain(place)
        return keep_alive

    async def _drain(self, place: _Place) -> None:
        place.stalled_since = asyncio.get_running_loop().time()
        async with asyncio.timeout(self._limits.send_seconds):
            await place.writer.drain()
        place.stalled_since = None


def _leave(task: asyncio.Task[None], place: _Place) -> None:
    place.leaving = True
    task.cancel()


def _head(response: HttpResponse, *, close: bool, length: int | None, chunked: bool = False) -> bytes:
    status = response.status
    headers = {
        "Content-Type": response.content_type,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **response.headers,
    }
    if length is not None:
        headers["Content-Length"] = str(length)
    elif chunked:
        headers["Transfer-Encoding"] = "chunked"
    if close:
        headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode("latin-1")
