"""The `uniform` assignor: numbers of partitions as equal as the subscriptions allow, and few moves.

Members keep what they have as long as it fits. With equal subscriptions nobody has two partitions more than
anybody else, and no more partitions move than that takes. With differing subscriptions free partitions go to
the subscriber with the fewest, and then partitions move one by one until no single move brings two members
closer together (`balancing`).
"""

from __future__ import annotations

from collections.abc import Mapping

from fastlog.coordination.groups.consumer.assignors.balancing import spread
from fastlog.coordination.groups.consumer.assignors.spec import Assignment, MemberSpec, TopicPartition


def assign(members: Mapping[str, MemberSpec], partitions: Mapping[bytes, int]) -> dict[str, Assignment]:
    """See `spec.Assignor`."""
    owned, free = _kept(members, partitions)
    if len({member.topics for member in members.values()}) == 1:
        _even_out(owned, free)
    else:
        spread(owned, free, members)
    return {name: frozenset(of_member) for name, of_member in owned.items()}


def _kept(
    members: Mapping[str, MemberSpec], partitions: Mapping[bytes, int]
) -> tuple[dict[str, set[TopicPartition]], list[TopicPartition]]:
    """(what each member may keep, partitions that nobody has in their order), without a view to balance."""
    taken: set[TopicPartition] = set()
    owned: dict[str, set[TopicPartition]] = {}
    for name in sorted(members):
        topics = members[name].topics
        owned[name] = {
            key
            for key in members[name].assignment
            if key[0] in topics and key[1] < partitions[key[0]] and key not in taken
        }
        taken |= owned[name]
    wanted = sorted(frozenset().union(*{member.topics for member in members.values()}))
    # Already in order: to sort the partitions of a large group would take the interpreter for long.
    every = ((topic_id, number) for topic_id in wanted for number in range(partitions[topic_id]))
    return owned, [key for key in every if key not in taken]


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
