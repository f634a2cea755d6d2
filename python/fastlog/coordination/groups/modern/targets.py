"""The target assignment of a group, made by the assignor that most members want."""

from __future__ import annotations

from collections import Counter

from fastlog.coordination.groups.modern.assignors import ASSIGNORS
from fastlog.coordination.groups.modern.assignors.spec import MemberSpec
from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.modern.topics import Topics


def assignor_name(group: ConsumerGroup) -> str:
    """The assignor that most members ask for; the first one that is configured when none does."""
    votes = Counter(
        member.details.assignor for member in group.members.values() if member.details.assignor is not None
    )
    for name, _ in votes.most_common():
        if name in group.limits.assignors:
            return name
    return group.limits.assignors[0]


def update_targets(group: ConsumerGroup, topics: Topics) -> None:
    """Makes the targets for the group epoch of now."""
    partitions: dict[bytes, int] = {}
    known: dict[frozenset[str], frozenset[bytes]] = {}

    def ids_of(names: frozenset[str]) -> frozenset[bytes]:
        if names not in known:
            found = [pair for name in names if (pair := topics.find(name)) is not None]
            partitions.update(found)
            known[names] = frozenset(topic_id for topic_id, _ in found)
        return known[names]

    specs = {
        member_id: MemberSpec(
            ids_of(group.topics_of(member.details)), group.target(member_id), member.instance_id
        )
        for member_id, member in group.members.items()
    }
    assignments = ASSIGNORS[assignor_name(group)](specs, partitions) if specs else {}
    for member_id, assignment in assignments.items():
        group.set_target(member_id, assignment)
    group.set_assignment_epoch(group.epoch)
