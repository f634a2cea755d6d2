"""What a listener with SASL does with frames until it is known who sends them, and when that has an end.

Before: ApiVersions once, then SaslHandshake, then tokens, in small frames; whatever else comes ends the
connection. After: everything, until the session expires (KIP-368). States and answers are those of
`SaslServerAuthenticator`.

| state    | takes                                                        | then                            |
|----------|--------------------------------------------------------------|---------------------------------|
| BEGIN    | ApiVersions (with a bad version again), SaslHandshake        | HANDSHAKE; RAW or TOKENS        |
| HANDSHAKE| SaslHandshake                                                | RAW (version 0) or TOKENS       |
| RAW      | bare tokens, each with its length                            | DONE                            |
| TOKENS   | SaslAuthenticate                                             | DONE                            |
| DONE     | everything; SaslHandshake where the session has an end       | TOKENS, for the same user       |
| FAILED   | nothing: the answer waits for a while, then the end          |                                 |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import Enum, auto
from struct import Struct
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.network.session import ANONYMOUS
from fastlog.server.requests.error_answers import error_response
from fastlog.server.security.sasl.mechanism import AuthenticationFailed, MakeServer, Server, Step
from fastlog.wire import ApiKey, MalformedMessage, decode_request, encode_response, response_type
from fastlog.wire.api_keys import API_VERSIONS
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.server.network.connection import Connection
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.network.session import Session

_API_VERSIONS: Final = ApiKey.API_VERSIONS.value
_HANDSHAKE: Final = ApiKey.SASL_HANDSHAKE.value
_AUTHENTICATE: Final = ApiKey.SASL_AUTHENTICATE.value
_SMALL: Final = 4096
"""More than any client's ApiVersions or SaslHandshake."""
_LENGTH: Final = Struct(">i")
_MIN_FRAME: Final = 8
_LEAST_PAUSE_SECONDS: Final = 1.0
"""Between two re-authentications."""
_USER: Final = "User:"
FAILED: Final = "failed authentication"
"""What such connections are counted under."""


class State(Enum):
    """See the module's text."""

    BEGIN = auto()
    HANDSHAKE = auto()
    RAW = auto()
    TOKENS = auto()
    DONE = auto()
    FAILED = auto()


class SaslState:
    """How far a connection is."""

    __slots__ = ("began", "is_again", "lives", "mechanism", "server", "state")

    def __init__(self) -> None:
        self.state = State.BEGIN
        self.mechanism = ""
        self.server: Server | None = None
        self.lives = False
        """Whether its session has an end."""
        self.is_again = False
        self.began = float("-inf")


