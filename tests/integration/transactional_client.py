"""Short ways to write in transactions, and to read what they leave, over plain sockets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fastlog.native import build_batch, read_batches
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.transactions import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.integration.requests import fetch
from tests.integration.running import RawClient

Identity = tuple[int, int]
Partition = tuple[str, int]


def batch_of(
    identity: Identity, sequence: int, values: Sequence[bytes] = (b"v",), *, transactional: bool = True
) -> bytes:
    """A batch of a producer. It is of now: a log begins another segment between records far apart in time."""
    now_ms = time.time_ns() // 1_000_000
    return build_batch(
        [(None, value, [], now_ms) for value in values],
        producer_id=identity[0],
        producer_epoch=identity[1],
        base_sequence=sequence,
        transactional=transactional,
    )


def produce(
    client: RawClient, name: str | None, *rows: tuple[Partition, bytes], version: int = 9
) -> list[tuple[int, int]]:
    """(code, base offset) of each row."""
    topics = [
        TopicProduceData(topic, [PartitionProduceData(partition, batch)])
        for (topic, partition), batch in rows
    ]
    answer = client.ask(ProduceRequest(name, -1, 10_000, topics), version)
    return [
        (row.error_code, row.base_offset) for topic in answer.responses for row in topic.partition_responses
    ]


def fetched(client: RawClient, partition: Partition, *, committed: bool = True) -> Any:
    """The row of a fetch from the start."""
    asked = fetch(partition[0], 0, partition=partition[1], min_bytes=0, isolation_level=int(committed))
    answer = client.ask(asked, 11)
    (row,) = answer.responses[0].partitions
    return row


def values_in(row: Any) -> list[bytes | None]:
    """Values of the records in a row, aborted ones with them."""
    return [value for _, _, _, value, _ in read_batches(bytes(row.records or b""))]


def commit_offsets(
    client: RawClient,
    name: str,
    group: str,
    identity: Identity,
    offsets: dict[Partition, int],
    *,
    version: int = 3,
    member: tuple[str, str | None, int] = ("", None, -1),
) -> set[int]:
    """TxnOffsetCommit; the codes of its partitions."""
    topics = [
        TxnOffsetCommitRequestTopic(topic, [TxnOffsetCommitRequestPartition(partition, offset)])
        for (topic, partition), offset in offsets.items()
    ]
    answer = client.ask(
        TxnOffsetCommitRequest(
            transactional_id=name,
            group_id=group,
            producer_id=identity[0],
            producer_epoch=identity[1],
            generation_id=member[2],
            member_id=member[0],
            group_instance_id=member[1],
            topics=topics,
        ),
        version,
    )
    return {row.error_code for topic in answer.topics for row in topic.partitions}


def offset_of(
    client: RawClient, group: str, partition: Partition, *, stable: bool = False
) -> tuple[int, int]:
    """(code, committed offset)."""
    asked = OffsetFetchRequestGroup(
        group_id=group, topics=[OffsetFetchRequestTopics(partition[0], [partition[1]])]
    )
    answer = client.ask(OffsetFetchRequest(groups=[asked], require_stable=stable), 8)
    (found,) = answer.groups
    assert found.error_code == 0
    row = found.topics[0].partitions[0]
    return row.error_code, row.committed_offset


def mark(
    client: RawClient,
    identity: Identity,
    *partitions: Partition,
    commits: bool = False,
    coordinator_epoch: int = 0,
    transaction_version: int | None = None,
) -> list[int]:
    """WriteTxnMarkers; codes by partition. With a transaction version it is version 2 of the request."""
    marker = WritableTxnMarker(
        producer_id=identity[0],
        producer_epoch=identity[1],
        transaction_result=commits,
        topics=[WritableTxnMarkerTopic(topic, [partition]) for topic, partition in partitions],
        coordinator_epoch=coordinator_epoch,
        transaction_version=transaction_version or 0,
    )
    answer = client.ask(WriteTxnMarkersRequest([marker]), 1 if transaction_version is None else 2)
    return [row.error_code for topic in answer.markers[0].topics for row in topic.partitions]
