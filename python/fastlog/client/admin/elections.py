"""Elections of partition leaders: of the preferred replica, or of any that lives (KIP-183, KIP-460)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import IntEnum

from fastlog.client.admin.answer_errors import check, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages.partition_admin import ElectLeadersRequest, ElectLeadersResponse, TopicPartitions

__all__ = ["Election", "elect_leaders", "not_needed"]


class Election(IntEnum):
    """Who shall lead (Kafka's ElectionType)."""

    PREFERRED = 0
    """The first replica, when it is in sync."""
    UNCLEAN = 1
    """Any replica that lives, where none in sync does: records that it lacks are lost."""


async def elect_leaders(
    cluster: Cluster, partitions: Iterable[TopicPartition] | None, election: Election
) -> dict[TopicPartition, ClientError | None]:
    """Has the controller elect leaders of these partitions, or of all; None for those that have a new one.

    A partition that has the wanted leader already gets ELECTION_NOT_NEEDED (`not_needed`), with all
    partitions too. Raises ClientError for the whole call.
    """
    # All are named here: where there are none, a broker that is not the controller any more could not say so.
    wanted = list(dict.fromkeys(await _all(cluster) if partitions is None else partitions))
    if not wanted:
        return {}
    topics: defaultdict[str, list[int]] = defaultdict(list)
    for name in wanted:
        topics[name.topic].append(name.partition)
    body = ElectLeadersRequest(
        election_type=election,
        topic_partitions=[TopicPartitions(topic=topic, partitions=rows) for topic, rows in topics.items()],
        timeout_ms=cluster.timeout_ms,
    )
    answer = await cluster.controller_request(body, ElectLeadersResponse, repeat=True)
    check(answer.error_code, None, body.API)
    found = {
        TopicPartition(topic.topic, row.partition_id): failure(
            row.error_code, row.error_message, ApiKey.ELECT_LEADERS
        )
        for topic in answer.replica_election_results
        for row in topic.partition_result
    }
    left_out = BrokerError(
        ErrorCode.UNKNOWN_SERVER_ERROR, "the answer leaves the partition out", api=body.API
    )
    return {name: found.get(name, left_out) for name in wanted}


def not_needed(error: ClientError | None) -> bool:
    """Whether it says that the partition has the wanted leader already."""
    return error is not None and error.code is ErrorCode.ELECTION_NOT_NEEDED


async def _all(cluster: Cluster) -> list[TopicPartition]:
    topics = (await cluster.metadata()).topics
    return [item.name for name in sorted(topics) for item in topics[name].partitions]
