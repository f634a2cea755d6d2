"""One consumer group of the consumer protocol: members, epochs, the target and who owns what.

| state       | when                                                         |
|-------------|--------------------------------------------------------------|
| Empty       | it has no members                                            |
| Assigning   | the group epoch is ahead of the assignment epoch             |
| Reconciling | some member has not reached the target yet                   |
| Stable      | all have                                                     |
| Dead        | it was deleted                                               |

The group epoch rises with every change of members, subscriptions or topics. The target assignment is made for
one group epoch, which is then the assignment epoch. Each member has an epoch of its own that follows.

Nothing here does I/O or asks for the time. What must be stored is noted in `touched` as (kind, name) of a
record, whose content is the group's state at the time of writing: several changes before one write become one
record. `wake_at` says when `leaving.on_time` wants to be called at the latest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import Enum, IntEnum
from typing import Any, Final, TypeAlias

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.classic.state import CONSUMER, GroupState
from fastlog.coordination.groups.consumer.assignors.spec import Assignment, TopicPartition
from fastlog.coordination.groups.consumer.members import ConsumerMember, Details, MemberState, Position
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.topics_seen import Subscribed
from fastlog.coordination.groups.results import Now
from fastlog.coordination.groups.weight import (
    GROUP_BYTES,
    Weighed,
    consumer_member_weight,
    regex_weight,
    target_weight,
)
from fastlog.errors import ErrorCode, KafkaError


class Kind(IntEnum):
    """Kinds of records, by the versions of their keys."""

    GROUP = 3
    PARTITION_METADATA = 4
    """Written by Kafka up to 4.0 and only removed here; later the hash in GROUP took its place."""
    MEMBER = 5
    TARGET_EPOCH = 6
    TARGET = 7
    POSITION = 8
    REGEX = 16


RecordName: TypeAlias = tuple[Kind, str]
"""A kind, and a member id or a regular expression where the kind has many records."""

Before: TypeAlias = dict[RecordName, Any]
"""What records stood for: Details, Position, Assignment or Resolved, None for what was not there; of GROUP
(epoch, hash), of TARGET_EPOCH the epoch."""


class Deadline(Enum):
    """What a member has to do in time."""

    SESSION = "no sign of life in time"
    REVOCATION = "it did not give up partitions in time"
    JOIN = "it did not join again in time"
    SYNC = "it did not ask for its assignment in time"


@dataclass(frozen=True, slots=True)
class Resolved:
    """The topics that a regular expression stands for, as of a state of all topics."""

    topics: frozenset[str]
    generation: int
    resolved_ms: int


@dataclass(slots=True)
class StoredConsumerGroup:
    """A consumer group as its records have it."""

    epoch: int = 0
    metadata_hash: int = 0
    assignment_epoch: int = 0
    details: dict[str, Details] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    targets: dict[str, Assignment] = field(default_factory=dict)
    regexes: dict[str, Resolved] = field(default_factory=dict)
    has_partition_metadata: bool = False


NOTHING: Final[Assignment] = frozenset()
NOBODY: Final = Details()
"""What a member that is not there subscribes to: nothing."""


def topics_of(details: Details, regexes: Mapping[str, Resolved]) -> frozenset[str]:
    """The names that a member subscribes to; its regular expression counts once it is resolved."""
    resolved = regexes.get(details.regex) if details.regex else None
    return frozenset(details.topics) | (resolved.topics if resolved is not None else frozenset())


class ConsumerGroup:
    """One group. Functions of this package change it; the fields are public for them alone."""

    protocol_type: Final = CONSUMER

    def __init__(self, group_id: str, limits: ConsumerLimits) -> None:
        self.group_id = group_id
        self.limits = limits
        self.epoch = 0
        self.metadata_hash = 0
        self.assignment_epoch = 0
        self.members: Weighed[str, ConsumerMember] = Weighed(consumer_member_weight)
        self.static: dict[str, str] = {}
        """Member ids by instance id."""
        self.targets: Weighed[str, Assignment] = Weighed(target_weight)
        self.owners: dict[TopicPartition, str] = {}
        """Who owns what: nobody else gets it before it was given up."""
        self.regexes: Weighed[str, Resolved] = Weighed(regex_weight)
        self._patterns: Counter[str] = Counter()
        """How many members subscribe with each regular expression."""
        self._names: Counter[str] = Counter()
        """How many members subscribe to each name."""
        self.topics_seen = -1
        """Generation of the topics that the group's metadata was last compared with."""
        self.is_stale = False
        """The metadata has to be compared anew although no topic has changed."""
        self.wants_targets = False
        """A target is being made beside requests: until it is there members go on with the one before."""
        self.deadlines: dict[tuple[str, Deadline], float] = {}
        self.wake_at: float | None = None
        self.touched: dict[RecordName, None] = {}
        self.before: Before = {}
        """What the records in `touched` stood for before they were touched."""
        self.undone = 0
        """How often changes were taken back, so that what rests on them is known by it."""
        self.is_dead = False
        self._state: GroupState | None = None

    @classmethod
    def load(
        cls, group_id: str, limits: ConsumerLimits, stored: StoredConsumerGroup, now: Now
    ) -> ConsumerGroup:
        """A group as the log has it: nothing moves. Members have one session from now to show up.

        Records that could not be read may leave a gap. Epochs never run backwards for it, and a partition
        never gets two owners: the member that is the second to claim it has to join anew.
        """
        group = cls(group_id, limits)
        epochs = [position.epoch for position in stored.positions.values()]
        group.epoch = max(stored.epoch, stored.assignment_epoch, *epochs, 0)
        group.metadata_hash = stored.metadata_hash
        group.assignment_epoch = stored.assignment_epoch
        group.regexes.update(stored.regexes)
        group.targets.update(
            {name: stored.targets[name] for name in stored.targets if name in stored.details}
        )
        for member_id, details in stored.details.items():
            position = stored.positions.get(member_id, Position())
            if not group.owners.keys().isdisjoint(position.owns()):
                position = Position()
            group.put(ConsumerMember(member_id, details, position))
        for member in group.members.values():
            group.start_session(member, now)
            if member.position.state is MemberState.UNREVOKED and not member.is_classic:
                group.set_deadline(member, Deadline.REVOCATION, member.details.rebalance_timeout_ms, now)
        group.touched.clear()
        group.before.clear()
        if stored.has_partition_metadata:
            # Nothing reads it, and nothing else would remove it.
            group.touched[Kind.PARTITION_METADATA, ""] = None
        return group

    # -- questions --------------------

    @property
    def weight(self) -> int:
        """Bytes of memory that it is reckoned with."""
        parts = self.members.weight + self.targets.weight + self.regexes.weight
        return GROUP_BYTES + len(self.group_id) + parts

    @property
    def state(self) -> GroupState:
        """The state as Kafka shows it."""
        if self._state is None:
            self._state = self._find_state()
        return self._state

    @property
    def generation(self) -> int:
        """The group epoch, which takes the place of a classic group's generation."""
        return self.epoch

    def _find_state(self) -> GroupState:
        if self.is_dead:
            return GroupState.DEAD
        if not self.members:
            return GroupState.EMPTY
        if self.epoch > self.assignment_epoch:
            return GroupState.ASSIGNING
        if all(member.is_reconciled(self.assignment_epoch) for member in self.members.values()):
            return GroupState.STABLE
        return GroupState.RECONCILING

    def member(self, member_id: str) -> ConsumerMember:
        """The member. Raises KafkaError(UNKNOWN_MEMBER_ID)."""
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"{member_id!r} is not a member of the group")
        return member

    def static_member(self, instance_id: str) -> ConsumerMember | None:
        """The member that has the instance id now."""
        member_id = self.static.get(instance_id)
        return None if member_id is None else self.members[member_id]

    def target(self, member_id: str) -> Assignment:
        """What the member is to own."""
        return self.targets.get(member_id, NOTHING)

    def subscribed_topics(self) -> Subscribed:
        """The names that anybody subscribes to."""
        resolved = [self.regexes[text].topics for text in self._patterns if text in self.regexes]
        # Patterns that stand for the same topics share them.
        return Subscribed(self._names.keys(), *{id(topics): topics for topics in resolved}.values())

    def patterns(self) -> set[str]:
        """The regular expressions that members subscribe with."""
        return set(self._patterns)

    @property
    def epoch_in_reach(self) -> int:
        """The epoch to which a member may come now: a target that is not there yet calls nobody."""
        return self.assignment_epoch if self.wants_targets else self.epoch

    @property
    def wants_regexes(self) -> bool:
        """Whether `member_heartbeat.on_regexes` has to be called, with patterns resolved for all topics."""
        return any(
            text not in self.regexes or self.regexes[text].generation < self.topics_seen
            for text in self._patterns
        )

    # -- changes, each noted for the log --------------------

    def put(self, member: ConsumerMember) -> None:
        """Adds a member, or replaces what was known of it."""
        member_id = member.member_id
        before = self.members.get(member_id)
        if before == member:
            # As with nearly every heartbeat.
            return
        if before is None or before.details != member.details:
            self._touch(Kind.MEMBER, member_id, None if before is None else before.details)
        position = Position() if before is None else before.position
        if position != member.position:
            self._touch(Kind.POSITION, member_id, position)
        if before is not None:
            self._disown(before)
            self._drop_instance(before)
        if member.instance_id is not None:
            self.static[member.instance_id] = member_id
        for key in member.position.owns():
            owner = self.owners.setdefault(key, member_id)
            if owner != member_id:
                raise RuntimeError(f"{key} of group {self.group_id!r} has two owners: {owner}, {member_id}")
        self.members[member_id] = member
        self._state = None
        self._resubscribe(NOBODY if before is None else before.details, member.details)

    def remove(self, member_id: str) -> None:
        """Takes a member out; what it owned is free."""
        member = self.members.pop(member_id)
        self._disown(member)
        self._touch(Kind.POSITION, member_id, member.position)
        self._touch(Kind.TARGET, member_id, self.targets.pop(member_id, None))
        self._touch(Kind.MEMBER, member_id, member.details)
        self._drop_instance(member)
        for deadline in Deadline:
            self.deadlines.pop((member_id, deadline), None)
        self._state = None
        self._resubscribe(member.details, NOBODY)

    def put_instead(self, former: ConsumerMember, member: ConsumerMember) -> None:
        """The one goes as the other comes. What they both subscribe to is subscribed to all the time: a
        pattern that was resolved anew would not be found to have changed the topics of the group."""
        self._resubscribe(NOBODY, member.details)
        self.remove(former.member_id)
        self.put(member)
        self._resubscribe(member.details, NOBODY)

    def _resubscribe(self, before: Details, after: Details) -> None:
        if before.regex != after.regex:
            self._use_regex(after.regex)
            self._drop_regex(before.regex)
        if before.topics != after.topics:
            self._names.update(after.topics)
            for name in before.topics:
                self._names[name] -= 1
                if not self._names[name]:
                    del self._names[name]

    def _drop_instance(self, member: ConsumerMember) -> None:
        if member.instance_id is not None and self.static.get(member.instance_id) == member.member_id:
            del self.static[member.instance_id]

    def _use_regex(self, text: str | None) -> None:
        if text:
            self._patterns[text] += 1

    def _drop_regex(self, text: str | None) -> None:
        if not text:
            return
        self._patterns[text] -= 1
        if not self._patterns[text]:
            del self._patterns[text]
            resolved = self.regexes.pop(text, None)
            if resolved is not None:
                self._touch(Kind.REGEX, text, resolved)

    def _disown(self, member: ConsumerMember) -> None:
        for key in member.position.owns():
            if self.owners.get(key) == member.member_id:
                del self.owners[key]

    def set_epoch(self, epoch: int, metadata_hash: int | None = None) -> None:
        """A new group epoch: a new target is due."""
        self._touch(Kind.GROUP, "", (self.epoch, self.metadata_hash))
        self.epoch = epoch
        if metadata_hash is not None:
            self.metadata_hash = metadata_hash
        self._state = None

    def set_target(self, member_id: str, target: Assignment) -> None:
        """What the member is to own from now on."""
        if self.targets.get(member_id) != target:
            self._touch(Kind.TARGET, member_id, self.targets.get(member_id))
            self.targets[member_id] = target

    def set_assignment_epoch(self, epoch: int) -> None:
        """The targets are those for this group epoch."""
        self._touch(Kind.TARGET_EPOCH, "", self.assignment_epoch)
        self.assignment_epoch = epoch
        self._state = None

    def set_regexes(self, resolved: Mapping[str, Resolved]) -> None:
        """Replaces what is known of regular expressions."""
        for text in {*self.regexes, *resolved}:
            before, after = self.regexes.get(text), resolved.get(text)
            if before is None or after is None or before.topics != after.topics:
                self._touch(Kind.REGEX, text, before)
        self.regexes = Weighed(regex_weight, resolved)

    def die(self) -> None:
        """The group is deleted, with all that was stored of it."""
        self.is_dead = True
        self._state = None
        self.deadlines.clear()
        self.wake_at = None
        self.touched = dict.fromkeys(self.all_records())
        self.before = {}

    def revive(self) -> None:
        """It could not be deleted: all that was stored of it is written anew with the next change."""
        self.is_dead = False
        self._state = None
        self.touched = dict.fromkeys(self.all_records())

    def resign(self) -> None:
        """This broker coordinates the group no more: what is stored of it stays."""
        self.die()
        self.touched.clear()

    def all_records(self) -> list[RecordName]:
        """Every record that the group may have in the log."""
        names: dict[RecordName, None] = {(Kind.REGEX, text): None for text in self.regexes}
        for kind in (Kind.POSITION, Kind.TARGET, Kind.MEMBER):
            names.update(((kind, member_id), None) for member_id in self.members)
        # Tombstones of members that are gone may not be written yet. The group's own record comes last.
        ends: list[RecordName] = [(Kind.TARGET_EPOCH, ""), (Kind.GROUP, "")]
        names.update((name, None) for name in self.touched if name not in ends)
        return [*names, *ends]

    def _touch(self, kind: Kind, text: str, before: Any) -> None:
        self.touched[kind, text] = None
        self.before.setdefault((kind, text), before)

    def forget_touched(self) -> None:
        """The group is what is stored of it. Whether its topics are others is found out anew."""
        self.touched.clear()
        self.before.clear()
        self.topics_seen, self._state = -1, None

    def take_before(self) -> tuple[Before, bool]:
        """What `touched` stood for before, once; and whether that is known of all of it."""
        before, self.before = self.before, {}
        return before, before.keys() >= self.touched.keys()

    def take_touched(self) -> list[RecordName]:
        """What is to be written, once."""
        touched, self.touched = self.touched, {}
        return list(touched)

    # -- time --------------------

    def start_session(self, member: ConsumerMember, now: Now) -> None:
        """The member is alive: its session starts anew."""
        classic = member.details.classic
        timeout_ms = self.limits.session_timeout_ms if classic is None else classic.session_timeout_ms
        self.set_deadline(member, Deadline.SESSION, timeout_ms, now)

    def set_deadline(self, member: ConsumerMember, what: Deadline, timeout_ms: int, now: Now) -> None:
        """The member has so long from now."""
        at = now.monotonic + timeout_ms / 1000
        self.deadlines[member.member_id, what] = at
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    def clear_deadlines(self, member_id: str, which: Iterable[Deadline]) -> None:
        """The member has done it."""
        for what in which:
            self.deadlines.pop((member_id, what), None)

    def next_deadline(self) -> float | None:
        """When the service has to call, on the monotonic clock; perhaps a little early."""
        return self.wake_at
