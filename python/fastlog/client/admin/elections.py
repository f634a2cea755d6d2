"""Elections of partition leaders: of the preferred replica, or of any that lives (KIP-183, KIP-460)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import IntEnum

from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.wire.messages.partition_admin import ElectLeadersRequest, ElectLeadersResponse, TopicPartitions

__all__ = ["Election", "elect_leaders"]


class Election(IntEnum):
    """Who shall lead (Kafka's ElectionType)."""

    PREFERRED = 0
    """The first replica, when it is in sync."""
    UNCLEAN = 1
    """Any replica that lives, where none in sync does: records that it lacks are lost."""


async def elect_leaders(
    cluster: Cluster, election: Election, partitions: Iterable[TopicPartition] | None = None
) -> dict[TopicPartition, bool | ClientError]:
    """Has the controller elect leaders of these partitions, or of all: True for those that have a new one.

    False for a partition that has the wanted leader already. Raises ClientError for the whole call.
    """
    # All are named here: where there are none, a broker that is not the controller any more could not say so.
    names = await _all(cluster) if partitions is None else partitions
    wanted = [TopicPartition(*name) for name in dict.fromkeys(names)]
    if not wanted:
        return {}
    topics: defaultdict[str, list[int]] = defaultdict(list)
    for name in wanted:
        topics[name.topic].append(name.partition)
    body = ElectLeadersRequest(
        election_type=election,
        topic_partitions=[TopicPartitions(topic=topic, partitions=rows) for topic, rows in topics.items()],
        timeout_ms=cluster.answer_timeout_ms,
    )
    answer = await cluster.controller_request(body, ElectLeadersResponse, repeat=True)
    check(answer.error_code, None, answer)
    found: dict[TopicPartition, bool | ClientError] = {}
    for topic in answer.replica_election_results:
        for row in topic.partition_result:
            error = failure(row.error_code, row.error_message, answer)
            is_needed = row.error_code != ErrorCode.ELECTION_NOT_NEEDED
            found[TopicPartition(topic.topic, row.partition_id)] = (
                is_needed if error is None or not is_needed else error
            )
    return each_of(wanted, found, answer)


async def _all(cluster: Cluster) -> list[TopicPartition]:
    topics = (await cluster.metadata()).topics
    return [item.name for name in sorted(topics) for item in topics[name].partitions]
