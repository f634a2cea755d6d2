"""A broker that says what the test wants: a socket server with a scripted answer per request."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from fastlog.wire import (
    API_VERSIONS,
    ApiKey,
    Request,
    Response,
    UnsupportedVersion,
    decode_request,
    encode_response,
)
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.api_versions import ApiVersion, ApiVersionsResponse
from fastlog.wire.messages.metadata import MetadataResponse, MetadataResponseBroker

Answer = Response | bytes | None
"""A message; raw bytes to send as they are (length prefix included); None for silence."""
Script = Callable[[RequestHeader, Request], Answer | Awaitable[Answer]]


class Hangup(Exception):
    """Raised by a script to have the connection closed."""


class FakeBroker:
    """Listens on a free port. `script` is asked for every request but ApiVersions and bare Metadata.

    A connection's requests are answered one after the other, as Kafka does; with `concurrent` each in a task
    of its own, so that a script can answer out of order. `requests` collects (header, message) of all.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        versions: Mapping[int, tuple[int, int]] | None = None,
        node_id: int = 1,
        advertised: tuple[str, int] | None = None,
        concurrent: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self.concurrent = concurrent
        self.script = script
        self.versions = dict(API_VERSIONS if versions is None else versions)
        self.node_id = node_id
        self.advertised = advertised
        self.requests: list[tuple[RequestHeader, Request]] = []
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens, on the same port as before when it was stopped."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the port and every connection."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def asked(self, key: ApiKey) -> list[Request]:
        """The requests of one API so far."""
        return [request for _, request in self.requests if request.API is key]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                (length,) = struct.unpack(">i", await reader.readexactly(4))
                reply = self._reply(await reader.readexactly(length), writer)
                if self.concurrent:
                    self._spawn(reply)
                else:
                    await reply
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, Hangup):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, payload: bytes, writer: asyncio.StreamWriter) -> None:
        key, version, correlation_id = struct.unpack_from(">hhi", payload)
        try:
            header, request = decode_request(payload)
        except UnsupportedVersion:
            header = None
        low, high = self.versions.get(key, (0, -1))
        if header is None or not low <= version <= high:
            assert key == ApiKey.API_VERSIONS, f"API {key} version {version} was not offered"
            old = ApiVersionsResponse(error_code=35, api_keys=[ApiVersion(key, low, high)])
            writer.write(encode_response(old, 0, correlation_id))
            return
        self.requests.append((header, request))
        try:
            answer = await self._answer(header, request)
        except Hangup:
            writer.transport.abort()
            if self.concurrent:
                return
            raise
        if isinstance(answer, Response):
            answer = encode_response(answer, version, correlation_id)
        if answer is not None and not writer.transport.is_closing():
            writer.write(answer)

    async def _answer(self, header: RequestHeader, request: Request) -> Answer:
        if request.API is ApiKey.API_VERSIONS:
            rows = [ApiVersion(key, low, high) for key, (low, high) in self.versions.items()]
            return ApiVersionsResponse(api_keys=rows)
        answer = None if self.script is None else self.script(header, request)
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer is None and request.API is ApiKey.METADATA:
            return self.metadata()
        return answer

    def metadata(self) -> MetadataResponse:
        """Metadata with this broker alone, as the controller."""
        host, port = self.advertised or ("127.0.0.1", self.port)
        broker = MetadataResponseBroker(node_id=self.node_id, host=host, port=port)
        return MetadataResponse(brokers=[broker], controller_id=self.node_id, cluster_id="fake")
