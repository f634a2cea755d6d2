"""Short ways to say common requests."""

from __future__ import annotations

from typing import Any

from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.integration.running import RawClient


def produce(topic: str, records: bytes | None, *, partition: int = 0, acks: int = -1) -> ProduceRequest:
    """One batch for one partition."""
    data = PartitionProduceData(index=partition, records=records)
    return ProduceRequest(
        acks=acks, timeout_ms=10_000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )


def fetch(
    topic: str | bytes,
    offset: int,
    *,
    partition: int = 0,
    max_wait_ms: int = 0,
    min_bytes: int = 1,
    **how: Any,
) -> FetchRequest:
    """One partition from `offset` on. Keywords of the partition: current_leader_epoch, last_fetched_epoch,
    partition_max_bytes; the rest are those of the request."""
    of_partition = {
        name: how.pop(name)
        for name in ("current_leader_epoch", "last_fetched_epoch", "partition_max_bytes")
        if name in how
    }
    of_partition.setdefault("partition_max_bytes", 1 << 20)
    row = FetchPartition(partition=partition, fetch_offset=offset, **of_partition)
    named = {"topic": topic} if isinstance(topic, str) else {"topic_id": topic}
    return FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        topics=[FetchTopic(**named, partitions=[row])],
        **how,
    )


def metadata(*names: str, create: bool = True) -> MetadataRequest:
    """Metadata of the named topics."""
    return MetadataRequest(
        topics=[MetadataRequestTopic(name=name) for name in names], allow_auto_topic_creation=create
    )


def list_offset(topic: str, timestamp: int, *, partition: int = 0, **how: Any) -> ListOffsetsRequest:
    """One offset of one partition. Keywords: current_leader_epoch, max_num_offsets; isolation_level."""
    isolation = how.pop("isolation_level", 0)
    row = ListOffsetsPartition(partition_index=partition, timestamp=timestamp, **how)
    return ListOffsetsRequest(
        replica_id=-1, isolation_level=isolation, topics=[ListOffsetsTopic(name=topic, partitions=[row])]
    )


def make_topic(client: RawClient, name: str) -> bytes:
    """Has a topic created by asking for it; returns its id."""
    (topic,) = client.ask(metadata(name), 12).topics
    assert topic.error_code == 0
    topic_id: bytes = topic.topic_id
    return topic_id
