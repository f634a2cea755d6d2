"""AddOffsetsToTxn (25): the partition of `__consumer_offsets` that has a group's offsets joins a transaction.

Versions 0 to 4. Below version 2 a fenced producer gets INVALID_PRODUCER_EPOCH.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.fenced import fenced_code
from fastlog.server.requests.registry import handles
from fastlog.server.requests.transactional import coordinator_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_FENCED_FROM: Final = 2


@handles(ApiKey.ADD_OFFSETS_TO_TXN)
async def handle(ctx: RequestContext, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse:
    """Errors: those of AddPartitionsToTxn; COORDINATOR_NOT_AVAILABLE while there is no topic of groups."""
    code = await _add(ctx, request)
    return AddOffsetsToTxnResponse(error_code=int(fenced_code(code, ctx.header.api_version, _FENCED_FROM)))


async def _add(ctx: RequestContext, request: AddOffsetsToTxnRequest) -> ErrorCode:
    if not request.transactional_id:
        return ErrorCode.INVALID_REQUEST
    groups = ctx.broker.groups
    try:
        await groups.ensure_topic()
    except KafkaError:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    partition = groups.table.partition(request.group_id)
    if partition is None:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    return await coordinator_of(ctx).add_partitions(
        request.transactional_id,
        (request.producer_id, request.producer_epoch),
        frozenset({(GROUP_METADATA_TOPIC, partition)}),
        0,
    )
