"""The names of kafka_exporter (github.com/danielqsj/kafka_exporter), so that its dashboards and alerts go on.

Names, labels and values are those of version 1.9 with its default settings (`offset.show-all`): offsets are
the high watermark and the log start offset of partitions that this broker leads; for every topic of which a
group has committed any partition, the partitions without a commit show -1 as their offset and lag; the sum of
offsets counts these -1, the sum of lags does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.server.observability.exposition import Family, Kind, Sample, escape, labels, pulse
from fastlog.server.observability.metric_sources import STRIDE

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import PartitionState, TopicState
    from fastlog.server.requests.context import BrokerServices

__all__ = ["kafka_families"]

_NOTHING_COMMITTED: Final = -1


def kafka_families(services: BrokerServices, *, per_partition: bool) -> list[Family]:
    """All families; without `per_partition` only those that have no partition label."""
    view = services.cluster
    families = [
        Family(
            "kafka_brokers", Kind.GAUGE, "Brokers of the cluster.", lambda: [("", len(view.broker_ids()))]
        ),
        Family("kafka_broker_info", Kind.GAUGE, "Address of each broker.", lambda: _addresses(services)),
        Family(
            "kafka_topic_partitions",
            Kind.GAUGE,
            "Partitions of a topic.",
            lambda: ((labels(topic=topic.name), len(topic.partitions)) for topic in _topics(services)),
        ),
    ]
    if per_partition:
        families += _partition_families(services)
    return families + _group_families(services, per_partition=per_partition)


def _partition_families(services: BrokerServices) -> list[Family]:
    def metadata(name: str, text: str, value: Callable[[PartitionState], int]) -> Family:
        def samples() -> Iterator[Sample]:
            for topic in _topics(services):
                for number, state in enumerate(topic.partitions):
                    yield f'{{topic="{topic.name}",partition="{number}"}}', value(state)

        return Family(f"kafka_topic_partition_{name}", Kind.GAUGE, text, samples)

    def leaders() -> Iterator[Sample]:
        for topic in _topics(services):
            for number, state in enumerate(topic.partitions):
                if state.leader >= 0:
                    yield f'{{topic="{topic.name}",partition="{number}"}}', state.leader

    return [
        Family("kafka_topic_partition_leader", Kind.GAUGE, "Broker that leads a partition.", leaders),
        Family(
            "kafka_topic_partition_current_offset",
            Kind.GAUGE,
            "Offset of the next record that consumers will see (high watermark).",
            lambda: _offsets(services, newest=True),
        ),
        Family(
            "kafka_topic_partition_oldest_offset",
            Kind.GAUGE,
            "Offset of the oldest record that is kept.",
            lambda: _offsets(services, newest=False),
        ),
        metadata("replicas", "Replicas of a partition.", lambda state: len(state.replicas)),
        metadata("in_sync_replica", "In-sync replicas of a partition.", lambda state: len(state.isr)),
        metadata(
            "leader_is_preferred",
            "1 when the first replica leads the partition.",
            lambda state: int(bool(state.replicas) and state.leader == state.replicas[0]),
        ),
        metadata(
            "under_replicated_partition",
            "1 when a replica of the partition is not in sync.",
            lambda state: int(len(state.isr) < len(state.replicas)),
        ),
    ]


def _group_families(services: BrokerServices, *, per_partition: bool) -> list[Family]:
    positions = _Positions(services)
    families = [
        Family("kafka_consumergroup_members", Kind.GAUGE, "Members of a group.", lambda: _members(services)),
    ]
    if per_partition:
        families += [
            Family(
                "kafka_consumergroup_current_offset",
                Kind.GAUGE,
                "Offset that a group has committed; -1 where it has none but has one of another partition.",
                positions.offsets,
            ),
            Family(
                "kafka_consumergroup_lag",
                Kind.GAUGE,
                "Records between a group's committed offset and the high watermark; -1 without a commit.",
                positions.lags,
            ),
        ]
    return [
        *families,
        Family(
            "kafka_consumergroup_current_offset_sum",
            Kind.GAUGE,
            "The committed offsets of a group in all partitions of a topic.",
            positions.offset_sums,
        ),
        Family(
            "kafka_consumergroup_lag_sum",
            Kind.GAUGE,
            "The lag of a group in all partitions of a topic.",
            positions.lag_sums,
        ),
    ]


class _Positions:
    """Groups against the partitions that they consume. High watermarks are looked up once per scrape.

    A group may have committed to all partitions of the broker, and a topic may have thousands: what is gone
    through before the next line pulses.
    """

    def __init__(self, services: BrokerServices) -> None:
        self._services = services
        self._marks: dict[str, list[int | None]] = {}

    def offsets(self) -> Iterator[Sample]:
        """Per group and partition: the committed offset."""
        for row in self._consumed():
            yield pulse()
            if row is not None:
                for number in range(len(row.marks)):
                    yield row.labels_of(number), row.committed.get(number, _NOTHING_COMMITTED)

    def lags(self) -> Iterator[Sample]:
        """Per group and partition: the lag. Nothing for partitions whose end is not known here."""
        for row in self._consumed():
            yield pulse()
            if row is not None:
                for number, mark in enumerate(row.marks):
                    if mark is not None:
                        offset = row.committed.get(number)
                        yield row.labels_of(number), _NOTHING_COMMITTED if offset is None else mark - offset

    def offset_sums(self) -> Iterator[Sample]:
        """Per group and topic: the sum of offsets, where no commit counts as -1."""
        for row in self._consumed():
            yield pulse()
            if row is not None:
                missing = len(row.marks) - len(row.committed)
                yield row.labels, sum(row.committed.values()) + missing * _NOTHING_COMMITTED

    def lag_sums(self) -> Iterator[Sample]:
        """Per group and topic: the sum of lags of what is committed."""
        for row in self._consumed():
            yield pulse()
            if row is not None:
                known = ((row.marks[number], offset) for number, offset in row.committed.items())
                yield row.labels, sum(mark - offset for mark, offset in known if mark is not None)

    def _consumed(self) -> Iterator[_Consumed | None]:
        """What groups have committed of topics that exist; None now and then, to pulse."""
        for entry in self._services.groups.table:
            topics: defaultdict[str, dict[int, int]] = defaultdict(dict)
            for index, ((topic, partition), committed) in enumerate(list(entry.offsets.committed.items())):
                if not index % STRIDE:
                    yield None
                topics[topic][partition] = committed.offset
            group = escape(entry.group.group_id)
            for topic, offsets in topics.items():
                if topic not in self._marks:
                    yield from self._look_up(topic)
                marks = self._marks[topic]
                # A topic that was made anew with fewer partitions leaves such offsets behind for a while.
                present = {number: offset for number, offset in offsets.items() if 0 <= number < len(marks)}
                if present:
                    yield _Consumed(group, topic, present, marks)

    def _look_up(self, topic: str) -> Iterator[None]:
        state = self._services.cluster.topics.get(topic)
        marks: list[int | None] = []
        for number in range(0 if state is None else len(state.partitions)):
            if not number % STRIDE:
                yield None
            marks.append(_offset(self._services, topic, number, newest=True))
        self._marks[topic] = marks


class _Consumed(NamedTuple):
    """One topic of one group: offsets by partition, and the high watermarks of all partitions."""

    group: str
    """As a label value."""
    topic: str
    committed: Mapping[int, int]
    marks: list[int | None]

    @property
    def labels(self) -> str:
        """Those of a sum."""
        return f'{{consumergroup="{self.group}",topic="{self.topic}"}}'

    def labels_of(self, partition: int) -> str:
        """Those of one partition."""
        return f'{{consumergroup="{self.group}",topic="{self.topic}",partition="{partition}"}}'


def _topics(services: BrokerServices) -> list[TopicState]:
    # As they come: to sort thousands of names would hold the event loop.
    return list(services.cluster.topics.values())


def _offsets(services: BrokerServices, *, newest: bool) -> Iterator[Sample]:
    for topic in _topics(services):
        for number in range(len(topic.partitions)):
            offset = _offset(services, topic.name, number, newest=newest)
            if offset is not None:
                yield f'{{topic="{topic.name}",partition="{number}"}}', offset


def _offset(services: BrokerServices, topic: str, number: int, *, newest: bool) -> int | None:
    replica = services.replicas.get(topic, number)
    if replica is None or replica.leader_error():
        return None
    return replica.high_watermark if newest else replica.log.log_start_offset


def _members(services: BrokerServices) -> Iterator[Sample]:
    for index, entry in enumerate(services.groups.table):
        if not index % STRIDE:
            yield pulse()
        yield labels(consumergroup=entry.group.group_id), len(entry.group.members)


def _addresses(services: BrokerServices) -> Iterator[Sample]:
    """The first listener of each broker: kafka_exporter shows the one that it is connected to."""
    for broker in services.cluster.brokers():
        for host, port in list(broker.endpoints.values())[:1]:
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            yield labels(id=broker.id, address=shown), 1
