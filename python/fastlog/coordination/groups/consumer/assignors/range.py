"""The `range` assignor: of each topic, every subscriber gets one run of neighbouring partitions.

Members come in one order for all topics, static members by instance id first, the others by member id. So
topics with the same number of partitions and the same subscribers are divided alike, and a member owns the
same numbers of each (for joins over co-partitioned topics). The earliest members get the odd partitions of
every topic: with many small topics they carry more than the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastlog.coordination.groups.consumer.assignors.spec import Assignment, MemberSpec, TopicPartition


def assign(members: Mapping[str, MemberSpec], partitions: Mapping[bytes, int]) -> dict[str, Assignment]:
    """See `spec.Assignor`."""
    order = sorted(
        members, key=lambda name: (members[name].instance_id is None, members[name].instance_id or name)
    )
    subscribers: dict[bytes, list[str]] = {}
    for name in order:
        for topic_id in members[name].topics:
            subscribers.setdefault(topic_id, []).append(name)
    owned: dict[str, list[TopicPartition]] = {name: [] for name in members}
    for topic_id, names in subscribers.items():
        least, odd = divmod(partitions[topic_id], len(names))
        start = 0
        for place, name in enumerate(names):
            end = start + least + (place < odd)
            owned[name].extend((topic_id, partition) for partition in range(start, end))
            start = end
    return {name: frozenset(of_member) for name, of_member in owned.items()}
