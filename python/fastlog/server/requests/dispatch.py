"""From a frame to its handler: the one place where API keys and versions are checked and failures are mapped.

| what comes in                                   | what happens                                             |
|-------------------------------------------------|----------------------------------------------------------|
| an API key that is not served                   | the connection is closed, as Kafka does                  |
| ApiVersions in a version that is too new        | error 35 in a version 0 body with its range (KIP-511)    |
| any other version out of range                  | the connection is closed                                 |
| bytes that are not the message they claim to be | the connection is closed                                 |
| a handler that fails                            | the true error code; closed where the API has no place,  |
|                                                 | and where a controller is to send again                  |
| a long request that nobody waits for any more   | it ends at the end of its turn, without an answer        |
| what the client may not have                    | is taken out, or the request refused (`access`)          |

Large requests are decoded, and all but the smallest answers encoded, in turns with other work (`turns`).
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Generator
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import MalformedRequest
from fastlog.server.memory.answer_memory import ROW_BYTES
from fastlog.server.observability.metrics import FAILED_AUTHENTICATION
from fastlog.server.quotas.meter import Meter, is_exempt
from fastlog.server.quotas.throttled_answers import metered, with_throttle
from fastlog.server.requests.context import RequestContext
from fastlog.server.requests.early_requests import EarlyRequests
from fastlog.server.requests.error_answers import error_code_of, error_response
from fastlog.server.requests.few_elements import has_few_elements
from fastlog.server.requests.loading import HandlerLoader
from fastlog.server.requests.logging_limits import LimitedLog
from fastlog.server.requests.registry import FROM_CONTROLLERS, EncodedResponse, SmallResponse
from fastlog.server.requests.response_errors import Errors, errors_in, errors_in_steps
from fastlog.server.requests.turns import Abandoned, Pace
from fastlog.wire import (
    ApiKey,
    MalformedMessage,
    decode_request,
    decode_request_in_steps,
    encode_response,
    encode_response_in_steps,
    response_type,
)
from fastlog.wire.messages.api_versions import ApiVersion, ApiVersionsResponse
from fastlog.wire.pieces import Encoded, Pieces

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.server.access.admission import Handle
    from fastlog.server.access.asking import Ask
    from fastlog.server.network.connection import Connection
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.requests.context import BrokerServices
    from fastlog.server.requests.registry import Registration
    from fastlog.wire import Request, RequestHeader, Response, Steps

_LOG: Final = logging.getLogger(__name__)
_CORRELATION_ID: Final = Struct(">i")
_API_VERSIONS: Final = ApiKey.API_VERSIONS.value

# Reasons that are part of normal life: no line at the level that operators read.
_QUIET: Final = frozenset({"idle", "shutdown", "half closed"})
# Larger frames are decoded in turns. This many bytes take less than a millisecond, whatever they hold.
_AT_ONCE_BYTES: Final = 4096
_FEW_STEPS: Final = 8
"""A step is an element or a lot of them: some hundred microseconds in all."""


class Dispatcher:
    """Hands frames to handlers, those of clients from `open` on. Never raises."""

    def __init__(self, services: BrokerServices) -> None:
        self._early: EarlyRequests | None = EarlyRequests()
        self._services = services
        self._registry = services.registry
        self.loader = HandlerLoader(services.registry)
        """Of handlers that have yet to be loaded."""
        self._requests = services.metrics.requests
        self._quotas = services.quotas.clients
        self._log = LimitedLog(_LOG, services.clock.monotonic)
        self._admit: Handle = self._handle
        if services.access is not None:
            from fastlog.server.access.admission import Admission  # with an authorizer alone

            outcomes = self._handle, self._finish, self._fail, self._abandon
            self._admit = Admission(services, services.access, *outcomes).admit

    def open(self) -> None:
        """Takes up what clients have asked, and will ask: the cluster is known."""
        early, self._early = self._early, None
        if early is not None:
            early.release(self.dispatch)

    def dispatch(self, frame: Frame, exchange: Exchange) -> None:
        """Starts the request in `frame`. Raises nothing."""
        if self._early is not None and self._early.hold(frame, exchange):
            return
        key = exchange.api_key
        registration = self._registry.get(key)
        try:
            if registration is None:
                exchange.close("unknown api key", key)
                return
            if registration.module is not None:
                self._services.turns.start(self._load(registration.module, frame, exchange))
                return
            self._requests[key] += 1
            if self._quotas.active and not is_exempt(exchange.session, key):
                self._begin_meter(frame, exchange)
            if not registration.min_version <= exchange.api_version <= registration.max_version:
                self._refuse_version(registration, exchange)
            elif len(frame) > registration.max_bytes:
                self._refuse_oversized(registration, exchange, len(frame))
            elif registration.frame_handler is not None:
                registration.frame_handler(self._services, frame, exchange)
            else:
                self._decode_and_handle(registration, frame, exchange)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail_start(registration, exchange, error)

    def _begin_meter(self, frame: Frame, exchange: Exchange) -> None:
        try:
            client_id = frame.client_id
        except MalformedRequest:
            # It is refused when it is decoded.
            return
        clock = self._services.clock.monotonic
        exchange.meter = Meter(self._quotas, clock, exchange.session, client_id, len(frame))

    async def _load(self, module: str, frame: Frame, exchange: Exchange) -> None:
        """Takes up a request whose handler has yet to be loaded."""
        try:
            await self.loader.load(module)
        except Exception as error:  # noqa: BLE001 - logged; the next request tries again
            self._give_up(exchange, error)
        else:
            if not exchange.is_lost:
                self.dispatch(frame, exchange)

    def _fail_start(self, registration: Registration | None, exchange: Exchange, error: Exception) -> None:
        if registration is None or registration.frame_handler is None:
            self._give_up(exchange, error)
        elif isinstance(error, MalformedRequest):
            what = f"{registration.api_key.name} version {exchange.api_version}"
            exchange.close("malformed request", f"{what}: {error}")
        else:
            self._fail(registration, exchange, error)

    def log_closed(self, connection: Connection, reason: str, detail: object) -> None:
        """Counts and, not too often, logs why a connection is cut."""
        metrics = self._services.metrics
        metrics.closed[reason] += 1
        if reason in FAILED_AUTHENTICATION:
            metrics.authentications[connection.session.listener.name, "failure"] += 1
        level = logging.DEBUG if reason in _QUIET else logging.WARNING
        text = "" if detail is None else f": {detail}"
        self._log.log(level, reason, "closing the connection from %s: %s%s", connection.session, reason, text)

    def log_refused(self, peer: str, reason: str) -> None:
        """The same for a connection that is not let in."""
        self._log.log(logging.WARNING, reason, "refusing a connection from %s: %s is reached", peer, reason)

    async def wait_tasks(self, seconds: float) -> None:
        """Waits for handlers that still run, at most so many seconds."""
        await self._services.turns.wait_tasks(seconds)

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

    def _refuse_oversized(self, registration: Registration, exchange: Exchange, size: int) -> None:
        code, what = registration.oversized, f"{registration.api_key.name} of {size} bytes"
        answer = response_type(registration.api_key)
        refusal = None if code is None else error_response(answer, exchange.api_version, code, what)
        if refusal is None:
            exchange.close("oversized request", what)
        else:
            self._answer(exchange, refusal)

    def _decode_and_handle(self, registration: Registration, frame: Frame, exchange: Exchange) -> None:
        pace = Pace(self._services.turns, exchange)
        if len(frame) > _AT_ONCE_BYTES:
            self._services.turns.start(self._decode_in_turns(registration, frame, exchange, pace))
            return
        try:
            header, request = decode_request(frame)
        except MalformedMessage as error:
            self._refuse_malformed(registration, exchange, error)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)
        else:
            self._admit(registration, exchange, pace, header, request)

    async def _decode_in_turns(
        self, registration: Registration, frame: Frame, exchange: Exchange, pace: Pace
    ) -> None:
        try:
            header, request = await pace.run(decode_request_in_steps(frame))
            self._admit(registration, exchange, pace, header, request)
        except MalformedMessage as error:
            self._refuse_malformed(registration, exchange, error)
        except Abandoned:
            self._abandon(exchange)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    def _refuse_malformed(self, registration: Registration, exchange: Exchange, error: Exception) -> None:
        exchange.close("malformed request", f"{registration.api_key.name}: {error}")

    def _handle(
        self,
        registration: Registration,
        exchange: Exchange,
        pace: Pace,
        header: RequestHeader,
        request: Request,
        ask: Ask | None = None,
    ) -> None:
        try:
            context = RequestContext(self._services, header, exchange.session, pace, ask)
            if registration.later_handler is not None:
                self._handle_later(registration, exchange, pace, context, request)
                return
            handling = registration.handle(context, request)
            if exchange.meter is not None:
                handling = exchange.meter.timed(handling)
            if registration.is_coroutine:
                self._services.turns.start(self._finish(registration, exchange, pace, handling))
            elif isinstance(handling, SmallResponse):
                small = handling.response
                if exchange.meter is not None:
                    small = metered(exchange, small)
                encoded = encode_response(small, exchange.api_version, exchange.correlation_id)
                self._reply(exchange, encoded, handling.errors)
            elif isinstance(handling, Generator):
                self._begin(registration, exchange, pace, handling)
            else:
                self._answer(exchange, handling)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    def _handle_later(
        self,
        registration: Registration,
        exchange: Exchange,
        pace: Pace,
        context: RequestContext,
        request: Request,
    ) -> None:
        answer = partial(self._answer_later, registration, exchange)
        assert registration.later_handler is not None  # noqa: S101 - by the caller
        rest = registration.later_handler(context, request, answer)
        if exchange.meter is not None:
            exchange.meter.stop()
        if rest is not None:
            self._services.turns.start(self._finish(registration, exchange, pace, rest))
        elif registration.lets_same:
            exchange.let_same()
        else:
            # It keeps what it needs, and weighs that.
            exchange.release()

    def _begin(
        self, registration: Registration, exchange: Exchange, pace: Pace, handling: Steps[Response]
    ) -> None:
        """Runs steps that return the answer. Most end after a few, and need none of what turns take."""
        try:
            for _ in range(_FEW_STEPS):
                next(handling)
        except StopIteration as end:
            response: Response = end.value
            if has_few_elements(response):
                self._answer(exchange, response)
                return
            steps = self._encode_in_steps(exchange, pace, response)
        else:
            steps = self._answer_in_steps(exchange, pace, handling)
        self._run(registration, exchange, pace, steps)

    def _answer_later(
        self,
        registration: Registration,
        exchange: Exchange,
        response: Response | Steps[Response],
        errors: Errors | None = None,
    ) -> None:
        try:
            if errors is not None:
                # Nearly all are small, and to ask whether one is a generator takes longer than this.
                small: Any = response
                if exchange.meter is not None:
                    small = metered(exchange, small)
                encoded = encode_response(small, exchange.api_version, exchange.correlation_id)
                self._reply(exchange, encoded, errors)
                return
            if isinstance(response, Generator):
                self._begin(registration, exchange, Pace(self._services.turns, exchange), response)
                return
            if has_few_elements(response):
                self._answer(exchange, response)
                return
            pace = Pace(self._services.turns, exchange)
            self._run(registration, exchange, pace, self._encode_in_steps(exchange, pace, response))
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    def _run(self, registration: Registration, exchange: Exchange, pace: Pace, steps: Steps[None]) -> None:
        """Runs steps that end with the answer: at once if they are few, else in turns."""
        if not pace.begin(steps):
            self._services.turns.start(self._finish(registration, exchange, pace, pace.run(steps)))

    async def _finish(
        self,
        registration: Registration,
        exchange: Exchange,
        pace: Pace,
        handling: Coroutine[Any, Any, Response | EncodedResponse | None],
    ) -> None:
        """Answers with what `handling` returns; nothing when it has answered itself."""
        try:
            response = await handling
            if isinstance(response, EncodedResponse):
                self._answer_encoded(exchange, response)
            elif response is not None:
                if has_few_elements(response):
                    self._answer(exchange, response)
                else:
                    await pace.run(self._encode_in_steps(exchange, pace, response))
                    # To free so many objects takes milliseconds: that is a turn of its own.
                    await self._services.turns.wait()
                    self._services.turns.over()
        except Abandoned:
            self._abandon(exchange)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            self._fail(registration, exchange, error)

    def _abandon(self, exchange: Exchange) -> None:
        if not exchange.is_lost:
            exchange.close("shutdown")

    def _answer(self, exchange: Exchange, response: Response) -> None:
        """Answers with a response that is known to be small."""
        if exchange.meter is not None or getattr(response, "throttle_time_ms", False):
            response = metered(exchange, response)
        encoded = encode_response(response, exchange.api_version, exchange.correlation_id)
        self._reply(exchange, encoded, errors_in(response, exchange.api_version))

    def _answer_in_steps(self, exchange: Exchange, pace: Pace, handling: Steps[Response]) -> Steps[None]:
        response = yield from pace.weigh(handling, ROW_BYTES)
        yield from self._encode_in_steps(exchange, pace, response)

    def _encode_in_steps(self, exchange: Exchange, pace: Pace, response: Response) -> Steps[None]:
        version = exchange.api_version
        if exchange.meter is not None or getattr(response, "throttle_time_ms", False):
            response = metered(exchange, response)
        encoded = yield from encode_response_in_steps(response, version, exchange.correlation_id, pace.grow)
        errors = yield from errors_in_steps(response, version)
        self._reply(exchange, encoded, errors)

    def _answer_encoded(self, exchange: Exchange, response: EncodedResponse) -> None:
        correlation_id = _CORRELATION_ID.pack(exchange.correlation_id)
        frame = response.frame
        # The pieces but for the first are shared by all who ask the same.
        start, *others = (frame,) if isinstance(frame, bytes) else frame.pieces
        view = memoryview(start)
        rest: bytes | memoryview = view[8:]
        if exchange.meter is not None and (wait := exchange.meter.answered()):
            rest = with_throttle(ApiKey(exchange.api_key), exchange.api_version, view[8:], wait)
            exchange.throttle(wait)
        start = b"".join((view[:4], correlation_id, rest))
        self._reply(exchange, Pieces((start, *others)) if others else start, response.errors)

    def _reply(self, exchange: Exchange, encoded: Encoded, errors: Errors) -> None:
        for code, count in errors:
            self._services.metrics.error(exchange.api_key, code, count)
        if not exchange.is_lost:
            exchange.reply(encoded)

    def _fail(self, registration: Registration, exchange: Exchange, error: Exception) -> None:
        try:
            self._answer_with(error, registration, exchange)
        except Exception as defect:  # noqa: BLE001 - logged
            self._give_up(exchange, defect)

    def _give_up(self, exchange: Exchange, error: Exception) -> None:
        """Cuts a connection whose request can neither be answered nor refused: it must not wait for good."""
        try:
            _LOG.error("a request with API key %d cannot be answered", exchange.api_key, exc_info=error)
        finally:
            if not exchange.is_lost:
                exchange.close("failed request", error)

    def _answer_with(self, error: Exception, registration: Registration, exchange: Exchange) -> None:
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
        if registration.api_key in FROM_CONTROLLERS:
            # It would take any answer for done, and the change for made: unanswered, it sends again.
            exchange.close("failed request", f"{name}: {code.name}")
            return
        response = error_response(response_type(registration.api_key), exchange.api_version, code, message)
        if response is None:
            exchange.close("failed request", f"{name}: {code.name}")
        else:
            if exchange.meter is not None:
                response = metered(exchange, response)
            exchange.reply(encode_response(response, exchange.api_version, exchange.correlation_id))
