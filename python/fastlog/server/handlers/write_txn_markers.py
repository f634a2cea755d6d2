"""WriteTxnMarkers (27): a coordinator, or an administrator, tells this leader how transactions have ended.

Versions 0 to 2. Version 2 says under which protocol a transaction was (KIP-1228): from
`transaction.version` 2 on its epoch was raised for this end. Answered when all markers are written, and the
offsets that they commit can be seen (KAFKA-17507): once for each producer id, as Kafka does it, and only what
has partitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.completions import Marker, Outcomes
from fastlog.coordination.transactions.state import TopicPartition
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

Results = dict[int, dict[TopicPartition, ErrorCode]]
"""By producer id."""


@handles(ApiKey.WRITE_TXN_MARKERS)
async def handle(ctx: RequestContext, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse:
    """A code for each partition of each marker, as `MarkerWriter` has it."""
    writer = parts_of(ctx).writer
    results: Results = {}
    markers = request.markers
    async for first in ctx.pace.each(range(0, len(markers), _AT_ONCE)):
        lot = markers[first : first + _AT_ONCE]
        decoded = [await ctx.pace.run(_marker(marker)) for marker in lot]
        for marker, outcomes in zip(decoded, await writer.write(decoded), strict=True):
            await ctx.pace.run(_take(results, marker, outcomes))
    return await ctx.pace.run(_answer(results))


def _marker(asked: WritableTxnMarker) -> Steps[Marker]:
    partitions: dict[TopicPartition, None] = {}
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


def _take(results: Results, marker: Marker, outcomes: Outcomes) -> Steps[None]:
    if not marker.partitions:
        return
    found = results.setdefault(marker.producer_id, {})
    for number, key in enumerate(marker.partitions, start=1):
        found[key] = outcomes.get(key, ErrorCode.UNKNOWN_SERVER_ERROR)
        if not number % _LOT:
            yield


def _answer(results: Results) -> Steps[WriteTxnMarkersResponse]:
    response = WriteTxnMarkersResponse()
    for producer_id, found in results.items():
        result = WritableTxnMarkerResult(producer_id)
        response.markers.append(result)
        by_topic: dict[str, list[WritableTxnMarkerPartitionResult]] = {}
        for number, ((topic, index), code) in enumerate(found.items(), start=1):
            if topic not in by_topic:
                by_topic[topic] = []
                result.topics.append(WritableTxnMarkerTopicResult(topic, by_topic[topic]))
            by_topic[topic].append(WritableTxnMarkerPartitionResult(index, int(code)))
            if not number % _LOT:
                yield
        yield
    return response
