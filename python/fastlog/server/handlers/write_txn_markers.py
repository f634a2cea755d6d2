"""WriteTxnMarkers (27): a coordinator, or an administrator, tells this leader how transactions have ended.

Versions 0 to 2. Version 2 says under which protocol a transaction was (KIP-1228): from
`transaction.version` 2 on its epoch was raised for this end. Answered when all markers are written, and the
offsets that they commit can be seen (KAFKA-17507).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.completions import Marker, MarkerWriter, Outcomes
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.server.requests.transactional import parts_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_AT_ONCE: Final = 32
_LOT: Final = 32


@handles(ApiKey.WRITE_TXN_MARKERS)
async def handle(ctx: RequestContext, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse:
    """A code for each partition of each marker, as `MarkerWriter` has it."""
    writer = parts_of(ctx).writer
    response = WriteTxnMarkersResponse()
    markers = request.markers
    async for first in ctx.pace.each(range(0, len(markers), _AT_ONCE)):
        lot = markers[first : first + _AT_ONCE]
        response.markers += await asyncio.gather(*(_written(ctx, writer, marker) for marker in lot))
    return response


async def _written(
    ctx: RequestContext, writer: MarkerWriter, asked: WritableTxnMarker
) -> WritableTxnMarkerResult:
    outcomes = await writer.write(await ctx.pace.run(_marker(asked)))
    return await ctx.pace.run(_answer(asked, outcomes))


def _marker(asked: WritableTxnMarker) -> Steps[Marker]:
    partitions: dict[tuple[str, int], None] = {}
    for topic in asked.topics:
        for number, index in enumerate(topic.partition_indexes, start=1):
            partitions[topic.name, index] = None
            if not number % _LOT:
                yield
        yield
    return Marker(
        producer_id=asked.producer_id,
        epoch=asked.producer_epoch,
        commits=asked.transaction_result,
        coordinator_epoch=asked.coordinator_epoch,
        partitions=tuple(partitions),
        version=asked.transaction_version,
    )


def _answer(asked: WritableTxnMarker, outcomes: Outcomes) -> Steps[WritableTxnMarkerResult]:
    result = WritableTxnMarkerResult(asked.producer_id)
    for topic in asked.topics:
        rows: list[WritableTxnMarkerPartitionResult] = []
        result.topics.append(WritableTxnMarkerTopicResult(topic.name, rows))
        for number, index in enumerate(topic.partition_indexes, start=1):
            code = outcomes.get((topic.name, index), ErrorCode.UNKNOWN_SERVER_ERROR)
            rows.append(WritableTxnMarkerPartitionResult(index, int(code)))
            if not number % _LOT:
                yield
        yield
    return result
