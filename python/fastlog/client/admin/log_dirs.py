"""Log directories of brokers: the sizes of what is in them, and moves from one to another (KIP-113)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fastlog.client.admin.answer_errors import each_of, failure
from fastlog.client.admin.retries import in_parts
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopic,
)
from fastlog.wire.messages.cluster import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)

__all__ = ["LogDir", "ReplicaSize", "TopicPartitionReplica", "alter_replica_log_dirs", "describe_log_dirs"]


class TopicPartitionReplica(NamedTuple):
    """The name of a replica: its partition, and the node id of the broker that holds it."""

    topic: str
    partition: int
    broker: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition} at {self.broker}"


@dataclass(frozen=True, slots=True)
class ReplicaSize:
    """Bytes of one replica, how far it lags, and whether it is about to replace the one elsewhere."""

    name: TopicPartition
    size_bytes: int
    offset_lag: int
    is_future: bool


@dataclass(frozen=True, slots=True)
class LogDir:
    """One directory. Sizes of its volume are None before Kafka 3.3; `error` is set when it is offline."""

    path: str
    error: ClientError | None
    total_bytes: int | None
    usable_bytes: int | None
    replicas: tuple[ReplicaSize, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the replicas that were asked for."""
        return sum(replica.size_bytes for replica in self.replicas)


async def describe_log_dirs(
    cluster: Cluster,
    nodes: Iterable[int] | None = None,
    *,
    partitions: Mapping[str, Sequence[int]] | None = None,
) -> dict[int, tuple[LogDir, ...] | ClientError]:
    """The directories of these brokers (all live ones by default), with all replicas or those named."""
    body = DescribeLogDirsRequest(
        topics=None
        if partitions is None
        else [DescribableLogDirTopic(topic=name, partitions=list(rows)) for name, rows in partitions.items()]
    )

    async def ask(node: int) -> tuple[LogDir, ...] | ClientError:
        try:
            answer = await cluster.request(body, DescribeLogDirsResponse, node=node)
        except ClientError as error:
            return error
        return failure(answer.error_code, None, answer) or _directories(answer)

    if nodes is None:
        await cluster.metadata([])
    wanted = list(cluster.brokers if nodes is None else nodes)
    return dict(zip(wanted, await asyncio.gather(*map(ask, wanted)), strict=True))


async def alter_replica_log_dirs(
    cluster: Cluster, places: Mapping[TopicPartitionReplica, str]
) -> dict[TopicPartitionReplica, ClientError | None]:
    """Has brokers begin to move replicas to other directories of theirs, named by their absolute paths.

    A replica that does not exist yet is to be made there: REPLICA_NOT_AVAILABLE says that this was noted.
    """
    wanted = {TopicPartitionReplica(*name): path for name, path in places.items()}
    brokers: defaultdict[int, list[TopicPartitionReplica]] = defaultdict(list)
    for name in wanted:
        brokers[name.broker].append(name)

    async def ask(
        node: int, asked: Collection[TopicPartitionReplica]
    ) -> Mapping[TopicPartitionReplica, ClientError | None]:
        paths: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for name in asked:
            paths[wanted[name]][name.topic].append(name.partition)
        body = AlterReplicaLogDirsRequest(
            dirs=[
                AlterReplicaLogDir(
                    path=path,
                    topics=[AlterReplicaLogDirTopic(topic, numbers) for topic, numbers in topics.items()],
                )
                for path, topics in paths.items()
            ]
        )
        answer = await cluster.request(body, AlterReplicaLogDirsResponse, node=node)
        found = {
            TopicPartitionReplica(topic.topic_name, row.partition_index, node): failure(
                row.error_code, None, answer
            )
            for topic in answer.results
            for row in topic.partitions
        }
        return each_of(asked, found, answer)

    return await in_parts(brokers, ask)


def _directories(answer: DescribeLogDirsResponse) -> tuple[LogDir, ...]:
    return tuple(
        LogDir(
            path=row.log_dir,
            error=failure(row.error_code, None, answer),
            total_bytes=None if row.total_bytes < 0 else row.total_bytes,
            usable_bytes=None if row.usable_bytes < 0 else row.usable_bytes,
            replicas=tuple(
                ReplicaSize(
                    TopicPartition(topic.name, item.partition_index),
                    item.partition_size,
                    item.offset_lag,
                    item.is_future_key,
                )
                for topic in row.topics
                for item in topic.partitions
            ),
        )
        for row in sorted(answer.results, key=lambda item: item.log_dir)
    )
