"""Log directories of brokers, with the sizes of what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastlog.client.admin.answer_errors import failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.wire.messages.cluster import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)

__all__ = ["LogDir", "ReplicaSize", "describe_log_dirs"]


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
        return failure(answer.error_code, None, body.API) or _directories(answer)

    wanted = list(cluster.brokers if nodes is None else nodes)
    return dict(zip(wanted, await asyncio.gather(*map(ask, wanted)), strict=True))


def _directories(answer: DescribeLogDirsResponse) -> tuple[LogDir, ...]:
    return tuple(
        LogDir(
            path=row.log_dir,
            error=failure(row.error_code, None, answer.API),
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
