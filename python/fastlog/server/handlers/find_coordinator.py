"""FindCoordinator (10): who coordinates a group or a transactional id. Versions 0 to 6.

This release has neither groups nor transactions: every key gets COORDINATOR_NOT_AVAILABLE, which clients
retry, and key types that Kafka does not know get INVALID_REQUEST. Several keys from version 4 on (KIP-699).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_BATCHED_FROM: Final = 4
_KEY_TYPES: Final = (0, 1, 2)
_NOWHERE: Final = -1


@handles(ApiKey.FIND_COORDINATOR)
def handle(ctx: RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    """One answer for all keys: there is no coordinator."""
    code, message = ErrorCode.COORDINATOR_NOT_AVAILABLE, "this release has no groups and no transactions"
    if request.key_type not in _KEY_TYPES:
        code, message = ErrorCode.INVALID_REQUEST, f"unknown key type {request.key_type}"
    if ctx.header.api_version < _BATCHED_FROM:
        return FindCoordinatorResponse(
            error_code=int(code), error_message=message, node_id=_NOWHERE, port=_NOWHERE
        )
    return FindCoordinatorResponse(
        coordinators=[
            Coordinator(key, _NOWHERE, "", _NOWHERE, int(code), message) for key in request.coordinator_keys
        ]
    )
