"""The `uniform` assignor: numbers of partitions as equal as the subscriptions allow, and few moves.

Members keep what they have as long as it fits. With equal subscriptions nobody has two partitions more than
anybody else, and no more partitions move than that takes. With differing subscriptions free partitions go to
the subscriber with the fewest, and then partitions move one by one until no single move brings two members
closer together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heapreplace

from fastlog.coordination.groups.modern.assignors.spec import Assignment, MemberSpec, TopicPartition


def assign(members: Mapping[str, MemberSpec], partitions: Mapping[bytes, int]) -> dict[str, Assignment]:
    """See `spec.Assignor`."""
    owned, free = _kept(members, partitions)
    if len({member.topics for member in members.values()}) == 1:
        _even_out(owned, free)
    else:
        _spread(owned, free, members)
    return {name: frozenset(of_member) for name, of_member in owned.items()}


def _kept(
    members: Mapping[str, MemberSpec], partitions: Mapping[bytes, int]
) -> tuple[dict[str, set[TopicPartition]], list[TopicPartition]]:
    """(what each member may keep, partitions that nobody has), both without a view to balance."""
    topics = sorted({topic_id for member in members.values() for topic_id in member.topics})
    free = {(topic_id, number) for topic_id in topics for number in range(partitions[topic_id])}
    owned: dict[str, set[TopicPartition]] = {}
    for name in sorted(members):
        member = members[name]
        owned[name] = {key for key in member.assignment if key[0] in member.topics and key in free}
        free -= owned[name]
    return owned, sorted(free)


def _even_out(owned: dict[str, set[TopicPartition]], free: list[TopicPartition]) -> None:
    total = len(free) + sum(map(len, owned.values()))
    least, odd = divmod(total, len(owned))
    # Whoever has the most gets the odd ones: they would have to be taken away otherwise.
    order = sorted(owned, key=lambda name: (-len(owned[name]), name))
    quotas = {name: least + (place < odd) for place, name in enumerate(order)}
    for name in order:
        surplus = sorted(owned[name])[quotas[name] :]
        owned[name].difference_update(surplus)
        free.extend(surplus)
    free.sort(reverse=True)
    for name in reversed(order):
        while len(owned[name]) < quotas[name]:
            owned[name].add(free.pop())


def _spread(
    owned: dict[str, set[TopicPartition]], free: Iterable[TopicPartition], members: Mapping[str, MemberSpec]
) -> None:
    subscribers: dict[bytes, list[str]] = {}
    for name in sorted(members):
        for topic_id in members[name].topics:
            subscribers.setdefault(topic_id, []).append(name)
    # Topics with few subscribers first: the others have more choice later.
    grouped: dict[bytes, list[TopicPartition]] = {}
    for key in free:
        grouped.setdefault(key[0], []).append(key)
    for topic_id in sorted(grouped, key=lambda topic_id: (len(subscribers[topic_id]), topic_id)):
        heap = [(len(owned[name]), name) for name in subscribers[topic_id]]
        heapify(heap)
        for key in grouped[topic_id]:
            count, name = heap[0]
            owned[name].add(key)
            heapreplace(heap, (count + 1, name))
    while any(_balance_topic(topic_id, names, owned) for topic_id, names in subscribers.items()):
        # A move within one topic can make room for one within another. Each move makes the sum of the
        # squares of all numbers smaller, so this ends.
        pass


def _balance_topic(topic_id: bytes, names: list[str], owned: dict[str, set[TopicPartition]]) -> bool:
    """Moves partitions of one topic while that brings two members closer; whether any moved."""
    movable = {name: sorted(key for key in owned[name] if key[0] == topic_id) for name in names}
    moved = False
    while True:
        givers = [name for name in names if movable[name]]
        if not givers:
            return moved
        giver = max(givers, key=lambda name: (len(owned[name]), name))
        taker = min(names, key=lambda name: (len(owned[name]), name))
        if len(owned[giver]) - len(owned[taker]) < 2:
            return moved
        key = movable[giver].pop()
        owned[giver].discard(key)
        owned[taker].add(key)
        movable[taker].append(key)
        moved = True
