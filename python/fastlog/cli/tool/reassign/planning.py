"""Which brokers shall hold which partition, with as few replicas moved as that takes. Pure functions.

Five steps, each of which only does what the ones before have left to do:

1. keep    replicas stay where they are if their broker is among the given ones; what is one too many goes
           from the rack, then the broker, that has the most.
2. fill    missing replicas go to a rack that the partition has least of, there to the broker with the least.
3. spread  two replicas of a partition share a rack while another rack has none: one of them moves there.
4. even    while one broker holds two replicas more than another, one moves, as long as that makes no
           partition's racks worse. A replica that moves anyway goes first.
5. lead    the order of replicas is changed until the first ones, the preferred leaders, are spread evenly
           too. That moves no data.

What counts as a broker's load is its number of replicas of the partitions that are planned. A topic's
replicas may so end on few brokers, if that is where they are and the load of all together is even.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from fastlog.client.metadata import TopicPartition

__all__ = ["Placement", "plan_replicas"]

Placement = dict[TopicPartition, tuple[int, ...]]
"""Node ids of replicas by partition, the preferred leader first."""


def plan_replicas(
    current: Mapping[TopicPartition, Sequence[int]],
    brokers: Mapping[int, str | None],
    *,
    replication: int | None = None,
) -> Placement:
    """Replicas of each partition on these brokers; None of `replication` keeps each partition's number.

    `brokers` gives the rack of each; without one of any broker racks are not looked at. Raises ValueError
    when there are fewer brokers than replicas.
    """
    if not brokers or any(len(brokers) < (replication or len(nodes)) for nodes in current.values()):
        most = max((replication or len(nodes) for nodes in current.values()), default=1)
        raise ValueError(f"{most} replicas need as many brokers, and there are {len(brokers)}")
    planner = _Planner(current, brokers)
    for name in sorted(current):
        planner.keep(name, replication or len(current[name]))
    for name in sorted(current):
        planner.fill(name, replication or len(current[name]))
    for name in sorted(current):
        planner.spread(name)
    while planner.move_some():
        pass
    while planner.change_one_leader():
        pass
    return {name: tuple(planner.replicas[name]) for name in sorted(current)}


class _Planner:
    def __init__(
        self, current: Mapping[TopicPartition, Sequence[int]], brokers: Mapping[int, str | None]
    ) -> None:
        aware = None not in brokers.values()
        self.replicas: Final[dict[TopicPartition, list[int]]] = {}
        self._current = {name: frozenset(nodes) for name, nodes in current.items()}
        self._racks: Final = {node: rack if aware else None for node, rack in sorted(brokers.items())}
        self._held: Final[dict[int, dict[TopicPartition, None]]] = {node: {} for node in self._racks}
        self._of_topic: Final[Counter[tuple[str, int]]] = Counter()
        for name, nodes in sorted(current.items()):
            self.replicas[name] = []
            for node in nodes:
                if node in self._racks:
                    self._add(name, node, len(self.replicas[name]))

    # -- steps --------------------

    def keep(self, name: TopicPartition, count: int) -> None:
        """Drops what is one too many, but for the preferred leader."""
        nodes = self.replicas[name]
        while len(nodes) > count:
            usage = self._usage(nodes)
            self._drop(
                name,
                max(
                    range(1, len(nodes)),
                    key=lambda at: (usage[self._racks[nodes[at]]], self._load(nodes[at]), at),
                ),
            )

    def fill(self, name: TopicPartition, count: int) -> None:
        """Adds what is missing."""
        nodes = self.replicas[name]
        while len(nodes) < count:
            self._add(name, self._lightest(name, set(self._racks.values())), len(nodes))

    def spread(self, name: TopicPartition) -> None:
        """Brings replicas from racks with two more of them to racks that have a broker left for them."""
        nodes = self.replicas[name]
        while True:
            usage = self._usage(nodes)
            free = {self._racks[node] for node in self._racks if node not in nodes}
            if not free:
                return
            fewest = min(usage[rack] for rack in free)
            crowded = [at for at, node in enumerate(nodes) if usage[self._racks[node]] >= fewest + 2]
            if not crowded:
                return
            target = self._lightest(name, {rack for rack in free if usage[rack] == fewest})
            # Of equals the last, so that the leader stays if it can.
            at = max(
                crowded,
                key=lambda item: (
                    usage[self._racks[nodes[item]]],
                    self._is_new(name, item),
                    self._load(nodes[item]),
                    item,
                ),
            )
            self._drop(name, at)
            self._add(name, target, at)

    def move_some(self) -> bool:
        """Moves replicas from a broker that holds more to one that holds less; False: all is even."""
        loads = {node: self._load(node) for node in self._racks}
        total, count = sum(loads.values()), len(loads)
        for most, least in self._uneven_pairs(loads):
            # No more than both need, so that nothing moves twice.
            wanted = max(1, min(loads[most] - -(-total // count), total // count - loads[least]))
            chosen = list(islice(self._movable(most, least), wanted))
            for name in chosen:
                at = self.replicas[name].index(most)
                self._drop(name, at)
                self._add(name, least, at)
            if chosen:
                return True
        return False

    def _movable(self, source: int, target: int) -> Iterator[TopicPartition]:
        """What may move, in order: what moves anyway, what is not led, what its topic has more of here."""
        by_topic: defaultdict[str, list[tuple[bool, bool, TopicPartition]]] = defaultdict(list)
        for name in self._held[source]:
            nodes = self.replicas[name]
            if target not in nodes and self._may_change_racks(nodes, source, target):
                by_topic[name.topic].append((source in self._current[name], nodes[0] == source, name))
        heap: list[tuple[bool, bool, int, str]] = []

        def put(topic: str, surplus: int) -> None:
            if by_topic[topic]:
                stays, leads, _ = by_topic[topic][-1]
                heappush(heap, (stays, leads, -surplus, topic))

        for topic, rows in by_topic.items():
            rows.sort(reverse=True)
            put(topic, self._of_topic[topic, source] - self._of_topic[topic, target])
        while heap:
            *_, surplus, topic = heappop(heap)
            yield by_topic[topic].pop()[2]
            put(topic, -surplus - 2)

    def change_one_leader(self) -> bool:
        """Gives the first place from a broker that has more of them to one that has less, perhaps by way of
        others; False: they are spread as evenly as the replicas allow.
        """
        first: defaultdict[int, list[TopicPartition]] = defaultdict(list)
        for name, nodes in self.replicas.items():
            if nodes:
                first[nodes[0]].append(name)
        counts = {node: len(first[node]) for node in self._racks}
        for most in sorted(counts, key=lambda node: -counts[node]):
            way = self._way(most, first, counts)
            for name, node in way:
                nodes = self.replicas[name]
                at = nodes.index(node)
                nodes[0], nodes[at] = nodes[at], nodes[0]
            if way:
                return True
        return False

    def _way(
        self, most: int, first: Mapping[int, Sequence[TopicPartition]], counts: Mapping[int, int]
    ) -> list[tuple[TopicPartition, int]]:
        """The shortest chain of partitions, with who comes first in each, to a node that leads two less."""
        came: dict[int, tuple[int, TopicPartition]] = {}
        seen = {most}
        waiting = deque([most])
        while waiting:
            node = waiting.popleft()
            if counts[node] <= counts[most] - 2:
                way: list[tuple[TopicPartition, int]] = []
                while node != most:
                    before, name = came[node]
                    way.append((name, node))
                    node = before
                return way
            for name in first.get(node, ()):
                for other in self.replicas[name]:
                    if other not in seen:
                        seen.add(other)
                        came[other] = node, name
                        waiting.append(other)
        return []

    # -- what is where --------------------

    def _add(self, name: TopicPartition, node: int, at: int) -> None:
        self.replicas[name].insert(at, node)
        self._held[node][name] = None
        self._of_topic[name.topic, node] += 1

    def _drop(self, name: TopicPartition, at: int) -> None:
        node = self.replicas[name].pop(at)
        del self._held[node][name]
        self._of_topic[name.topic, node] -= 1

    def _load(self, node: int) -> int:
        return len(self._held[node])

    def _usage(self, nodes: Sequence[int]) -> Counter[str | None]:
        return Counter(self._racks[node] for node in nodes)

    def _is_new(self, name: TopicPartition, at: int) -> bool:
        return self.replicas[name][at] not in self._current[name]

    def _lightest(self, name: TopicPartition, racks: set[str | None]) -> int:
        """The broker in these racks for one more replica."""
        nodes = self.replicas[name]
        usage = self._usage(nodes)
        return min(
            (node for node, rack in self._racks.items() if rack in racks and node not in nodes),
            key=lambda node: (
                usage[self._racks[node]],
                self._load(node),
                self._of_topic[name.topic, node],
                node,
            ),
        )

    def _may_change_racks(self, nodes: Sequence[int], source: int, target: int) -> bool:
        old, new = self._racks[source], self._racks[target]
        if old == new:
            return True
        usage = self._usage(nodes)
        return usage[new] < usage[old]

    @staticmethod
    def _uneven_pairs(counts: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """Pairs of nodes that differ by two or more, those that differ most first."""
        down = sorted(counts, key=lambda node: (-counts[node], node))
        up = sorted(counts, key=lambda node: (counts[node], node))
        for most in down:
            for least in up:
                if counts[most] - counts[least] < 2:
                    break
                yield most, least
