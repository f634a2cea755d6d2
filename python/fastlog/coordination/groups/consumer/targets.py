"""The target assignment of a group, made by the assignor that most members want.

A target takes time in proportion to subscriptions and partitions. That of a small group is made at once, with
the heartbeat that needs it. That of a large one is made on a thread (`assigning`) from a `Plan`, which does
not change: meanwhile the group epoch is ahead of the assignment epoch, and members go on with the target that
there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.consumer.assignors import ASSIGNORS
from fastlog.coordination.groups.consumer.assignors.spec import Assignment, MemberSpec
from fastlog.coordination.groups.consumer.members import ConsumerMember
from fastlog.coordination.groups.consumer.state import NOTHING, ConsumerGroup, Resolved, topics_of
from fastlog.coordination.groups.consumer.topics_seen import Topics

MOST_STEPS_AT_ONCE: Final = 2_000
"""Members, topics of each and partitions of a group that counts as small: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Made:
    """Targets for a group epoch, where they are others than before; and who was which static member."""

    epoch: int
    undone: int
    targets: Mapping[str, Assignment]
    instances: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a target is made from, as it was in one group epoch."""

    epoch: int
    undone: int
    assignor: str
    members: Mapping[str, ConsumerMember]
    regexes: Mapping[str, Resolved]
    targets: Mapping[str, Assignment]
    topics: Topics

    def make(self) -> Made:
        """Runs the assignor. May be called on any thread."""
        partitions: dict[bytes, int] = {}
        known: dict[frozenset[str], frozenset[bytes]] = {}

        def ids_of(names: frozenset[str]) -> frozenset[bytes]:
            if names not in known:
                found = [pair for name in names if (pair := self.topics.find(name)) is not None]
                partitions.update(found)
                known[names] = frozenset(topic_id for topic_id, _ in found)
            return known[names]

        specs = {
            member_id: MemberSpec(
                ids_of(topics_of(member.details, self.regexes)),
                self.targets.get(member_id, NOTHING),
                member.instance_id,
            )
            for member_id, member in self.members.items()
        }
        assignments = ASSIGNORS[self.assignor](specs, partitions) if specs else {}
        return Made(
            self.epoch,
            self.undone,
            {name: target for name, target in assignments.items() if self.targets.get(name) != target},
            {name: spec.instance_id for name, spec in specs.items() if spec.instance_id is not None},
        )


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
    """Makes the targets for the group epoch of now, or asks for them (`ConsumerGroup.wants_targets`)."""
    if not (group.wants_targets or is_large(group, topics)):
        take_targets(group, plan_targets(group, topics).make())
        return
    group.wants_targets = True
    if not group.assignment_epoch:
        # Epoch 0 means to join: whoever is answered before there is a target begins with an empty one.
        group.set_assignment_epoch(group.epoch)
        group.set_epoch(group.epoch + 1)


def is_large(group: ConsumerGroup, topics: Topics) -> bool:
    """Whether a target takes too long for the event loop. It takes few steps itself to find out."""
    steps = 0
    for member in group.members.values():
        resolved = group.regexes.get(member.details.regex or "")
        steps += 1 + len(member.details.topics) + (len(resolved.topics) if resolved is not None else 0)
        if steps > MOST_STEPS_AT_ONCE:
            return True
    found = [topics.find(name) for name in group.subscribed_topics().among(topics.names())]
    return steps + sum([pair[1] for pair in found if pair is not None]) > MOST_STEPS_AT_ONCE


def plan_targets(group: ConsumerGroup, topics: Topics) -> Plan:
    """What the targets for the group epoch of now are made from."""
    return Plan(
        group.epoch,
        group.undone,
        assignor_name(group),
        dict(group.members),
        dict(group.regexes),
        dict(group.targets),
        topics,
    )


def take_targets(group: ConsumerGroup, made: Made) -> None:
    """Puts targets in force, unless there are newer ones, or what they rest on was taken back.

    Members that have come since wait for the next.
    """
    if made.epoch <= group.assignment_epoch or made.undone != group.undone:
        return
    for name, target in made.targets.items():
        # A static member may have another id by now.
        member_id = name if name in group.members else group.static.get(made.instances.get(name, ""))
        if member_id is not None:
            group.set_target(member_id, target)
    group.set_assignment_epoch(made.epoch)
