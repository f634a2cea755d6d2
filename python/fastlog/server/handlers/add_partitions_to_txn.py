"""AddPartitionsToTxn (24): partitions join a transaction, or are asked to be in it already.

Versions 0 to 5. Up to 3 a producer names the partitions of its one transaction; below version 2, when it is
fenced, it gets INVALID_PRODUCER_EPOCH. From 4 on brokers ask, for several transactions at once (KIP-890): to
verify, or to add what a Produce request of version 12 brings (5, the second protocol). One answer is given
when all of them are done.

Nothing is added when one partition cannot be: that one gets UNKNOWN_TOPIC_OR_PARTITION (for producers
TOPIC_AUTHORIZATION_FAILED if the topic is internal), the others OPERATION_NOT_ATTEMPTED.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from fastlog.coordination.topic_names import is_internal
from fastlog.coordination.transactions.state import EPOCH_BUMP_VERSION, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.server.requests.fenced import fenced_code
from fastlog.server.requests.registry import Answer, handles_later
from fastlog.server.requests.transactional import coordinator_of
from fastlog.server.requests.turns import at_once
from fastlog.wire import ApiKey
from fastlog.wire.messages.transactions import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_FENCED_FROM: Final = 2
_BATCHED_FROM: Final = 4
_RAISES_FROM: Final = 5
_TRANSACTIONS_AT_ONCE: Final = 32
_LOT: Final = 32
_FEW: Final = 60
"""So few partitions and topics are gone through at once."""

Codes = Mapping[TopicPartition, ErrorCode]


@handles_later(ApiKey.ADD_PARTITIONS_TO_TXN)
def handle(
    ctx: RequestContext, request: AddPartitionsToTxnRequest, answer: Answer
) -> Coroutine[Any, Any, AddPartitionsToTxnResponse] | None:
    """Errors for each partition: INVALID_REQUEST (an empty id), INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED,
    CONCURRENT_TRANSACTIONS, TRANSACTION_ABORTABLE (verified, and not in), and those of coordinators."""
    version = ctx.header.api_version
    if version >= _BATCHED_FROM:
        return _batched(ctx, request, version)
    one = AddPartitionsToTxnTransaction(
        transactional_id=request.v3_and_below_transactional_id,
        producer_id=request.v3_and_below_producer_id,
        producer_epoch=request.v3_and_below_producer_epoch,
        topics=request.v3_and_below_topics,
    )
    if sum([1 + len(topic.partitions) for topic in one.topics]) > _FEW:
        return _many(ctx, one, version)
    partitions, bad = at_once(_sort(ctx, one.topics, is_client=True))

    def then(code: ErrorCode) -> None:
        rows = at_once(_answer(one, fenced_code(code, version, _FENCED_FROM), bad))
        is_good = code is ErrorCode.NONE and not bad
        answer(AddPartitionsToTxnResponse(results_by_topic_v3_and_below=rows), () if is_good else None)

    if bad:
        then(ErrorCode.OPERATION_NOT_ATTEMPTED)
    else:
        identity = one.producer_id, one.producer_epoch
        coordinator_of(ctx).begin_add(one.transactional_id, identity, partitions, 0, then)
    return None


async def _many(
    ctx: RequestContext, asked: AddPartitionsToTxnTransaction, version: int
) -> AddPartitionsToTxnResponse:
    return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=await _answered(ctx, asked, version))


async def _batched(
    ctx: RequestContext, request: AddPartitionsToTxnRequest, version: int
) -> AddPartitionsToTxnResponse:
    response = AddPartitionsToTxnResponse()
    asked = request.transactions
    async for first in ctx.pace.each(range(0, len(asked), _TRANSACTIONS_AT_ONCE)):
        lot = asked[first : first + _TRANSACTIONS_AT_ONCE]
        results = await asyncio.gather(*(_answered(ctx, transaction, version) for transaction in lot))
        response.results_by_transaction += [
            AddPartitionsToTxnResult(transaction.transactional_id, rows)
            for transaction, rows in zip(lot, results, strict=True)
        ]
    return response


async def _answered(
    ctx: RequestContext, transaction: AddPartitionsToTxnTransaction, version: int
) -> list[AddPartitionsToTxnTopicResult]:
    partitions, bad = await ctx.pace.run(_sort(ctx, transaction.topics, version < _BATCHED_FROM))
    found: ErrorCode | Codes
    if bad and not transaction.verify_only:
        found = ErrorCode.OPERATION_NOT_ATTEMPTED
    else:
        found = await _decide(ctx, transaction, partitions, version)
    if isinstance(found, ErrorCode):
        found = fenced_code(found, version, _FENCED_FROM)
    return await ctx.pace.run(_answer(transaction, found, bad))


async def _decide(
    ctx: RequestContext,
    transaction: AddPartitionsToTxnTransaction,
    partitions: frozenset[TopicPartition],
    version: int,
) -> ErrorCode | Codes:
    name, identity = transaction.transactional_id, (transaction.producer_id, transaction.producer_epoch)
    coordinator = coordinator_of(ctx)
    if transaction.verify_only:
        return coordinator.verify_partitions(name, identity, partitions)
    client_version = EPOCH_BUMP_VERSION if version >= _RAISES_FROM else 0
    # A broker has begun a verification that the marker of the transaction before would end.
    waits = version < _BATCHED_FROM
    return await coordinator.add_partitions(name, identity, partitions, client_version, waits=waits)


def _sort(
    ctx: RequestContext, topics: list[AddPartitionsToTxnTopic], is_client: bool
) -> Steps[tuple[frozenset[TopicPartition], dict[TopicPartition, ErrorCode]]]:
    """All partitions, and the codes of those that cannot be added; a step is a lot of partitions."""
    partitions: set[TopicPartition] = set()
    bad: dict[TopicPartition, ErrorCode] = {}
    known = ctx.broker.cluster.topics
    for topic in topics:
        found = known.get(topic.name)
        # The name that all partitions of the topic share, if there is one.
        name, count = (topic.name, 0) if found is None else (found.name, len(found.partitions))
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if is_client and is_internal(topic.name):
            count, code = 0, ErrorCode.TOPIC_AUTHORIZATION_FAILED
        for number, index in enumerate(topic.partitions, start=1):
            partitions.add((name, index))
            if not 0 <= index < count:
                bad[name, index] = code
            if not number % _LOT:
                yield
        yield
    return frozenset(partitions), bad


def _answer(
    asked: AddPartitionsToTxnTransaction, found: ErrorCode | Codes, bad: Codes
) -> Steps[list[AddPartitionsToTxnTopicResult]]:
    answer: list[AddPartitionsToTxnTopicResult] = []
    for topic in asked.topics:
        rows: list[AddPartitionsToTxnPartitionResult] = []
        if topic.partitions or not asked.verify_only:
            answer.append(AddPartitionsToTxnTopicResult(topic.name, rows))
        for number, index in enumerate(topic.partitions, start=1):
            key = topic.name, index
            code = bad[key] if key in bad else found if isinstance(found, ErrorCode) else found[key]
            rows.append(AddPartitionsToTxnPartitionResult(index, int(code)))
            if not number % _LOT:
                yield
        yield
    return answer
