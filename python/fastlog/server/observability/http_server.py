"""A small HTTP/1.1 server for metrics and health, on the broker's own event loop.

It takes GET and HEAD, one request of a connection at a time, and bounds everything: the head of a request,
the time to send one, the time to take a piece of an answer, and the number of connections. When there are too
many, who only waits makes room for who comes: a probe must get its answer however many connections are open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from fastlog.server.observability.http_head import (
    HEAD_END,
    MAX_HEAD_BYTES,
    HttpRefusal,
    HttpRequest,
    parse_head,
)

__all__ = ["HttpLimits", "HttpResponse", "HttpServer"]

_LOG: Final = logging.getLogger(__name__)
_TEXT: Final = "text/plain; charset=utf-8"
_WRITE_BUFFER: Final = 64 * 1024
# After a refusal: how long, and how much of what still comes is read and dropped.
_LINGER_SECONDS: Final = 1.0
_MOST_IGNORED: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds, and a number of connections. Prometheus keeps its connection between scrapes."""

    connections: int = 32
    idle_seconds: float = 90.0
    head_seconds: float = 10.0
    send_seconds: float = 10.0
    answer_seconds: float = 30.0
    """How long an answer may take when others want the place: no scraper waits for longer."""


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
    leaving: bool = False


class HttpServer:
    """Serves `handler` from `start` to `close`."""

    def __init__(self, handler: Handler, limits: HttpLimits | None = None) -> None:
        self._handler = handler
        self._limits = limits or HttpLimits()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Place] = {}

    @property
    def connections(self) -> int:
        """Open connections."""
        return sum(not place.leaving for place in self._connections.values())

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Takes the address (an empty host: all interfaces) and serves; returns it. Raises OSError."""
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
        """Ends whoever has waited longest for a request, or else whoever takes too long over an answer."""
        patience = self._limits.answer_seconds
        candidates = [
            (place.answering, place.since, index, task, place)
            for index, (task, place) in enumerate(self._connections.items())
            if not place.leaving and (not place.answering or now - place.since > patience)
        ]
        if not candidates:
            return False
        *_, task, place = min(candidates)
        place.leaving = True
        task.cancel()
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
            while await self._exchange(reader, place):
                pass
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
            _LOG.debug("a connection to the metrics port ends: %r", error)
            writer.transport.abort()
        except Exception:  # noqa: BLE001 - one request, not the broker
            _LOG.exception("an answer on the metrics port was cut short")
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, place: _Place) -> bool:
        """One request and its answer; whether another may follow."""
        limits, writer, now = self._limits, place.writer, asyncio.get_running_loop().time
        place.since, place.answering = now(), False
        async with asyncio.timeout(limits.idle_seconds):
            first = await reader.read(1)
        if not first:
            return False
        try:
            async with asyncio.timeout(limits.head_seconds):
                head = first + await reader.readuntil(HEAD_END)
            request = parse_head(head)
        except asyncio.LimitOverrunError:
            refusal = HttpRefusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large")
            await self._refuse(reader, writer, refusal)
            return False
        except HttpRefusal as refusal:
            await self._refuse(reader, writer, refusal)
            return False
        place.since, place.answering = now(), True
        try:
            response = await self._handler(request)
        except Exception:  # noqa: BLE001 - answered, and logged
            _LOG.exception("%s cannot be answered", request.path)
            response = HttpResponse(HTTPStatus.INTERNAL_SERVER_ERROR, b"a defect, see the broker's log\n")
        return await self._send(writer, request, response)

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refusal: HttpRefusal
    ) -> None:
        headers = {"Allow": "GET, HEAD"} if refusal.status is HTTPStatus.METHOD_NOT_ALLOWED else {}
        body = f"{refusal.reason}\n".encode()
        response = HttpResponse(refusal.status, body, headers=headers)
        writer.write(_head(response, close=True, length=len(body)) + body)
        await self._drain(writer)
        writer.write_eof()
        # To close with bytes unread would reset the connection, and the peer might never see the answer.
        left = _MOST_IGNORED
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0 and (piece := await reader.read(left)):
                left -= len(piece)

    async def _send(self, writer: asyncio.StreamWriter, request: HttpRequest, response: HttpResponse) -> bool:
        body = response.body
        with_body = request.method != "HEAD"
        if isinstance(body, bytes):
            head = _head(response, close=not request.keep_alive, length=len(body))
            writer.write(head + body if with_body else head)
            await self._drain(writer)
            return request.keep_alive
        chunked = request.chunks_allowed
        keep_alive = request.keep_alive and chunked
        writer.write(_head(response, close=not keep_alive, length=None, chunked=chunked))
        if with_body:
            async with aclosing(body):
                async for piece in body:
                    if piece:
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                        await self._drain(writer)
            if chunked:
                writer.write(b"0\r\n\r\n")
        await self._drain(writer)
        return keep_alive

    async def _drain(self, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._limits.send_seconds):
            await writer.drain()


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
