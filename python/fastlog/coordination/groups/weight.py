"""What groups weigh: an estimate of the memory that they keep, held against the share of all groups.

Everything that a client can make a group keep is weighed as it changes: members with their ids, metadata and
assignments, ids that were given out, subscriptions, targets, resolved patterns, committed offsets. Numbers
are a little above what CPython 3.11 takes. Groups that were stored are loaded whatever they weigh, and what
makes them no heavier is let through.

| bound                      | of the share | what happens above                                             |
|----------------------------|--------------|----------------------------------------------------------------|
| one member                 | 1 / 8        | GROUP_MAX_SIZE_REACHED                                         |
| one group                  | 1 / 4        | the same; assignments: UNKNOWN_SERVER_ERROR, as for a record   |
|                            |              | that is too large; offsets: INVALID_COMMIT_OFFSET_SIZE         |
| all groups                 | 1            | the same                                                       |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from fastlog.coordination.groups.subscribed_names import claimed_names, is_small

if TYPE_CHECKING:
    from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
    from fastlog.coordination.groups.consumer.members import ConsumerMember
    from fastlog.coordination.groups.consumer.state import Resolved
    from fastlog.coordination.groups.results import JoinRequest, Protocols

K = TypeVar("K")
V = TypeVar("V")

GROUP_BYTES: Final = 2048
MEMBER_BYTES: Final = 1024
_ENTRY_BYTES: Final = 256
"""One given id, protocol or resolved pattern, beside its text."""
OFFSET_BYTES: Final = 400
_PARTITION_BYTES: Final = 160
_NAME_BYTES: Final = 128
_LONG_NAME_BYTES: Final = 256
_RESOLVED_BYTES: Final = 64

_MEMBERS_PER_SHARE: Final = 8
_GROUPS_PER_SHARE: Final = 4


class Weighed(dict[K, V], Generic[K, V]):
    """A dict that knows what its entries weigh. Of the ways to change a dict, those below may be used."""

    def __init__(self, weigh: Callable[[K, V], int], entries: Mapping[K, V] | None = None) -> None:
        super().__init__()
        self._weigh = weigh
        self.weight = 0
        if entries:
            self.update(entries)

    def __setitem__(self, key: K, value: V) -> None:
        if key in self:
            self.weight -= self._weigh(key, self[key])
        super().__setitem__(key, value)
        self.weight += self._weigh(key, value)

    def __delitem__(self, key: K) -> None:
        self.weight -= self._weigh(key, self[key])
        super().__delitem__(key)

    def pop(self, key: K, *default: Any) -> Any:
        """As `dict.pop`."""
        if key in self:
            self.weight -= self._weigh(key, self[key])
        return super().pop(key, *default)

    def setdefault(self, key: K, default: V) -> V:
        """As `dict.setdefault`, with a value."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, entries: Mapping[K, V]) -> None:  # type: ignore[override]
        """As `dict.update`, from a mapping."""
        weigh, former, grown = self._weigh, self.get, 0
        for key, value in entries.items():
            old = former(key)
            grown += weigh(key, value) if old is None else weigh(key, value) - weigh(key, old)
        super().update(entries)
        self.weight += grown


class HasWeight(Protocol):
    """A group of either kind."""

    @property
    def weight(self) -> int:
        """Bytes."""
        ...


class WeighedEntry(Protocol):
    """A group with its offsets, as the table has it."""

    weighed: int

    def weight(self) -> int:
        """What it weighs now, in bytes."""
        ...


