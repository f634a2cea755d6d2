"""AddOffsetsToTxn (25): the partition of `__consumer_offsets` that has a group's offsets joins a transaction.

Versions 0 to 4. Below version 2 a fenced producer gets INVALID_PRODUCER_EPOCH.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.fenced import fenced_code
from fastlog.server.requests.registry import Answer, handles_later
from fastlog.server.requests.transactional import coordinator_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_FENCED_FROM: Final = 2


@handles_later(ApiKey.ADD_OFFSETS_TO_TXN)
def handle(
    ctx: RequestContext, request: AddOffsetsToTxnRequest, answer: Answer
) -> Coroutine[Any, Any, AddOffsetsToTxnResponse] | None:
    """Errors: those of AddPartitionsToTxn; COORDINATOR_NOT_AVAILABLE while there is no topic of groups."""
    partition = ctx.broker.groups.table.partition(request.group_id)
    if partition is None or not request.transactional_id:
        return _without_topic(ctx, request)

    def then(code: ErrorCode) -> None:
        answer(_response(ctx, code), () if code is ErrorCode.NONE else None)

    coordinator_of(ctx).begin_add(*_asked(request, partition), then)
    return None


async def _without_topic(ctx: RequestContext, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse:
    if not request.transactional_id:
        return _response(ctx, ErrorCode.INVALID_REQUEST)
    groups = ctx.broker.groups
    try:
        await groups.ensure_topic()
    except KafkaError:
        return _response(ctx, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    partition = groups.table.partition(request.group_id)
    if partition is None:
        return _response(ctx, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    return _response(ctx, await coordinator_of(ctx).add_partitions(*_asked(request, partition)))


def _asked(
    request: AddOffsetsToTxnRequest, partition: int
) -> tuple[str, tuple[int, int], frozenset[tuple[str, int]], int]:
    identity = request.producer_id, request.producer_epoch
    return request.transactional_id, identity, frozenset({(GROUP_METADATA_TOPIC, partition)}), 0


def _response(ctx: RequestContext, code: ErrorCode) -> AddOffsetsToTxnResponse:
    return AddOffsetsToTxnResponse(error_code=int(fenced_code(code, ctx.header.api_version, _FENCED_FROM)))
