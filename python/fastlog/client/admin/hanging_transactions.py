"""Transactions that are open in a log and that no coordinator will end (KIP-664).

Of the producers that a replica has with an open transaction, those that wrote last within the longest
time-out are left out: their coordinators may still be about to end them. Of the others the coordinators are
asked by producer id. One hangs when no id has this producer, or its id's transaction does not have the
partition. It is looked for in the log once more after that: it may have been ended meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fastlog.client.admin.configs import ConfigResource, describe_configs
from fastlog.client.admin.outcomes import Listing
from fastlog.client.admin.transactions import (
    ProducerState,
    TransactionDescription,
    describe_producers,
    describe_transactions,
    list_transactions,
)
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.errors import ErrorCode

__all__ = ["OpenTransaction", "coordinated_id", "find_hanging", "find_hanging_transactions"]

_PARTITIONS_AT_ONCE: Final = 500
_IDS_AT_ONCE: Final = 500
_LIMIT: Final = "transaction.max.timeout.ms"


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """One in a log. `transactional_id` is that of the producer, None where no coordinator knows it."""

    partition: TopicPartition
    producer: ProducerState
    transactional_id: str | None = None


async def find_hanging(
    cluster: Cluster,
    partitions: Sequence[TopicPartition],
    *,
    max_timeout_ms: int,
    broker: int | None = None,
) -> Listing[OpenTransaction, TopicPartition]:
    """Looks through partitions, at their leaders or at the replicas on `broker`.

    `max_timeout_ms`: the longest time-out of transactions. Raises ClientError when a coordinator cannot be
    asked: what it knows would look as if it hung.
    """
    errors: dict[TopicPartition, ClientError] = {}
    suspects: list[OpenTransaction] = []
    for first in range(0, len(partitions), _PARTITIONS_AT_ONCE):
        some = partitions[first : first + _PARTITIONS_AT_ONCE]
        producers = await describe_producers(cluster, some, broker=broker)
        now_ms = time.time_ns() // 1_000_000
        for name, states in sorted(producers.items()):
            if isinstance(states, ClientError):
                errors[name] = states
                continue
            suspects += [
                OpenTransaction(name, state)
                for state in states
                if state.start_offset is not None and now_ms - state.last_timestamp > max_timeout_ms
            ]
    hanging: list[OpenTransaction] = []
    if suspects:
        hanging = await _still_open(cluster, await _not_coordinated(cluster, suspects), broker)
    return Listing(tuple(hanging), errors)


async def find_hanging_transactions(
    cluster: Cluster,
    partitions: Iterable[TopicPartition] | None = None,
    *,
    max_timeout_ms: int | None = None,
    broker: int | None = None,
) -> Listing[OpenTransaction, TopicPartition]:
    """Looks through these partitions, or through all; at their leaders, or at the replicas on `broker`.

    `max_timeout_ms`: the longest time-out of transactions, by default the `transaction.max.timeout.ms` that
    a broker tells. Raises ClientError when a coordinator cannot be asked.
    """
    if partitions is None:
        topics = (await cluster.metadata()).topics
        names = [
            info.name
            for topic in sorted(topics)
            for info in topics[topic].partitions
            if broker is None or broker in info.replicas
        ]
    else:
        names = [TopicPartition(*name) for name in dict.fromkeys(partitions)]
    limit = await _longest_timeout(cluster) if max_timeout_ms is None else max_timeout_ms
    return await find_hanging(cluster, names, max_timeout_ms=limit, broker=broker)


async def _longest_timeout(cluster: Cluster) -> int:
    await cluster.metadata([])
    node = ConfigResource.broker(min(cluster.brokers))
    entries = (await describe_configs(cluster, [node], keys=[_LIMIT]))[node]
    if isinstance(entries, ClientError):
        raise entries
    for entry in entries:
        if entry.name == _LIMIT and entry.value is not None:
            return int(entry.value)
    raise ClientError(ErrorCode.INVALID_CONFIG, f"the broker does not tell its {_LIMIT}: give max_timeout_ms")


async def coordinated_id(cluster: Cluster, partition: TopicPartition, producer_id: int) -> str | None:
    """The transactional id whose coordinator will end a producer's transaction in a partition, or None.

    Raises ClientError when a coordinator cannot be asked.
    """
    for description in (await _by_producer(cluster, [producer_id])).values():
        if partition in description.partitions:
            return description.transactional_id
    return None


async def _not_coordinated(cluster: Cluster, suspects: Sequence[OpenTransaction]) -> list[OpenTransaction]:
    known = await _by_producer(cluster, [one.producer.producer_id for one in suspects])
    hanging = []
    for one in suspects:
        description = known.get(one.producer.producer_id)
        if description is None:
            hanging.append(one)
        elif one.partition not in description.partitions:
            hanging.append(OpenTransaction(one.partition, one.producer, description.transactional_id))
    return hanging


async def _by_producer(cluster: Cluster, producer_ids: Iterable[int]) -> dict[int, TransactionDescription]:
    """What coordinators know of producers; those that none knows are left out."""
    wanted = sorted(set(producer_ids))
    found: dict[int, TransactionDescription] = {}
    for first in range(0, len(wanted), _IDS_AT_ONCE):
        listing = await list_transactions(cluster, producer_ids=wanted[first : first + _IDS_AT_ONCE])
        names = [row.transactional_id for row in listing.check()]
        for description in (await describe_transactions(cluster, names)).values():
            if isinstance(description, TransactionDescription):
                found[description.producer_id] = description
            elif description.code is not ErrorCode.TRANSACTIONAL_ID_NOT_FOUND:
                raise description
    return found


async def _still_open(
    cluster: Cluster, hanging: Sequence[OpenTransaction], broker: int | None
) -> list[OpenTransaction]:
    partitions = {one.partition for one in hanging}
    open_now: set[tuple[TopicPartition, int, int | None]] = set()
    for name, states in (await describe_producers(cluster, partitions, broker=broker)).items():
        if not isinstance(states, ClientError):
            open_now |= {(name, state.producer_id, state.start_offset) for state in states}
    return [
        one
        for one in hanging
        if (one.partition, one.producer.producer_id, one.producer.start_offset) in open_now
    ]