class GroupMemory:
    """The sum over all groups, held against their share."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self.used = 0
        """Bytes of all groups, as of when each was weighed last."""

    @property
    def limit(self) -> int:
        """The share of all groups in bytes."""
        return self._limit()

    def weigh(self, entry: WeighedEntry) -> None:
        """Something of the group has changed."""
        self.set_weight(entry, entry.weight())

    def set_weight(self, entry: WeighedEntry, weight: int) -> None:
        """The same when it is known what the group weighs now."""
        self.used += weight - entry.weighed
        entry.weighed = weight

    def forget(self, entry: WeighedEntry) -> None:
        """The group is gone."""
        self.used -= entry.weighed
        entry.weighed = 0

    def has_room(self, entry: WeighedEntry | None, more: int) -> bool:
        """Whether a group (None: a new one) may grow by so many bytes.

        What makes no group grow is let through, also where there is too much already: a limit that was
        lowered must not keep groups from what they do.
        """
        if more <= 0:
            return True
        before = 0 if entry is None else entry.weighed
        limit = self._limit()
        return before + more <= limit // _GROUPS_PER_SHARE and self.used + more <= limit

    def has_room_for_member(self, entry: WeighedEntry | None, weight: int, before: int = 0) -> bool:
        """Whether a member of the group may weigh `weight`, where it weighed `before`.

        One that does not grow is let through: a rebalance of those who are in must not fail.
        """
        if weight <= before:
            return True
        limit, more = self._limit(), weight - before
        return (
            weight <= limit // _MEMBERS_PER_SHARE
            and (more if entry is None else entry.weighed + more) <= limit // _GROUPS_PER_SHARE
            and self.used + more <= limit
        )


def member_weight(names: Iterable[str | None], protocols: Protocols, assignment: bytes = b"") -> int:
    """A member with these ids and names."""
    weight = MEMBER_BYTES + len(assignment) + protocols_weight(protocols)
    for name in names:
        if name:
            weight += len(name)
    return weight


def protocols_weight(protocols: Protocols) -> int:
    """The protocols of a member with their metadata."""
    return _small_weight(protocols) if is_small(protocols) else _weight(protocols)


def _weight(protocols: Protocols) -> int:
    return sum([_ENTRY_BYTES + len(name) + _metadata_weight(metadata) for name, metadata in protocols])


_small_weight: Final = lru_cache(maxsize=1024)(_weight)


def _metadata_weight(metadata: bytes) -> int:
    """With the names of topics that are read from it and kept."""
    names = claimed_names(metadata) or 0
    return len(metadata) + names * _NAME_BYTES + min(len(metadata), names * _LONG_NAME_BYTES)


def join_weight(request: JoinRequest) -> int:
    """The member that a JoinGroup request makes."""
    member_id = request.member_id or request.new_member_id
    weight = MEMBER_BYTES + 2 * len(member_id) + len(request.client_id) + len(request.protocol_type)
    if request.instance_id:
        weight += len(request.instance_id)
    return weight + protocols_weight(request.protocols)


def consumer_member_weight(member_id: str, member: ConsumerMember) -> int:
    """A member of the consumer protocol."""
    details, position = member.details, member.position
    names = (member_id, details.instance_id, details.rack_id, details.client_id, details.regex)
    protocols = () if details.classic is None else details.classic.protocols
    partitions = 2 * (len(position.assigned) + len(position.revoking))
    return member_weight(names, protocols) + names_weight(details.topics) + partitions * _PARTITION_BYTES


def names_weight(names: Iterable[str]) -> int:
    """Names of topics that are kept."""
    return sum([_NAME_BYTES + len(name) for name in names])


def target_weight(member_id: str, partitions: frozenset[Any]) -> int:
    """What a member is to own."""
    return _ENTRY_BYTES + len(member_id) + len(partitions) * _PARTITION_BYTES


def regex_weight(text: str, resolved: Resolved) -> int:
    """The topics that a pattern stands for."""
    return _ENTRY_BYTES + len(text) + resolved_weight(resolved.topics)


def resolved_weight(topics: Iterable[str]) -> int:
    """The topics of a pattern, which shares their names with others."""
    return sum([_RESOLVED_BYTES + len(name) for name in topics])


def given_weight(member_id: str, _deadline: float) -> int:
    """An id that was given out."""
    return _ENTRY_BYTES + len(member_id)


def offset_weight(partition: TopicPartition, committed: CommittedOffset) -> int:
    """One committed offset."""
    return OFFSET_BYTES + len(partition[0]) + len(committed.metadata)


def most_commit_weight(commits: Mapping[TopicPartition, CommittedOffset]) -> int:
    """By how much they would make a group grow that has none of them: quicker to tell."""
    return sum(
        [
            OFFSET_BYTES + len(partition[0]) + len(committed.metadata)
            for partition, committed in commits.items()
        ]
    )


def commit_weight(
    known: Mapping[TopicPartition, CommittedOffset], commits: Mapping[TopicPartition, CommittedOffset]
) -> int:
    """By how much `commits` would make `known` grow."""
    return sum(
        [
            offset_weight(partition, committed)
            - (offset_weight(partition, known[partition]) if partition in known else 0)
            for partition, committed in commits.items()
        ]
    )
