"""Partitions for members whose subscriptions differ: even numbers, few moves, and a bound on the work.

Partitions of one topic are alike here: they are counted by member and topic, and one is looked at only when
it moves. One round over the topics costs as many steps as there are subscriptions; later rounds look only at
topics with a subscriber whose number has changed. Chains of subscriptions (each member shares a topic with
the next one alone) can take many rounds: `_ROUNDS` ends them with an assignment that is complete, and a
little less even than it could be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, TypeAlias

from fastlog.coordination.groups.consumer.assignors.spec import MemberSpec, TopicPartition

_ROUNDS: Final = 64
"""What the work is bounded by: rounds over all subscriptions, each a few steps."""

_Owned: TypeAlias = dict[str, set[TopicPartition]]


def spread(owned: _Owned, free: Iterable[TopicPartition], members: Mapping[str, MemberSpec]) -> None:
    """Gives out `free`, whose topics have subscribers, and evens out what the members have."""
    order = {name: place for place, name in enumerate(sorted(members))}
    subscribers: dict[bytes, list[str]] = {}
    for name in order:
        for topic_id in members[name].topics:
            subscribers.setdefault(topic_id, []).append(name)
    # Topics with few subscribers first: the others have more choice later.
    topics = sorted(subscribers, key=lambda topic_id: (len(subscribers[topic_id]), topic_id))
    _give_out(owned, free, subscribers, topics)
    stock: dict[bytes, dict[str, list[TopicPartition]]] = {topic_id: {} for topic_id in topics}
    for name, keys in owned.items():
        for key in keys:
            stock[key[0]].setdefault(name, []).append(key)
    for held in stock.values():
        for keys_of_topic in held.values():
            keys_of_topic.sort()
    # A move within one topic can make room for one within another. Each move makes the sum of the squares of
    # all numbers smaller, so that this ends by itself; the bound is for how soon.
    for _ in range(_ROUNDS):
        changed: set[str] = set()
        for topic_id in topics:
            changed |= _balance(subscribers[topic_id], stock[topic_id], owned, order)
        if not changed:
            return
        topics = [topic_id for topic_id in topics if not changed.isdisjoint(subscribers[topic_id])]


def _give_out(
    owned: _Owned,
    free: Iterable[TopicPartition],
    subscribers: Mapping[bytes, list[str]],
    topics: Iterable[bytes],
) -> None:
    grouped: dict[bytes, list[TopicPartition]] = {}
    for key in free:
        grouped.setdefault(key[0], []).append(key)
    for topic_id in topics:
        if topic_id not in grouped:
            continue
        heap = [(len(owned[name]), name) for name in subscribers[topic_id]]
        heapify(heap)
        for key in grouped[topic_id]:
            count, name = heap[0]
            owned[name].add(key)
            heapreplace(heap, (count + 1, name))


def _balance(
    names: list[str], held: dict[str, list[TopicPartition]], owned: _Owned, order: Mapping[str, int]
) -> set[str]:
    """Moves partitions of one topic while that brings two of its subscribers closer; who was concerned.

    `held` has what each subscriber has of the topic. In both heaps an entry whose number is not that of now
    is one that a newer entry has taken the place of.
    """
    changed: set[str] = set()
    most = max([len(owned[name]) for name, keys in held.items() if keys], default=0)
    if most - min([len(owned[name]) for name in names]) < 2:
        return changed
    givers = [(-len(owned[name]), -order[name], name) for name, keys in held.items() if keys]
    takers = [(len(owned[name]), order[name], name) for name in names]
    heapify(givers)
    heapify(takers)
    while givers:
        (least, _, giver), (count, _, taker) = givers[0], takers[0]
        if -least != len(owned[giver]) or not held[giver]:
            heappop(givers)
        elif count != len(owned[taker]):
            heappop(takers)
        elif -least - count < 2:
            break
        else:
            key = held[giver].pop()
            owned[giver].discard(key)
            owned[taker].add(key)
            held.setdefault(taker, []).append(key)
            changed |= {giver, taker}
            for name in (giver, taker):
                heappush(givers, (-len(owned[name]), -order[name], name))
                heappush(takers, (len(owned[name]), order[name], name))
    return changed
