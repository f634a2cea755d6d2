"""From a frame to its handler: the one place where API keys and versions are checked and failures are mapped.

| what comes in                                   | what happens                                             |
|-------------------------------------------------|----------------------------------------------------------|
| an API key that is not served                   | the connection is closed, as Kafka does                  |
| ApiVersions in a version that is too new        | error 35 in a version 0 body with its range (KIP-511)    |
| any other version out of range                  | the connection is closed                                 |
| bytes that are not the message they claim to be | the connection is closed                                 |
| a handler that fails                            | the true error code; closed where the API has no place   |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import MalformedRequest
from fastlog.server.context import RequestContext
from fastlog.server.errors import error_code_of, error_response
from fastlog.server.logging_limits import LimitedLog
from fastlog.server.registry import EncodedResponse
from fastlog.wire import ApiKey, MalformedMessage, decode_request, encode_response, response_type
from fastlog.wire.messages.api_versions import ApiVersion, ApiVersionsResponse

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.server.connection import Connection
    from fastlog.server.context import BrokerServices
    from fastlog.server.exchange import Exchange
    from fastlog.server.registry import Registration
    from fastlog.wire import Response

_LOG: Final = logging.getLogger(__name__)
_CORRELATION_ID: Final = Struct(">i")
_API_VERSIONS: Final = ApiKey.API_VERSIONS.value

# Reasons that are part of normal life: no line at the level that operators read.
_QUIET: Final = frozenset({"idle", "shutdown", "half closed"})


class Dispatcher:
    """Hands frames to handlers. Never raises."""

    def __init__(self, services: BrokerServices) -> None:
        self._services = services
        self._registry = services.registry
        self._requests = services.metrics.requests
        self._log = LimitedLog(_LOG, services.clock.monotonic)
        self._tasks: set[asyncio.Task[None]] = set()

    def dispatch(self, frame: Frame, exchange: Exchange) -> None:
        """Starts the request in `frame`."""
        key = exchange.api_key
        registration = self._registry.get(key)
        if registration is None:
            exchange.close("unknown api key", key)
            return
        self._requests[key] += 1
        version = exchange.api_version
        if not registration.min_version <= version <= registration.max_version:
            self._refuse_version(registration, exchange)
        elif len(frame) > registration.max_bytes:
            exchange.close("oversized request", f"{registration.api_key.name} of {len(frame)} bytes")
        elif registration.frame_handler is not None:
            try:
                registration.frame_handler(self._services, frame, exchange)
            except MalformedRequest as error:
                exchange.close("malformed request", f"{registration.api_key.name} version {version}: {error}")
            except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
                self._fail(registration, exchange, error)
        else:
            self._decode_and_handle(registration, frame, exchange)

    def log_closed(self, connection: Connection, reason: str, detail: object) -> None:
        """Counts and, not too often, logs why a connection is cut."""
        self._services.metrics.closed[reason] += 1
        level = logging.DEBUG if reason in _QUIET else logging.WARNING
        text = "" if detail is None else f": {detail}"
        self._log.log(level, reason, "closing the connection from %s: %s%s", connection.peer, reason, text)

    def log_refused(self, peer: str, reason: str) -> None:
        """The same for a connection that is not let in."""
        self._log.log(logging.WARNING, reason, "refusing a connection from %s: %s is reached", peer, reason)

    async def wait_tasks(self, seconds: float) -> None:
        """Waits for handlers that still run, at most so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _refuse_version(self, registration: Registration, exchange: Exchange) -> None:
        if exchange.api_key != _API_VERSIONS:
            exchange.close(
                "unsupported version", f"{registration.api_key.name} version {exchange.api_version}"
            )
            return
        supported = ApiVersion(
            api_key=_API_VERSIONS,
            min_version=registration.min_version,
            max_version=registration.max_version,
        )
        body = ApiVersionsResponse(error_code=int(ErrorCode.UNSUPPORTED_VERSION), api_keys=[supported])
        self._services.metrics.error(exchange.api_key, body.error_code)
        exchange.reply(encode_response(body, 0, exchange.correlation_id))

    def _decode_and_handle(self, registration: Registration, frame: Frame, exchange: Exchange) -> None:
        services = self._services
        try:
            header, request = decode_request(frame)
        except MalformedMessage as error:
            exchange.close("malformed request", f"{registration.api_key.name}: {error}")
            return
        connection = exchange.connection
        context = RequestContext(services, header, connection.listener, connection.peer)
        if registration.is_coroutine:
            task = services.loop.create_task(
                self._finish(registration, exchange, registration.handle(context, request))
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            if registration.later_handler is not None:
                answer = partial(self._answer_later, registration, exchange)
                registration.later_handler(context, request, answer)
            else:
                self._answer(exchange, registration.handle(context, request))
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    def _answer_later(self, registration: Registration, exchange: Exchange, response: Response) -> None:
        try:
            self._answer(exchange, response)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    async def _finish(
        self, registration: Registration, exchange: Exchange, handling: Coroutine[Any, Any, Any]
    ) -> None:
        try:
            self._answer(exchange, await handling)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    def _answer(self, exchange: Exchange, response: Response | EncodedResponse) -> None:
        if isinstance(response, EncodedResponse):
            frame = bytearray(response.frame)
            _CORRELATION_ID.pack_into(frame, 4, exchange.correlation_id)
            encoded = bytes(frame)
            code = response.error_code
        else:
            encoded = encode_response(response, exchange.api_version, exchange.correlation_id)
            code = getattr(response, "error_code", 0)
        if code:
            self._services.metrics.error(exchange.api_key, code)
        if not exchange.is_lost:
            exchange.reply(encoded)

    def _fail(self, registration: Registration, exchange: Exchange, error: Exception) -> None:
        name = registration.api_key.name
        code = error_code_of(error)
        message = error.message if isinstance(error, KafkaError) else None
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            _LOG.error("%s version %d failed", name, exchange.api_version, exc_info=error)
        else:
            self._log.log(logging.WARNING, f"{name} {code.name}", "%s failed: %s: %s", name, code.name, error)
        self._services.metrics.error(exchange.api_key, int(code))
        if exchange.is_lost or exchange.answer is not None:
            return
        response = error_response(response_type(registration.api_key), exchange.api_version, code, message)
        if response is None:
            exchange.close("failed request", f"{name}: {code.name}")
        else:
            exchange.reply(encode_response(response, exchange.api_version, exchange.correlation_id))
