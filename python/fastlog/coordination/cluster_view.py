"""What this broker knows of the cluster, for synchronous reads on the request path.

`ClusterSnapshot` is immutable; `ClusterView` holds the current one and is replaced in one assignment, so a
handler that keeps `view.snapshot` in a local sees one consistent state however long it works. What a change
costs does not depend on how many topics there are: snapshots share those that are as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType

from fastlog.base.persistent_map import PersistentMap
from fastlog.base.quick_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """One live broker: its node id, rack, and (host, port) by listener name."""

    id: int
    rack: str | None
    endpoints: Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Who leads and follows one partition. `leader` is -1 when there is none.

    `partition_epoch` rises with each change that the controller stores of it. `offline` are the replicas that
    the controller takes for not usable, live or not.
    """

    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    partition_epoch: int = 0
    offline: tuple[int, ...] = ()


UNKNOWN_PARTITION = PartitionState(leader=-1, leader_epoch=-1, replicas=(), isr=())
"""Stands for a partition of which the controller has not said anything yet, below one of which it has."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic: `configs` are its own overrides only, `topic_id` has 16 bytes."""

    name: str
    topic_id: bytes
    partitions: tuple[PartitionState, ...]
    configs: Mapping[str, str]
    internal: bool = False


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """One state of the cluster; `generation` grows with each change."""

    generation: int = 0
    cluster_id: str = ""
    controller_id: int = -1
    brokers: tuple[BrokerInfo, ...] = ()
    topics: PersistentMap[str, TopicState] = field(default_factory=PersistentMap)
    topics_by_id: PersistentMap[bytes, TopicState] = field(default_factory=PersistentMap)
    # Overrides set at run time: key None holds the cluster-wide defaults, a node id one broker's own.
    broker_configs: Mapping[int | None, Mapping[str, str]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    # Overrides of groups, whether or not there is such a group now.
    group_configs: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    # Levels that the cluster has finalized, and the version of what says so; -1 when nothing does.
    features: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    features_epoch: int = -1


class ClusterView:
    """The current snapshot. Changed on the event loop only; read from anywhere."""

    def __init__(self, snapshot: ClusterSnapshot | None = None) -> None:
        self._snapshot = snapshot or ClusterSnapshot()

    @property
    def snapshot(self) -> ClusterSnapshot:
        """The state as of now, never changed afterwards."""
        return self._snapshot

    @property
    def generation(self) -> int:
        """Grows with each change: caches derived from the view compare it."""
        return self._snapshot.generation

    @property
    def cluster_id(self) -> str:
        """The cluster's id, as Metadata and DescribeCluster give it."""
        return self._snapshot.cluster_id

    @property
    def controller_id(self) -> int:
        """Node id of the controller, -1 when there is none."""
        return self._snapshot.controller_id

    @property
    def topics(self) -> Mapping[str, TopicState]:
        """Visible topics by name."""
        return self._snapshot.topics

    def brokers(self) -> list[BrokerInfo]:
        """Live brokers in node id order."""
        return list(self._snapshot.brokers)

    def broker_ids(self) -> list[int]:
        """Node ids of the live brokers, rising."""
        return [broker.id for broker in self._snapshot.brokers]

    def racks(self) -> dict[int, str | None]:
        """The rack of each live broker, where it names one."""
        return {broker.id: broker.rack for broker in self._snapshot.brokers}

    def is_alive(self, node_id: int) -> bool:
        """Whether that broker is one of them."""
        return any(broker.id == node_id for broker in self._snapshot.brokers)

    def topic_by_id(self, topic_id: bytes) -> TopicState | None:
        """The topic with that id of 16 bytes, or None."""
        return self._snapshot.topics_by_id.get(topic_id)

    def broker_config_overrides(self, node_id: int) -> dict[str, str]:
        """Run-time overrides that hold for one broker: its own over the cluster-wide ones."""
        configs = self._snapshot.broker_configs
        return {**configs.get(None, {}), **configs.get(node_id, {})}

    @property
    def features(self) -> Mapping[str, int]:
        """Levels of features that the cluster has finalized (KIP-584)."""
        return self._snapshot.features

    @property
    def features_epoch(self) -> int:
        """Rises with each change of these; -1 while none are known."""
        return self._snapshot.features_epoch

    def set_features(self, levels: Mapping[str, int], epoch: int) -> None:
        """Other levels are finalized."""
        frozen = MappingProxyType(dict(levels))
        self._publish(replace(self._snapshot, features=frozen, features_epoch=epoch))

    def set_identity(self, cluster_id: str, controller_id: int) -> None:
        """Makes cluster and controller known."""
        self._publish(replace(self._snapshot, cluster_id=cluster_id, controller_id=controller_id))

    def set_controller(self, controller_id: int) -> None:
        """Makes another controller known."""
        if controller_id != self._snapshot.controller_id:
            self._publish(replace(self._snapshot, controller_id=controller_id))

    def set_brokers(self, brokers: tuple[BrokerInfo, ...]) -> None:
        """Replaces the list of live brokers."""
        ordered = tuple(sorted(brokers, key=lambda broker: broker.id))
        self._publish(replace(self._snapshot, brokers=ordered))

    def set_topics(self, topics: Mapping[str, TopicState]) -> None:
        """Replaces all topics (start-up)."""
        by_id = {topic.topic_id: topic for topic in topics.values()}
        self._publish_topics(PersistentMap(topics), PersistentMap(by_id))

    def put_topic(self, topic: TopicState) -> None:
        """Adds or replaces one topic."""
        self.put_topics([topic])

    def put_topics(self, changed: Sequence[TopicState]) -> None:
        """Adds or replaces topics, all at once."""
        topics, by_id = self._snapshot.topics, self._snapshot.topics_by_id
        former = [topics[topic.name].topic_id for topic in changed if topic.name in topics]
        self._publish_topics(
            topics.updated({topic.name: topic for topic in changed}),
            by_id.without(former).updated({topic.topic_id: topic for topic in changed}),
        )

    def remove_topic(self, name: str) -> None:
        """Takes one topic out of sight; unknown names are ignored."""
        self.remove_topics([name])

    def remove_topics(self, names: Iterable[str]) -> None:
        """Takes topics out of sight, all at once; unknown names are ignored."""
        topics, by_id = self._snapshot.topics, self._snapshot.topics_by_id
        gone = [topics[name] for name in names if name in topics]
        if gone:
            self._publish_topics(
                topics.without(topic.name for topic in gone), by_id.without(topic.topic_id for topic in gone)
            )

    def set_broker_configs(self, configs: Mapping[int | None, Mapping[str, str]]) -> None:
        """Replaces the run-time broker overrides."""
        frozen = {key: MappingProxyType(dict(values)) for key, values in configs.items()}
        self._publish(replace(self._snapshot, broker_configs=MappingProxyType(frozen)))

    def set_group_configs(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        """Replaces the overrides of all groups (start-up)."""
        frozen = {key: MappingProxyType(dict(values)) for key, values in configs.items()}
        self._publish(replace(self._snapshot, group_configs=MappingProxyType(frozen)))

    def put_group_configs(self, changed: Mapping[str, Mapping[str, str]]) -> None:
        """Replaces the overrides of some groups, all at once; a group without any is forgotten."""
        configs = dict(self._snapshot.group_configs)
        for group_id, values in changed.items():
            if values:
                configs[group_id] = MappingProxyType(dict(values))
            else:
                configs.pop(group_id, None)
        self._publish(replace(self._snapshot, group_configs=MappingProxyType(configs)))

    def _publish_topics(
        self, topics: PersistentMap[str, TopicState], by_id: PersistentMap[bytes, TopicState]
    ) -> None:
        self._publish(replace(self._snapshot, topics=topics, topics_by_id=by_id))

    def _publish(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = replace(snapshot, generation=self._snapshot.generation + 1)
