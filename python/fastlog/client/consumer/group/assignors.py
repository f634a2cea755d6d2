"""Who reads what: the four assignors of Kafka's consumer, as pure functions.

Each takes the members' subscriptions and the number of partitions of each topic, and gives every member its
partitions. Names and rules are those of `org.apache.kafka.clients.consumer`: `RangeAssignor`,
`RoundRobinAssignor`, `StickyAssignor`, `CooperativeStickyAssignor`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from fastlog.client.consumer.group.messages import Subscription
from fastlog.client.metadata import TopicPartition

__all__ = ["ASSIGNORS", "COOPERATIVE", "assign_range", "assign_round_robin", "assign_sticky"]

Members = Mapping[str, Subscription]
Counts = Mapping[str, int]
Assignment = dict[str, set[TopicPartition]]

COOPERATIVE: Final = frozenset({"cooperative-sticky"})
"""Assignors with which members keep what they own while others join (KIP-429)."""


def assign_range(members: Members, counts: Counts) -> Assignment:
    """Of each topic a run of neighbours; the first members get one more where it does not divide.

    Topics with as many partitions are cut alike, so that equal numbers meet in one member.
    """
    found: Assignment = {member: set() for member in members}
    for topic, readers in _readers(members).items():
        share, more = divmod(counts.get(topic, 0), len(readers))
        start = 0
        for number, member in enumerate(readers):
            end = start + share + (number < more)
            found[member] |= {TopicPartition(topic, index) for index in range(start, end)}
            start = end
    return found


def assign_round_robin(members: Members, counts: Counts) -> Assignment:
    """All partitions of all topics in turns, to whoever is subscribed."""
    found: Assignment = {member: set() for member in members}
    order = _ordered(members)
    turn = 0
    for topic, readers in sorted(_readers(members).items()):
        able = set(readers)
        for index in range(counts.get(topic, 0)):
            while order[turn % len(order)] not in able:
                turn += 1
            found[order[turn % len(order)]].add(TopicPartition(topic, index))
            turn += 1
    return found


def assign_sticky(members: Members, counts: Counts) -> Assignment:
    """As even as it can be, and within that each member keeps what it owned in the latest generation."""
    readers = _readers(members)
    able = {topic: set(names) for topic, names in readers.items()}
    owner = _owners(members, counts, able)
    found: Assignment = {member: set() for member in members}
    for name, member in owner.items():
        found[member].add(name)
    # Those that few can read come first, so that the others can make up for it.
    missing = [
        TopicPartition(topic, index)
        for topic in sorted(readers, key=lambda topic: (len(readers[topic]), topic))
        for index in range(counts.get(topic, 0))
        if TopicPartition(topic, index) not in owner
    ]
    for name in missing:
        found[min(readers[name.topic], key=lambda member: len(found[member]))].add(name)
    _even_out(found, readers, able)
    return found


def assign_cooperative(members: Members, counts: Counts) -> Assignment:
    """As sticky, but what moves is given to nobody yet: who owns it gives it up first, and all join again."""
    found = assign_sticky(members, counts)
    owner = {name: member for member, row in members.items() for name in row.owned}
    for member, names in found.items():
        names -= {name for name in names if owner.get(name, member) != member}
    return found


ASSIGNORS: Final[dict[str, Callable[[Members, Counts], Assignment]]] = {
    "range": assign_range,
    "roundrobin": assign_round_robin,
    "sticky": assign_sticky,
    "cooperative-sticky": assign_cooperative,
}
"""By the names that members tell the coordinator."""


def _ordered(members: Members) -> list[str]:
    """Static members first, by their own names: they come back under other ids."""

    def place(member: str) -> tuple[bool, str]:
        name = members[member].instance_id
        return name is None, member if name is None else name

    return sorted(members, key=place)


def _readers(members: Members) -> dict[str, list[str]]:
    topics: defaultdict[str, list[str]] = defaultdict(list)
    for member in _ordered(members):
        for topic in members[member].topics:
            topics[topic].append(member)
    return dict(topics)


def _owners(members: Members, counts: Counts, able: dict[str, set[str]]) -> dict[TopicPartition, str]:
    """Who owned what last, and may own it still."""
    owner: dict[TopicPartition, str] = {}
    for member in _ordered(members):
        row = members[member]
        for name in row.owned:
            if member not in able.get(name.topic, ()) or name.partition >= counts.get(name.topic, 0):
                continue
            other = owner.get(name)
            if other is None or members[other].generation < row.generation:
                owner[name] = member
    return owner


def _even_out(found: Assignment, readers: dict[str, list[str]], able: dict[str, set[str]]) -> None:
    """Moves single partitions from members that have more than one too many."""
    moved = True
    while moved:
        moved = False
        for giver in sorted(found, key=lambda member: -len(found[member])):
            for name in sorted(found[giver]):
                taker = min(readers[name.topic], key=lambda member: len(found[member]))
                if taker in able[name.topic] and len(found[giver]) - len(found[taker]) > 1:
                    found[giver].remove(name)
                    found[taker].add(name)
                    moved = True
