"""UpdateMetadata (6): the controller says what brokers and partitions there are. Versions 0 to 8.

Before version 7 there are no topic ids: such a request, which no controller of Kafka 3.9 sends, is
refused with UNSUPPORTED_VERSION.

CLUSTER_AUTHORIZATION_FAILED on another listener than that of the brokers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import member_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest, UpdateMetadataResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_FROM: Final = 7


@handles(ApiKey.UPDATE_METADATA)
async def handle(ctx: RequestContext, request: UpdateMetadataRequest) -> UpdateMetadataResponse:
    """The answer comes when clients can see it."""
    member = member_of(ctx)
    if isinstance(member, ErrorCode):
        return UpdateMetadataResponse(error_code=int(member))
    if ctx.header.api_version < _FROM:
        return UpdateMetadataResponse(error_code=int(ErrorCode.UNSUPPORTED_VERSION))
    return await member.receiver.update_metadata(request)