class SaslGate:
    """Of one listener. `dispatch` takes what passes; `log` is told of failures; times in seconds."""

    def __init__(
        self,
        mechanisms: Mapping[str, MakeServer],
        max_reauth_ms: Mapping[str, int],
        frame_limits: tuple[int, int],
        dispatch: Callable[[Frame, Exchange], None],
        log: Callable[[Connection, str, object], None],
        failure_delay: Callable[[], float],
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._mechanisms = mechanisms
        self._max_reauth_ms = max_reauth_ms
        self._before, self._after = frame_limits
        self._pass = dispatch
        self._log = log
        self._failure_delay = failure_delay
        self._monotonic = monotonic
        self._now_ms = now_ms

    def dispatch(self, frame: Frame, exchange: Exchange) -> None:
        """Takes a frame. Raises nothing."""
        session = exchange.session
        if session.sasl is None:
            session.sasl = SaslState()
        sasl, key = session.sasl, exchange.api_key
        try:
            if sasl.state is State.DONE:
                if key not in (_HANDSHAKE, _AUTHENTICATE):
                    if session.expires_at is None or self._monotonic() < session.expires_at:
                        self._pass(frame, exchange)
                    else:
                        exchange.close("session expired")
                elif key == _HANDSHAKE and sasl.lives and len(frame) <= _SMALL:
                    self._again(frame, exchange, sasl)
                else:
                    self._pass(frame, exchange)
            else:
                self._take(frame, exchange, sasl)
        except MalformedMessage as error:
            exchange.close("malformed request", error)
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            exchange.close(FAILED, error)

    def _take(self, frame: Frame, exchange: Exchange, sasl: SaslState) -> None:
        """A frame of somebody who is not known yet."""
        key, state = exchange.api_key, sasl.state
        if state is State.RAW:
            self._raw(bytes(frame), exchange, sasl)
        elif state is State.TOKENS:
            if key == _AUTHENTICATE and len(frame) <= self._before:
                self._authenticate(frame, exchange, sasl)
            elif key == _AUTHENTICATE:
                # Of somebody who is known, and has large frames: a token is none of them.
                exchange.close(FAILED, "the token is too large")
            else:
                self._out_of_order(exchange)
        elif key == _HANDSHAKE and len(frame) <= _SMALL and state is not State.FAILED:
            self._shake_hands(frame, exchange, sasl)
        elif key == _API_VERSIONS and len(frame) <= _SMALL and state is State.BEGIN:
            low, high = API_VERSIONS[ApiKey.API_VERSIONS]
            if low <= exchange.api_version <= high:
                sasl.state = State.HANDSHAKE
            self._pass(frame, exchange)
        else:
            exchange.close("not authenticated", f"API key {key}")

    def _shake_hands(self, frame: Frame, exchange: Exchange, sasl: SaslState) -> None:
        low, high = API_VERSIONS[ApiKey.SASL_HANDSHAKE]
        if not low <= exchange.api_version <= high:
            exchange.close("unsupported version", f"SASL_HANDSHAKE version {exchange.api_version}")
            return
        _, request = decode_request(frame)
        assert isinstance(request, SaslHandshakeRequest)  # noqa: S101 - by its key
        answer = SaslHandshakeResponse(mechanisms=list(self._mechanisms))
        make = self._mechanisms.get(request.mechanism)
        is_other = sasl.is_again and request.mechanism != sasl.mechanism
        if make is None or is_other:
            answer.error_code = int(
                ErrorCode.SASL_AUTHENTICATION_FAILED if is_other else ErrorCode.UNSUPPORTED_SASL_MECHANISM
            )
            what = f"the mechanism {request.mechanism[:40]!r} is not offered"
            self._fail(exchange, encode_response(answer, exchange.api_version, exchange.correlation_id), what)
            return
        sasl.mechanism, sasl.server = request.mechanism, make()
        sasl.state = State.TOKENS if exchange.api_version else State.RAW
        if sasl.state is State.RAW:
            exchange.connection.reader.set_limits(0, self._before)
        exchange.reply(encode_response(answer, exchange.api_version, exchange.correlation_id))

    def _raw(self, token: bytes, exchange: Exchange, sasl: SaslState) -> None:
        """A token as it was before SaslAuthenticate: nobody is told why it fails."""
        try:
            step = self._step(token, exchange.session, sasl)
        except AuthenticationFailed as error:
            self._fail(exchange, None, error)
            return
        if step.user is not None:
            self._finish(exchange, sasl, step)
        exchange.reply(_LENGTH.pack(len(step.token)) + step.token)

    def _authenticate(self, frame: Frame, exchange: Exchange, sasl: SaslState) -> None:
        low, high = API_VERSIONS[ApiKey.SASL_AUTHENTICATE]
        version, correlation_id = exchange.api_version, exchange.correlation_id
        if not low <= version <= high:
            exchange.close("unsupported version", f"SASL_AUTHENTICATE version {version}")
            return
        _, request = decode_request(frame)
        assert isinstance(request, SaslAuthenticateRequest)  # noqa: S101 - by its key
        try:
            step = self._step(bytes(request.auth_bytes), exchange.session, sasl)
        except AuthenticationFailed as error:
            code = int(ErrorCode.SASL_AUTHENTICATION_FAILED)
            refusal = SaslAuthenticateResponse(error_code=code, error_message=str(error))
            self._fail(exchange, encode_response(refusal, version, correlation_id), error)
            return
        answer = SaslAuthenticateResponse(auth_bytes=step.token)
        if step.user is not None:
            answer.session_lifetime_ms = self._finish(exchange, sasl, step)
        exchange.reply(encode_response(answer, version, correlation_id))

    def _step(self, token: bytes, session: Session, sasl: SaslState) -> Step:
        if sasl.server is None:
            raise AuthenticationFailed("no mechanism was chosen")
        step = sasl.server.step(token)
        if step.expires_at is not None and step.expires_at <= self._now_ms():
            raise AuthenticationFailed("what was shown has expired")
        if step.user is not None and _USER + step.user == ANONYMOUS:
            # Operators let nobody's principal in from where nobody logs in; it is not to be had elsewhere.
            raise AuthenticationFailed("Authentication failed: nobody logs in by that name")
        if step.user is not None and sasl.is_again and _USER + step.user != session.principal:
            raise AuthenticationFailed(
                "Cannot change principals during re-authentication from "
                f"{session.principal.removeprefix(_USER)}: {step.user}"
            )
        return step

    def _finish(self, exchange: Exchange, sasl: SaslState, step: Step) -> int:
        """The peer is known; how long its session may last, in milliseconds, 0 without an end."""
        connection, session = exchange.connection, exchange.session
        session.principal = f"{_USER}{step.user}"
        session.by_token = step.by_token
        sasl.server = None
        sasl.state = State.DONE
        sasl.is_again = False
        limits = [self._max_reauth_ms.get(sasl.mechanism, 0)]
        if step.expires_at is not None:
            limits.append(step.expires_at - self._now_ms())
        lifetime = min((limit for limit in limits if limit > 0), default=0)
        sasl.lives = lifetime > 0
        session.expires_at = self._monotonic() + lifetime / 1000 if lifetime else None
        connection.reader.set_limits(_MIN_FRAME, self._after)
        connection.host.table.proved(connection)
        return lifetime

    def _again(self, frame: Frame, exchange: Exchange, sasl: SaslState) -> None:
        """The client shows once more who it is, for its session has an end."""
        now = self._monotonic()
        if now - sasl.began < _LEAST_PAUSE_SECONDS:
            self._pass(frame, exchange)
            return
        sasl.began = now
        sasl.is_again = True
        self._shake_hands(frame, exchange, sasl)

    def _out_of_order(self, exchange: Exchange) -> None:
        """A request while a token is due."""
        try:
            api_key = ApiKey(exchange.api_key)
            low, high = API_VERSIONS[api_key]
        except (ValueError, KeyError):
            exchange.close("unknown api key", exchange.api_key)
            return
        refusal = None
        if low <= exchange.api_version <= high:
            answer = response_type(api_key)
            refusal = error_response(answer, exchange.api_version, ErrorCode.ILLEGAL_SASL_STATE, None)
        encoded = (
            None
            if refusal is None
            else encode_response(refusal, exchange.api_version, exchange.correlation_id)
        )
        self._fail(exchange, encoded, f"{api_key.name} while a token is due")

    def _fail(self, exchange: Exchange, answer: bytes | None, why: object) -> None:
        """Answers, if at all, and closes, a while later: guessing is to take its time."""
        session = exchange.session
        if session.sasl is not None:
            session.sasl.state, session.sasl.server = State.FAILED, None
        session.principal = ANONYMOUS
        asyncio.get_running_loop().call_later(self._failure_delay(), _end, exchange, answer, self._log, why)


def _end(
    exchange: Exchange, answer: bytes | None, log: Callable[[Connection, str, object], None], why: object
) -> None:
    if exchange.is_lost:
        return
    if answer is None:
        exchange.close(FAILED, why)
        return
    log(exchange.connection, FAILED, why)
    exchange.reply(answer)
    exchange.connection.finish()
