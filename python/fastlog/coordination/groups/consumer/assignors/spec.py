"""What an assignor is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from fastlog.base.quick_dataclass import dataclass

TopicPartition: TypeAlias = tuple[bytes, int]
"""A topic's id of 16 bytes and the number of a partition."""

Assignment: TypeAlias = frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One member: ids of the topics that it subscribes to and that exist, and what it was to own so far."""

    topics: frozenset[bytes]
    assignment: Assignment = frozenset()
    instance_id: str | None = None


Assignor: TypeAlias = Callable[[Mapping[str, MemberSpec], Mapping[bytes, int]], dict[str, Assignment]]
"""(members by id, number of partitions by topic id) -> what each member is to own.

Every partition of a topic with a subscriber goes to exactly one member that subscribes to it. The topics of
all members have a number of partitions.
"""


def by_topic(partitions: Iterable[TopicPartition]) -> dict[bytes, list[int]]:
    """Partition numbers, rising, by topic id; topics in the order of their ids."""
    grouped: dict[bytes, list[int]] = {}
    for topic_id, partition in sorted(partitions):
        grouped.setdefault(topic_id, []).append(partition)
    return grouped
