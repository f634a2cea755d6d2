"""Many groups at once: one request for each coordinator, not one for each group.

For lists of groups. `groups` and `offsets` are for single ones, and what is used here where a coordinator has
moved meanwhile, or is older than what this needs.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from fastlog.client.admin.answer_errors import failure
from fastlog.client.admin.groups import GroupListing
from fastlog.client.admin.offsets import list_group_offsets
from fastlog.client.admin.retries import each_alone
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError, VersionMismatch
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import OffsetAndMetadata
from fastlog.errors import ErrorCode
from fastlog.wire.messages import consumer_group_describe as modern
from fastlog.wire.messages import group_admin as classic
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
)

__all__ = ["GroupOffsets", "count_members", "offsets_of_groups"]

T = TypeVar("T")

GroupOffsets = Mapping[TopicPartition, "OffsetAndMetadata | ClientError"]

_SEVERAL_SINCE: Final = 8
"""Version of OffsetFetch for several groups (KIP-709, Kafka 3.0)."""
_AT_ONCE: Final = 200
"""Groups in one request: an answer must not grow without a bound."""
_MOVED: Final = frozenset(
    {
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.UNSTABLE_OFFSET_COMMIT,
    }
)


async def offsets_of_groups(
    cluster: Cluster, groups: Iterable[GroupListing]
) -> dict[str, GroupOffsets | ClientError]:
    """What each group has committed; partitions without an offset are left out."""

    async def ask(node: int, names: Sequence[str]) -> dict[str, GroupOffsets | ClientError]:
        body = OffsetFetchRequest(
            groups=[OffsetFetchRequestGroup(group_id=name, topics=None) for name in names]
        )
        answer = await cluster.request(body, OffsetFetchResponse, node=node, lowest=_SEVERAL_SINCE)
        return {
            row.group_id: failure(row.error_code, None, answer) or _offsets(row, answer)
            for row in answer.groups
        }

    async def one(name: str) -> GroupOffsets:
        return await list_group_offsets(cluster, name)

    return await _by_coordinator(groups, ask, one)


async def count_members(cluster: Cluster, groups: Iterable[GroupListing]) -> dict[str, int | ClientError]:
    """How many members each group has."""
    listed = list(groups)

    async def ask_classic(node: int, names: Sequence[str]) -> dict[str, int | ClientError]:
        body = classic.DescribeGroupsRequest(groups=list(names))
        answer = await cluster.request(body, classic.DescribeGroupsResponse, node=node)
        return {
            row.group_id: failure(row.error_code, None, answer) or len(row.members) for row in answer.groups
        }

    async def ask_modern(node: int, names: Sequence[str]) -> dict[str, int | ClientError]:
        body = modern.ConsumerGroupDescribeRequest(group_ids=list(names))
        answer = await cluster.request(body, modern.ConsumerGroupDescribeResponse, node=node)
        return {
            row.group_id: failure(row.error_code, None, answer) or len(row.members) for row in answer.groups
        }

    is_modern = [row for row in listed if row.type == "consumer"]
    others = [row for row in listed if row.type not in ("consumer", "share", "streams")]
    found = await asyncio.gather(
        _by_coordinator(others, ask_classic, None), _by_coordinator(is_modern, ask_modern, None)
    )
    return found[0] | found[1]


async def _by_coordinator(
    groups: Iterable[GroupListing],
    ask: Callable[[int, Sequence[str]], Coroutine[Any, Any, dict[str, T | ClientError]]],
    one: Callable[[str], Coroutine[Any, Any, T]] | None,
) -> dict[str, T | ClientError]:
    """Asks each coordinator for its groups; with `one`, groups that it could not answer for by themselves."""
    nodes: defaultdict[int, list[str]] = defaultdict(list)
    for row in groups:
        nodes[row.coordinator].append(row.group_id)
    parts = [
        (node, names[at : at + _AT_ONCE])
        for node, names in nodes.items()
        for at in range(0, len(names), _AT_ONCE)
    ]

    async def part(node: int, names: Sequence[str]) -> dict[str, T | ClientError]:
        try:
            return await ask(node, names)
        except ClientError as error:
            return dict.fromkeys(names, error)

    found: dict[str, T | ClientError] = {}
    for answers in await asyncio.gather(*(part(node, names) for node, names in parts)):
        found |= answers
    if one is not None:
        again = [name for name, answer in found.items() if _ask_again(answer)]
        if again:
            found |= await each_alone(again, one)
    return found


def _ask_again(answer: object) -> bool:
    return isinstance(answer, VersionMismatch) or (isinstance(answer, ClientError) and answer.code in _MOVED)


def _offsets(row: OffsetFetchResponseGroup, answer: OffsetFetchResponse) -> GroupOffsets:
    found: dict[TopicPartition, OffsetAndMetadata | ClientError] = {}
    for topic in row.topics:
        for item in topic.partitions:
            error = failure(item.error_code, None, answer)
            if error is not None or item.committed_offset >= 0:
                found[TopicPartition(topic.name, item.partition_index)] = error or OffsetAndMetadata(
                    item.committed_offset, item.metadata or "", item.committed_leader_epoch
                )
    return found
