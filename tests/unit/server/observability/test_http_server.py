"""The HTTP server over real sockets: good clients, slow ones, and hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import pytest

from fastlog.server.observability.http_head import MAX_HEAD_BYTES, HttpRequest
from fastlog.server.observability.http_server import HttpLimits, HttpResponse, HttpServer

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(HTTPStatus.OK, f"hello {request.path}".encode())


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[HttpRequest], AsyncIterator[HttpResponse]] | object = hello,
    limits: HttpLimits | None = None,
    tls: ssl.SSLContext | None = None,
    **how: Any,
) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(handler, limits, **how)  # type: ignore[arg-type]
    _, port = await server.start("127.0.0.1", 0, tls)
    try:
        yield server, port
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer with a Content-Length: (status, headers, body)."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_requests_of_one_connection_are_answered_in_order() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(b"".join(GET.replace(b" / ", b" /%d " % number) for number in range(20)))
        for number in range(20):
            status, headers, body = await answer(reader)
            assert (status, body) == (200, b"hello /%d" % number)
            assert "connection" not in headers


async def test_head_has_no_body_and_close_closes() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(
            b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 8\r\n" in head
        status, headers, body = await answer(reader)
        assert (status, headers["connection"], body) == (200, "close", b"hello /y")
        assert await reader.read() == b""


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_pieces_are_sent_as_the_version_allows(version: bytes) -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield b""
        yield b"two"

    async def handler(_: HttpRequest) -> HttpResponse:
        return HttpResponse(HTTPStatus.OK, pieces())

    async with serving(handler) as (_, port), connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/%b\r\nHost: a\r\nConnection: close\r\n\r\n" % version)
        head, body = (await reader.read()).split(b"\r\n\r\n", 1)
        if version == b"1.1":
            assert b"Transfer-Encoding: chunked" in head
            assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        else:
            assert b"Transfer-Encoding" not in head
            assert body == b"onetwo"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (4 * MAX_HEAD_BYTES), 431),
        (b"x" * (4 * MAX_HEAD_BYTES), 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, 400),
        (b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
)
async def test_refusals_reach_the_client_and_end_the_connection(sent: bytes, status: int) -> None:
    async with serving() as (server, port):
        async with connected(port) as (reader, writer):
            writer.write(sent)
            got, headers, _ = await answer(reader)
            assert (got, headers["connection"]) == (status, "close")
            assert await reader.read() == b""
        await until(lambda: server.connections == 0)


async def test_a_refusal_does_not_reset_the_connection() -> None:
    """What still comes is taken in and dropped: a reset could overtake the answer."""
    loop = asyncio.get_running_loop()
    async with serving() as (server, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, b"x" * (4 * MAX_HEAD_BYTES))
            answered = b""
            while piece := await loop.sock_recv(client, 1000):
                answered += piece
            assert answered.startswith(b"HTTP/1.1 431 ")
            for _ in range(5):
                await loop.sock_sendall(client, b"x")
                await asyncio.sleep(0.02)
        await until(lambda: server.connections == 0)


async def test_a_defect_is_an_answer_too() -> None:
    async def broken(_: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    async with serving(broken) as (_, port), connected(port) as (reader, writer):
        writer.write(GET)
        assert (await answer(reader))[0] == 500


async def test_a_defect_amid_an_answer_cuts_it() -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise ZeroDivisionError

    async def handler(_: HttpRequest) -> HttpResponse:
        return HttpResponse(HTTPStatus.OK, pieces())

    async with serving(handler) as (server, port), connected(port) as (reader, writer):
        writer.write(GET)
        with contextlib.suppress(ConnectionError):
            assert not (await reader.read()).endswith(b"0\r\n\r\n")
        await until(lambda: server.connections == 0)


async def test_slow_senders_and_idle_ones_are_cut() -> None:
    limits = HttpLimits(idle_seconds=0.2, head_seconds=0.2)
    async with serving(limits=limits) as (server, port):
        for first in (b"", b"GET / HT"):
            async with connected(port) as (reader, writer):
                writer.write(first)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
        await until(lambda: server.connections == 0)


async def test_a_client_that_takes_nothing_is_cut() -> None:
    made = 0

    async def pieces() -> AsyncGenerator[bytes, None]:
        nonlocal made
        while True:
            made += 1
            yield bytes(65536)

    async def handler(_: HttpRequest) -> HttpResponse:
        return HttpResponse(HTTPStatus.OK, pieces())

    async with (
        serving(handler, HttpLimits(send_seconds=0.3)) as (server, port),
        connected(port) as (_, writer),
    ):
        writer.write(GET)
        await until(lambda: made > 0)
        await until(lambda: server.connections == 0)
        # What kernel buffers and ours hold, not what the generator would give.
        assert made < 1000


async def test_who_waits_longest_makes_room() -> None:
    """A probe gets its answer however many connections are open, and those are not more than allowed."""
    async with serving(limits=HttpLimits(connections=2)) as (server, port):
        async with connected(port) as (first, _), connected(port) as (second, writer):
            await until(lambda: server.connections == 2)
            # The second has asked since, so that the first has waited longer.
            writer.write(GET)
            assert (await answer(second))[0] == 200
            async with connected(port) as (probe, asking):
                asking.write(GET)
                assert (await answer(probe))[0] == 200
                assert server.connections == 2
                with contextlib.suppress(ConnectionError):
                    assert await first.read() == b""
                writer.write(GET)
                assert (await answer(second))[0] == 200
        await until(lambda: server.connections == 0)


@pytest.mark.parametrize(("patience", "refused"), [(600.0, True), (0.0, False)])
async def test_answers_under_way_make_room_when_they_take_too_long(patience: float, refused: bool) -> None:
    asked = 0

    async def handler(request: HttpRequest) -> HttpResponse:
        nonlocal asked
        asked += 1
        if request.path == "/slow":
            await asyncio.Event().wait()
        return HttpResponse(HTTPStatus.OK, b"")

    limits = HttpLimits(connections=2, answer_seconds=patience)
    async with (
        serving(handler, limits) as (server, port),
        connected(port) as (_, one),
        connected(port) as (
            _,
            two,
        ),
    ):
        for writer in (one, two):
            writer.write(GET.replace(b" / ", b" /slow "))
        await until(lambda: asked == 2)
        async with connected(port) as (reader, writer):
            writer.write(GET)
            if refused:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            else:
                assert (await answer(reader))[0] == 200
        await until(lambda: server.connections == (2 if refused else 1))


async def test_each_that_comes_has_another_make_room() -> None:
    async with serving() as (server, port), connected(port), connected(port):
        await until(lambda: server.connections == 2)
        # All amid one turn of the loop, in which those that leave are not gone yet.
        assert [server._make_room(0.0) for _ in range(3)] == [True, True, False]
        assert server.connections == 0


async def test_close_cuts_what_is_open() -> None:
    async with serving() as (server, port), connected(port) as (reader, _):
        await until(lambda: server.connections == 1)
        await server.close()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert server.connections == 0
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("path", [b"/", b"/livez", b"/metrics", b"http://evil.example/livez"])
async def test_a_request_for_somebody_else_is_refused(path: bytes) -> None:
    sent = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, b"a" if b"evil" in path else b"evil.example:9464")
    async with serving(is_for_us=lambda request: request.host == "a") as (server, port):
        async with connected(port) as (reader, writer):
            writer.write(sent)
            status, headers, body = await answer(reader)
            assert (status, headers["connection"]) == (421, "close")
            assert b"fastlog.http.allowed.hosts" in body
            assert await reader.read() == b""
        await until(lambda: server.connections == 0)


async def endless(request: HttpRequest) -> HttpResponse:
    async def pieces() -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(65536)

    if request.path == "/metrics":
        return HttpResponse(HTTPStatus.OK, pieces())
    return HttpResponse(HTTPStatus.OK, b"alive")


METRICS = GET.replace(b" / ", b" /metrics ")


async def test_slow_readers_of_long_answers_leave_room_for_short_ones() -> None:
    """Whatever they do: take nothing, send ahead, come again and again."""
    limits = HttpLimits(connections=4, long_answers=2)
    async with serving(endless, limits, long_paths=["/metrics"]) as (server, port):
        slow: list[asyncio.StreamWriter] = []
        for _ in range(12):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(METRICS * 20)
            slow.append(writer)
            async with connected(port) as (probe, asking):
                asking.write(GET)
                assert (await asyncio.wait_for(answer(probe), 20))[0] == 200
            assert sum(place.long for place in server._connections.values() if not place.leaving) <= 2
        for writer in slow:
            writer.close()


async def test_who_stalls_makes_room_for_another_long_answer() -> None:
    limits = HttpLimits(connections=4, long_answers=1, stalled_seconds=0.1)
    async with (
        serving(endless, limits, long_paths=["/metrics"]) as (server, port),
        connected(port) as (_, writer),
    ):
        writer.write(METRICS)
        await until(lambda: any(place.stalled_since for place in server._connections.values()))
        await asyncio.sleep(0.2)
        async with connected(port) as (reader, asking):
            asking.write(METRICS)
            assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)


async def test_without_room_a_long_answer_is_refused_at_once() -> None:
    limits = HttpLimits(long_answers=1, stalled_seconds=600)
    async with (
        serving(endless, limits, long_paths=["/metrics"]) as (server, port),
        connected(port) as (_, one),
    ):
        one.write(METRICS)
        await until(lambda: any(place.long for place in server._connections.values()))
        async with connected(port) as (reader, asking):
            asking.write(METRICS)
            assert (await answer(reader))[0] == 503


async def test_a_long_answer_has_an_end() -> None:
    """A reader that takes a little now and then keeps no place for ever."""
    limits = HttpLimits(answer_seconds=0.3)
    async with (
        serving(endless, limits, long_paths=["/metrics"]) as (server, port),
        connected(port) as (reader, one),
    ):
        one.write(METRICS)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        await until(lambda: server.connections == 0)


async def test_one_that_sends_ahead_and_takes_nothing_makes_room() -> None:
    async def large(request: HttpRequest) -> HttpResponse:
        return HttpResponse(HTTPStatus.OK, bytes(1 << 20) if request.path == "/x" else b"")

    async with serving(large, HttpLimits(connections=1)) as (server, port), connected(port) as (_, one):
        one.write(GET.replace(b" / ", b" /x ") * 50)
        await until(lambda: any(place.stalled_since for place in server._connections.values()))
        async with connected(port) as (reader, asking):
            asking.write(GET)
            assert (await answer(reader))[0] == 200
