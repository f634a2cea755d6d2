"""Transactions: what coordinators know of ids, what leaders know of producers, and how to end one by hand
(KIP-664)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.admin.every_broker import ask_every_broker
from fastlog.client.admin.outcomes import Listing
from fastlog.client.admin.retries import each_alone
from fastlog.client.cluster import TRANSACTION, Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BadResponse, ClientError
from fastlog.client.leaders import Row, leader_requests
from fastlog.client.metadata import PartitionInfo, TopicPartition
from fastlog.wire import Request
from fastlog.wire.messages import describe_producers as producers
from fastlog.wire.messages import describe_transactions as descriptions
from fastlog.wire.messages import list_transactions as listings
from fastlog.wire.messages import txn_markers as markers
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

__all__ = [
    "STATES",
    "FencedProducer",
    "ProducerState",
    "TransactionDescription",
    "TransactionListing",
    "abort_transaction",
    "describe_producers",
    "describe_transactions",
    "fence_producers",
    "list_transactions",
]

STATES: Final = (
    *("Empty", "Ongoing", "PrepareCommit", "PrepareAbort"),
    *("CompleteCommit", "CompleteAbort", "PrepareEpochFence"),
)
_DURATION_SINCE: Final = 1
"""Version of ListTransactions that filters by time (KIP-994, Kafka 3.8)."""
_PATTERN_SINCE: Final = 2
"""Version of ListTransactions that filters by a pattern (KIP-1152, Kafka 4.1)."""
PartitionProducers = tuple["ProducerState", ...]


@dataclass(frozen=True, slots=True)
class TransactionListing:
    """A transactional id in brief."""

    transactional_id: str
    producer_id: int
    state: str
    coordinator: int


@dataclass(frozen=True, slots=True)
class TransactionDescription:
    """What its coordinator knows of an id. `start_ms` is since 1970, None while nothing was begun.

    `partitions` are those of an open transaction, or those that a decided one still owes a marker.
    """

    transactional_id: str
    state: str
    coordinator: int
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    start_ms: int | None
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class FencedProducer:
    """The identity of a transactional id after its producers were fenced."""

    producer_id: int
    producer_epoch: int


@dataclass(frozen=True, slots=True)
class ProducerState:
    """What a replica remembers of a producer. `last_timestamp` is of its last batch or marker, ms.

    `coordinator_epoch` is None before the first marker, `start_offset` outside of transactions.
    """

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp: int
    coordinator_epoch: int | None
    start_offset: int | None


async def list_transactions(
    cluster: Cluster,
    *,
    states: Sequence[str] = (),
    producer_ids: Iterable[int] = (),
    longer_than_ms: int | None = None,
    pattern: str | None = None,
) -> Listing[TransactionListing, int]:
    """Asks every live broker for the ids that it coordinates, filtered by all that is given.

    `longer_than_ms`: began more than so long ago; ids that have begun nothing are listed too. `pattern`: in
    RE2's syntax, for the whole id. VersionMismatch where a broker has no such filter.
    """
    body = listings.ListTransactionsRequest(
        state_filters=list(states),
        producer_id_filters=sorted(producer_ids),
        duration_filter=-1 if longer_than_ms is None else longer_than_ms,
        transactional_id_pattern=pattern,
    )
    lowest = _PATTERN_SINCE if pattern is not None else _DURATION_SINCE if longer_than_ms is not None else 0

    async def ask(node: int) -> list[TransactionListing]:
        answer = await cluster.request(body, listings.ListTransactionsResponse, node=node, lowest=lowest)
        check(answer.error_code, None, answer)
        return [
            TransactionListing(row.transactional_id, row.producer_id, row.transaction_state, node)
            for row in answer.transaction_states
        ]

    found, errors = await ask_every_broker(cluster, ask)
    listed = [row for rows in found.values() for row in rows]
    return Listing(tuple(sorted(listed, key=lambda row: row.transactional_id)), errors)


async def describe_transactions(
    cluster: Cluster, transactional_ids: Iterable[str]
) -> dict[str, TransactionDescription | ClientError]:
    """Asks the coordinator of each id; TRANSACTIONAL_ID_NOT_FOUND for those that it does not know."""

    async def one(name: str) -> TransactionDescription:
        body = descriptions.DescribeTransactionsRequest([name])
        answer = await cluster.coordinator_request(
            name, body, descriptions.DescribeTransactionsResponse, key_type=TRANSACTION
        )
        coordinator = await cluster.coordinator(name, key_type=TRANSACTION)
        for row in answer.transaction_states:
            if row.transactional_id == name:
                check(row.error_code, None, answer)
                return _description(row, coordinator)
        raise BadResponse("the answer leaves the id out", api=body.API, broker=answer.broker)

    return await each_alone(transactional_ids, one)


async def fence_producers(
    cluster: Cluster, transactional_ids: Iterable[str]
) -> dict[str, FencedProducer | ClientError]:
    """Aborts what is open of these ids; producers that have one now are fenced with their next request.

    As a new producer of the id would do it (KIP-98); gives the identity that the id has now.
    """

    async def one(name: str) -> FencedProducer:
        body = InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=cluster.answer_timeout_ms)
        deadline = Deadline.after(cluster.timeout_ms / 1000)
        while True:
            answer = await cluster.coordinator_request(
                name,
                body,
                InitProducerIdResponse,
                key_type=TRANSACTION,
                timeout_ms=int(deadline.remaining * 1000),
            )
            error = failure(answer.error_code, None, answer)
            if error is None:
                return FencedProducer(answer.producer_id, answer.producer_epoch)
            # CONCURRENT_TRANSACTIONS: what was open is being ended.
            if not error.retriable or not await deadline.pause():
                raise error

    return await each_alone(transactional_ids, one)


def _description(row: descriptions.TransactionState, coordinator: int) -> TransactionDescription:
    return TransactionDescription(
        transactional_id=row.transactional_id,
        state=row.transaction_state,
        coordinator=coordinator,
        producer_id=row.producer_id,
        producer_epoch=row.producer_epoch,
        timeout_ms=row.transaction_timeout_ms,
        start_ms=_known(row.transaction_start_time_ms),
        partitions=tuple(
            sorted(TopicPartition(topic.topic, number) for topic in row.topics for number in topic.partitions)
        ),
    )


async def describe_producers(
    cluster: Cluster, partitions: Iterable[TopicPartition], *, broker: int | None = None
) -> dict[TopicPartition, PartitionProducers | ClientError]:
    """The producers that the leader of each partition remembers, or the replica on `broker`."""
    wanted = [TopicPartition(*name) for name in dict.fromkeys(partitions)]
    if broker is None:
        return await leader_requests(
            cluster,
            wanted,
            lambda asked: _producers_of(info.name for info in asked),
            producers.DescribeProducersResponse,
            _producer_rows,
        )
    body = _producers_of(wanted)
    answer = await cluster.request(body, producers.DescribeProducersResponse, node=broker)
    found: dict[TopicPartition, PartitionProducers | ClientError] = {
        name: failure(code, None, answer) or states for name, code, states in _producer_rows(answer)
    }
    return each_of(wanted, found, answer)


def _producers_of(partitions: Iterable[TopicPartition]) -> producers.DescribeProducersRequest:
    topics: defaultdict[str, list[int]] = defaultdict(list)
    for name in partitions:
        topics[name.topic].append(name.partition)
    return producers.DescribeProducersRequest(
        topics=[producers.TopicRequest(name, numbers) for name, numbers in topics.items()]
    )


def _producer_rows(answer: producers.DescribeProducersResponse) -> Iterable[Row[PartitionProducers]]:
    for topic in answer.topics:
        for row in topic.partitions:
            states = tuple(
                ProducerState(
                    producer_id=state.producer_id,
                    producer_epoch=state.producer_epoch,
                    last_sequence=state.last_sequence,
                    last_timestamp=state.last_timestamp,
                    coordinator_epoch=_known(state.coordinator_epoch),
                    start_offset=_known(state.current_txn_start_offset),
                )
                for state in sorted(row.active_producers, key=lambda state: state.producer_id)
            )
            yield TopicPartition(topic.name, row.partition_index), row.error_code, states


async def abort_transaction(
    cluster: Cluster, partition: TopicPartition, producer_id: int, producer_epoch: int, coordinator_epoch: int
) -> None:
    """Has the leader append an abort marker, as the coordinator in that epoch would. Raises ClientError.

    The coordinator is not asked and hears nothing of it: it is for transactions that it does not know. The
    request is not sent again once it may have been carried out.
    """

    def build(asked: list[PartitionInfo]) -> Request:
        topics = [markers.WritableTxnMarkerTopic(info.topic, [info.index]) for info in asked]
        marker = markers.WritableTxnMarker(
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            transaction_result=False,
            topics=topics,
            coordinator_epoch=coordinator_epoch,
        )
        return markers.WriteTxnMarkersRequest([marker])

    def rows(answer: markers.WriteTxnMarkersResponse) -> Iterable[Row[None]]:
        for marker in answer.markers:
            for topic in marker.topics:
                for row in topic.partitions:
                    yield TopicPartition(topic.name, row.partition_index), row.error_code, None

    name = TopicPartition(*partition)
    found = await leader_requests(cluster, [name], build, markers.WriteTxnMarkersResponse, rows, repeat=False)
    outcome = found[name]
    if isinstance(outcome, ClientError):
        raise outcome


def _known(number: int) -> int | None:
    return None if number < 0 else number
