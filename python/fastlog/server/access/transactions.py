"""Guards of the APIs of producers and their transactions."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_names import is_internal
from fastlog.errors import ErrorCode
from fastlog.server.access.gate import (
    LOT,
    Outcome,
    Part,
    Refused,
    by_name,
    code_of,
    given,
    guards,
    needs,
    on_cluster,
    refused,
    without,
)
from fastlog.server.access.topics import rows_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TransactionState,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from fastlog.wire.messages.transactions import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

if TYPE_CHECKING:
    from fastlog.server.access.asking import Ask
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Response, Steps

_NAME: Final = attrgetter("name")
_BATCHED_FROM: Final = 4


@guards(ApiKey.INIT_PRODUCER_ID)
def init_producer_id(ctx: RequestContext, ask: Ask, request: InitProducerIdRequest) -> Outcome:
    """Of a transactional id; without one, for whoever may write anything at all."""
    transactional, idempotent, any_topic = needs(request.API, 3)
    if request.transactional_id is not None:
        if ask.may(transactional.operation, transactional.resource, request.transactional_id):
            return None
        return refused(ctx, request.API, transactional)
    if on_cluster(ask, idempotent) or ask.may_any(any_topic.operation, any_topic.resource):
        return None
    return refused(ctx, request.API, any_topic)


@guards(ApiKey.ADD_PARTITIONS_TO_TXN)
def add_partitions_to_txn(
    ctx: RequestContext, ask: Ask, request: AddPartitionsToTxnRequest
) -> Steps[Outcome]:
    """Of producers up to version 3: when one partition is refused none is added. From there on of brokers."""
    transaction, need, among_brokers = needs(request.API, 3)
    if ctx.header.api_version >= _BATCHED_FROM:
        return None if on_cluster(ask, among_brokers) else refused(ctx, request.API, among_brokers)
    topics = request.v3_and_below_topics
    if not ask.may(transaction.operation, transaction.resource, request.v3_and_below_transactional_id):
        code = code_of(transaction)
        found = yield from _results(topics, dict.fromkeys((topic.name for topic in topics), code))
        return Refused(AddPartitionsToTxnResponse(results_by_topic_v3_and_below=found))
    # Internal topics nobody may write; the handler says so.
    asked = [topic for topic in topics if not is_internal(topic.name)]
    _, denied = yield from by_name(ask, need, asked, _NAME)
    if not denied:
        return None
    code = code_of(need)
    gone = {topic.name for topic in denied}
    known = ctx.broker.cluster.topics
    codes = {}
    for topic in topics:
        if topic.name in gone or is_internal(topic.name):
            codes[topic.name] = code
        elif topic.name in known:
            codes[topic.name] = int(ErrorCode.OPERATION_NOT_ATTEMPTED)
        else:
            codes[topic.name] = int(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    counts = {name: len(known[name].partitions) for name in codes if name in known and name not in gone}
    found = yield from _results(topics, codes, counts)
    return Refused(AddPartitionsToTxnResponse(results_by_topic_v3_and_below=found))


def _results(
    topics: Sequence[AddPartitionsToTxnTopic], codes: dict[str, int], counts: dict[str, int] | None = None
) -> Steps[list[AddPartitionsToTxnTopicResult]]:
    """A code for each partition by its topic; one that its topic has not (`counts`) is unknown."""
    most = {} if counts is None else counts

    def code(topic: str, index: int) -> int:
        is_there = topic not in most or 0 <= index < most[topic]
        return codes[topic] if is_there else int(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    return (
        yield from rows_of(
            list(topics),
            lambda topic, rows: AddPartitionsToTxnTopicResult(topic.name, rows),
            lambda topic: [
                AddPartitionsToTxnPartitionResult(index, code(topic.name, index))
                for index in topic.partitions
            ],
        )
    )


@guards(ApiKey.TXN_OFFSET_COMMIT)
def txn_offset_commit(_ctx: RequestContext, ask: Ask, request: TxnOffsetCommitRequest) -> Steps[Outcome]:
    """The transaction and the group first, then per partition."""
    transaction, group, need = needs(request.API, 3)
    refusing = None
    if not ask.may(transaction.operation, transaction.resource, request.transactional_id):
        refusing = transaction
    elif not ask.may(group.operation, group.resource, request.group_id):
        refusing = group
    if refusing is None:
        parts, code = (yield from by_name(ask, need, request.topics, _NAME)), code_of(need)
    elif request.topics:
        parts, code = ([], request.topics), code_of(refusing)
    else:
        return Refused(TxnOffsetCommitResponse())

    def row(topic: TxnOffsetCommitRequestTopic) -> TxnOffsetCommitResponseTopic:
        return TxnOffsetCommitResponseTopic(
            topic.name,
            [TxnOffsetCommitResponsePartition(each.partition_index, code) for each in topic.partitions],
        )

    return without(request, "topics", parts, TxnOffsetCommitResponse, "topics", row)


@guards(ApiKey.WRITE_TXN_MARKERS)
def write_txn_markers(_ctx: RequestContext, ask: Ask, request: WriteTxnMarkersRequest) -> Steps[Outcome]:
    """Of brokers, and of operators who end a hanging transaction."""
    operators, brokers = needs(request.API, 2)
    if on_cluster(ask, operators) or on_cluster(ask, brokers):
        return None
    code = code_of(brokers)
    answer = WriteTxnMarkersResponse()
    for marker in request.markers:
        topics = yield from rows_of(
            marker.topics,
            lambda topic, rows: WritableTxnMarkerTopicResult(topic.name, rows),
            lambda topic: [
                WritableTxnMarkerPartitionResult(index, code) for index in topic.partition_indexes
            ],
        )
        answer.markers.append(WritableTxnMarkerResult(marker.producer_id, topics))
        yield
    return Refused(answer)


@guards(ApiKey.DESCRIBE_TRANSACTIONS)
def describe_transactions(
    _ctx: RequestContext, ask: Ask, request: DescribeTransactionsRequest
) -> Steps[Outcome]:
    """Per id; topics that may not be described are left out."""
    need, topic = needs(request.API, 2)
    ids = list(dict.fromkeys(request.transactional_ids))
    allowed, denied = yield from by_name(ask, need, ids, str)
    code = code_of(need)

    def finish(response: Response | None) -> Steps[Response]:
        answer = given(response, DescribeTransactionsResponse)
        for state in answer.transaction_states:
            state.topics, _ = yield from by_name(ask, topic, state.topics, attrgetter("topic"))
            yield
        for name in denied:
            answer.transaction_states.append(TransactionState(error_code=code, transactional_id=name))
            yield
        return answer

    request.transactional_ids = allowed
    return Part(request if allowed else None, finish)


@guards(ApiKey.LIST_TRANSACTIONS)
def list_transactions(_ctx: RequestContext, ask: Ask, request: ListTransactionsRequest) -> Outcome:
    """Those that may be described."""
    (need,) = needs(request.API, 1)

    def finish(response: Response | None) -> Steps[Response]:
        answer = given(response, ListTransactionsResponse)
        seen = []
        for number, state in enumerate(answer.transaction_states, start=1):
            if ask.may(need.operation, need.resource, state.transactional_id):
                seen.append(state)
            if not number % LOT:
                yield
        answer.transaction_states = seen
        return answer

    return Part(request, finish)
