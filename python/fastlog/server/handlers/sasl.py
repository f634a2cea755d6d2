"""SaslHandshake (17), versions 0 and 1, and SaslAuthenticate (36), versions 0 to 2.

On listeners with SASL it is spoken before any handler is asked (`fastlog.server.network.sasl_gate`). What
comes here is from where nobody has to log in, or from who has: Kafka answers ILLEGAL_SASL_STATE and keeps the
connection (`KafkaApis.handleSaslHandshakeRequest`), and so does this broker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_CODE: Final = int(ErrorCode.ILLEGAL_SASL_STATE)


@handles(ApiKey.SASL_HANDSHAKE)
def shake_hands(_ctx: RequestContext, _request: SaslHandshakeRequest) -> SaslHandshakeResponse:
    """No mechanism is offered."""
    return SaslHandshakeResponse(error_code=_CODE)


@handles(ApiKey.SASL_AUTHENTICATE)
def authenticate(_ctx: RequestContext, _request: SaslAuthenticateRequest) -> SaslAuthenticateResponse:
    """No exchange of tokens is under way."""
    return SaslAuthenticateResponse(
        error_code=_CODE, error_message="this listener does not authenticate its clients"
    )
