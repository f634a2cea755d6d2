"""Transactions and producers: what coordinators and leaders know of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Final

from fastlog.client.admin import transactions as admin
from fastlog.client.admin.hanging_transactions import find_hanging_transactions
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.verbs.desk import Desk
from fastlog.verbs.pages import page_of
from fastlog.verbs.problems import Problem, TooMuch, problem_of
from fastlog.verbs.registry import verb
from fastlog.verbs.topics import Cursor, Limit, Pattern, TopicName, matcher, topic_info

__all__ = [
    "describe_producers",
    "describe_transaction",
    "find_hanging",
    "list_transactions",
]

_MOST_PARTITIONS: Final = 2000


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """A transactional id in brief."""

    transactional_id: str
    coordinator: int
    producer_id: int
    state: str


@dataclass(frozen=True, slots=True)
class TransactionPage:
    """Some of them; `errors` of brokers that could not be asked for theirs, by node id."""

    transactions: list[TransactionRow]
    next_cursor: str | None
    total: int
    errors: dict[str, Problem]


@dataclass(frozen=True, slots=True)
class PartitionName:
    """A partition."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class TransactionDescription:
    """What its coordinator knows of an id."""

    transactional_id: str
    state: str
    coordinator: int
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    start_time_ms: int | None
    duration_ms: int | None
    partitions: list[PartitionName]


@dataclass(frozen=True, slots=True)
class ProducerRow:
    """A producer that a partition's leader remembers; `start_offset` where it has a transaction open."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int | None
    last_sequence: int
    last_timestamp_ms: int
    start_offset: int | None


@dataclass(frozen=True, slots=True)
class ProducerList:
    """Producers of a topic; `errors` by partition."""

    producers: list[ProducerRow]
    errors: dict[str, Problem]


@dataclass(frozen=True, slots=True)
class HangingRow:
    """A transaction that no coordinator will end."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int | None
    last_sequence: int
    last_timestamp_ms: int
    start_offset: int | None
    duration_ms: int
    transactional_id: str | None


@dataclass(frozen=True, slots=True)
class HangingList:
    """Those of a topic; `errors` by partition."""

    transactions: list[HangingRow]
    errors: dict[str, Problem]


@verb("read")
async def list_transactions(
    desk: Desk,
    *,
    pattern: Pattern = None,
    states: Annotated[list[str] | None, "Only ids in these states, such as Ongoing."] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> TransactionPage:
    """Lists transactional ids of all brokers, with coordinator, producer and state."""
    wanted = matcher(pattern)
    found = await admin.list_transactions(desk.cluster, states=states or ())
    rows = [
        TransactionRow(row.transactional_id, row.coordinator, row.producer_id, row.state)
        for row in found.rows
        if wanted(row.transactional_id)
    ]
    shown, after = page_of(
        rows,
        lambda row: (row.transactional_id, row.transactional_id),
        kind="transactions",
        cursor=cursor,
        limit=limit,
    )
    errors = {str(node): problem_of(error) for node, error in found.errors.items()}
    return TransactionPage(shown, after, len(rows), errors)


@verb("read")
async def describe_transaction(
    desk: Desk, *, transactional_id: Annotated[str, "The id."]
) -> TransactionDescription:
    """Shows what is known of a transactional id: producer, state, and the partitions it has written."""
    found = (await admin.describe_transactions(desk.cluster, [transactional_id]))[transactional_id]
    if isinstance(found, ClientError):
        raise found
    now_ms = time.time_ns() // 1_000_000
    return TransactionDescription(
        transactional_id=found.transactional_id,
        state=found.state,
        coordinator=found.coordinator,
        producer_id=found.producer_id,
        producer_epoch=found.producer_epoch,
        timeout_ms=found.timeout_ms,
        start_time_ms=found.start_ms,
        duration_ms=None if found.start_ms is None else now_ms - found.start_ms,
        partitions=[PartitionName(topic, number) for topic, number in found.partitions],
    )


@verb("read")
async def describe_producers(
    desk: Desk,
    *,
    topic: TopicName,
    partitions: Annotated[list[int] | None, "Only these partitions."] = None,
) -> ProducerList:
    """Shows the producers that the leaders of a topic's partitions remember, open transactions included."""
    names = await _names(desk, topic, partitions)
    found = await admin.describe_producers(desk.cluster, names)
    rows: list[ProducerRow] = []
    errors: dict[str, Problem] = {}
    for name in names:
        states = found[name]
        if isinstance(states, ClientError):
            errors[str(name.partition)] = problem_of(states)
        else:
            rows += [_producer(name, state) for state in states]
    return ProducerList(rows, errors)


def _producer(name: TopicPartition, state: admin.ProducerState) -> ProducerRow:
    return ProducerRow(
        topic=name.topic,
        partition=name.partition,
        producer_id=state.producer_id,
        producer_epoch=state.producer_epoch,
        coordinator_epoch=state.coordinator_epoch,
        last_sequence=state.last_sequence,
        last_timestamp_ms=state.last_timestamp,
        start_offset=state.start_offset,
    )


@verb("read")
async def find_hanging(
    desk: Desk,
    *,
    topic: TopicName,
    partitions: Annotated[list[int] | None, "Only these partitions."] = None,
) -> HangingList:
    """Finds open transactions of a topic that no coordinator will end: readers wait there."""
    names = await _names(desk, topic, partitions)
    found = await find_hanging_transactions(desk.cluster, names)
    now_ms = time.time_ns() // 1_000_000
    rows = []
    for one in found.rows:
        row = _producer(one.partition, one.producer)
        rows.append(
            HangingRow(
                row.topic,
                row.partition,
                row.producer_id,
                row.producer_epoch,
                row.coordinator_epoch,
                row.last_sequence,
                row.last_timestamp_ms,
                row.start_offset,
                now_ms - row.last_timestamp_ms,
                one.transactional_id,
            )
        )
    return HangingList(rows, {str(name): problem_of(error) for name, error in found.errors.items()})


async def _names(desk: Desk, topic: str, partitions: list[int] | None) -> list[TopicPartition]:
    info = await topic_info(desk, topic)
    names = [item.name for item in info.partitions if partitions is None or item.index in partitions]
    if len(names) > _MOST_PARTITIONS:
        raise TooMuch(f"{len(names)} partitions are more than {_MOST_PARTITIONS}: name some")
    return names
