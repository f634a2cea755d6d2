"""All that a controller knows of its cluster (`ControllerContext`), with indices by broker and by topic:
what happens to a broker costs what it hosts, not what the cluster has. Plain data, changed by the controller
alone.

Only `put_*`, `remove_*` and the methods named after what they change may change it; what properties and
queries give is to be read, and copied by whoever changes the context while going through it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from fastlog.base.uuids import ZERO_UUID
from fastlog.coordination.controller.data import NO_LEADER, Assignment, Leadership, LiveBroker, Replica
from fastlog.coordination.controller.states import PartitionPhase, ReplicaPhase
from fastlog.replication.partition import PartitionKey

_NO_ASSIGNMENT: Final = Assignment(())
_PENDING: Final = frozenset({PartitionPhase.NEW, PartitionPhase.OFFLINE})
_NOTHING: Final[frozenset[PartitionKey]] = frozenset()


class ControllerContext:
    """`epoch` is the controller's own, `epoch_zk_version` the version of /controller_epoch that fences it."""

    def __init__(self, epoch: int = 0, epoch_zk_version: int = 0) -> None:
        self.epoch = epoch
        self.epoch_zk_version = epoch_zk_version
        # Topics whose deletion is asked for; of these, those whose partitions are gone already, and those
        # that have to wait for a reassignment or a broker.
        self.deleting: set[str] = set()
        self.deletion_started: set[str] = set()
        self.deletion_ineligible: set[str] = set()
        # Partitions whose reassignment is under way.
        self.reassigning: set[PartitionKey] = set()
        self._brokers: dict[int, LiveBroker] = {}
        self._shutting_down: set[int] = set()
        self._offline_dirs: dict[int, frozenset[PartitionKey]] = {}
        self._ids: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}
        self._topics: dict[str, dict[int, Assignment]] = {}
        self._leaderships: dict[PartitionKey, Leadership] = {}
        self._phases: dict[PartitionKey, PartitionPhase] = {}
        self._replica_phases: dict[PartitionKey, dict[int, ReplicaPhase]] = {}
        self._hosted: dict[int, dict[PartitionKey, None]] = {}
        self._led: dict[int, dict[PartitionKey, None]] = {}
        self._pending: dict[PartitionKey, None] = {}

    # Brokers

    @property
    def brokers(self) -> Mapping[int, LiveBroker]:
        """Registered brokers by id, also those that shut down."""
        return self._brokers

    @property
    def shutting_down(self) -> Collection[int]:
        """Registered brokers that have asked for a controlled shutdown."""
        return self._shutting_down

    def is_live(self, broker: int) -> bool:
        """Whether it is registered and not shutting down."""
        return broker in self._brokers and broker not in self._shutting_down

    def live_ids(self) -> set[int]:
        """Ids of the brokers that are registered and not shutting down."""
        return self._brokers.keys() - self._shutting_down

    def put_broker(self, broker: LiveBroker) -> None:
        """Adds a broker, or replaces what is known of it."""
        self._brokers[broker.id] = broker

    def remove_broker(self, broker: int) -> None:
        """It is not registered any more, at least not as it was: its directories are unknown, too."""
        self._brokers.pop(broker, None)
        self._shutting_down.discard(broker)
        self._offline_dirs.pop(broker, None)

    def begin_shutdown(self, broker: int) -> None:
        """From now on it is to lead nothing."""
        self._shutting_down.add(broker)

    def offline_in_directories(self, broker: int) -> frozenset[PartitionKey]:
        """Partitions of which the broker has said that their directory is offline."""
        return self._offline_dirs.get(broker, _NOTHING)

    def put_offline_in_directories(self, broker: int, keys: Iterable[PartitionKey]) -> None:
        """Replaces that set."""
        self._offline_dirs[broker] = frozenset(keys)

    def is_online(self, broker: int, key: PartitionKey, *, or_shutting_down: bool = False) -> bool:
        """Whether the broker can have the replica: it lives, and so does the directory."""
        alive = broker in self._brokers and (or_shutting_down or broker not in self._shutting_down)
        return alive and key not in self._offline_dirs.get(broker, _NOTHING)

    # Topics and assignments

    @property
    def topics(self) -> Mapping[str, Mapping[int, Assignment]]:
        """Assignments by topic and partition."""
        return self._topics

    def partitions(self) -> Iterator[PartitionKey]:
        """All partitions."""
        return ((topic, number) for topic, numbers in self._topics.items() for number in numbers)

    def partitions_of(self, topic: str) -> list[PartitionKey]:
        """The partitions of a topic; none if it is not known."""
        return [(topic, number) for number in self._topics.get(topic, ())]

    def put_topic(self, topic: str, topic_id: bytes | None) -> None:
        """Makes a topic known, still without partitions, or learns its id."""
        self._topics.setdefault(topic, {})
        former = self._ids.pop(topic, None)
        if former is not None:
            self._names.pop(former, None)
        if topic_id is not None:
            self._ids[topic] = topic_id
            self._names[topic_id] = topic

    def remove_topic(self, topic: str) -> None:
        """Forgets the topic and all that is known of its partitions."""
        for key in self.partitions_of(topic):
            self.put_assignment(key, _NO_ASSIGNMENT)
            self.remove_leadership(key)
            self._phases.pop(key, None)
            self._replica_phases.pop(key, None)
            self._pending.pop(key, None)
            self.reassigning.discard(key)
        self._topics.pop(topic, None)
        topic_id = self._ids.pop(topic, None)
        if topic_id is not None:
            self._names.pop(topic_id, None)
        for names in (self.deleting, self.deletion_started, self.deletion_ineligible):
            names.discard(topic)
        for broker, keys in self._offline_dirs.items():
            if any(name == topic for name, _ in keys):
                # Another topic of this name is none of those.
                self._offline_dirs[broker] = frozenset(key for key in keys if key[0] != topic)

    def topic_id(self, topic: str) -> bytes:
        """The id of a topic, zero if it has none."""
        return self._ids.get(topic, ZERO_UUID)

    def topic_named(self, topic_id: bytes) -> str | None:
        """The topic with that id, or None."""
        return self._names.get(topic_id)

    def assignment(self, key: PartitionKey) -> Assignment:
        """The replicas of a partition, none if it is not known."""
        return self._topics.get(key[0], {}).get(key[1], _NO_ASSIGNMENT)

    def put_assignment(self, key: PartitionKey, assignment: Assignment) -> None:
        """Assigns a partition, which may be new."""
        numbers = self._topics.setdefault(key[0], {})
        before = numbers.get(key[1], _NO_ASSIGNMENT).replicas
        numbers[key[1]] = assignment
        for broker in before:
            if broker not in assignment.replicas:
                del self._hosted[broker][key]
        for broker in assignment.replicas:
            self._hosted.setdefault(broker, {})[key] = None

    def hosted_by(self, broker: int) -> Collection[PartitionKey]:
        """Partitions that the broker is assigned to."""
        return self._hosted.get(broker, {}).keys()

    def replicas_of(self, keys: Iterable[PartitionKey]) -> list[Replica]:
        """All replicas of partitions."""
        return [Replica(key, broker) for key in keys for broker in self.assignment(key).replicas]

    def replicas_on(self, brokers: Iterable[int]) -> list[Replica]:
        """All replicas of brokers."""
        return [Replica(key, broker) for broker in brokers for key in self.hosted_by(broker)]

    # Leaderships

    @property
    def leaderships(self) -> Mapping[PartitionKey, Leadership]:
        """What is known of leaders; nothing of partitions that have never had one."""
        return self._leaderships

    def leadership(self, key: PartitionKey) -> Leadership | None:
        """The leadership of a partition, None if it has never had one."""
        return self._leaderships.get(key)

    def put_leadership(self, key: PartitionKey, leadership: Leadership) -> None:
        """Takes in what is stored now."""
        self.remove_leadership(key)
        self._leaderships[key] = leadership
        if leadership.leader != NO_LEADER:
            self._led.setdefault(leadership.leader, {})[key] = None

    def remove_leadership(self, key: PartitionKey) -> None:
        """Forgets it."""
        before = self._leaderships.pop(key, None)
        if before is not None and before.leader != NO_LEADER:
            del self._led[before.leader][key]

    def led_by(self, broker: int) -> Collection[PartitionKey]:
        """Partitions that the broker leads, deleted ones too."""
        return self._led.get(broker, {}).keys()

    # States

    def phase(self, key: PartitionKey) -> PartitionPhase:
        """The state of a partition."""
        return self._phases.get(key, PartitionPhase.NON_EXISTENT)

    def put_phase(self, key: PartitionKey, phase: PartitionPhase) -> None:
        """The partition is in that state from now on."""
        self._phases[key] = phase
        if phase in _PENDING:
            self._pending[key] = None
        else:
            self._pending.pop(key, None)

    def pending(self) -> list[PartitionKey]:
        """Partitions that wait for a leader: NEW or OFFLINE, and not of a topic that is being deleted."""
        return [key for key in self._pending if key[0] not in self.deleting]

    def replica_phase(self, replica: Replica) -> ReplicaPhase:
        """The state of a replica."""
        return self._replica_phases.get(replica.key, {}).get(replica.broker, ReplicaPhase.NON_EXISTENT)

    def put_replica_phase(self, replica: Replica, phase: ReplicaPhase) -> None:
        """The replica is in that state from now on; NON_EXISTENT ones are forgotten."""
        if phase is ReplicaPhase.NON_EXISTENT:
            self._replica_phases.get(replica.key, {}).pop(replica.broker, None)
        else:
            self._replica_phases.setdefault(replica.key, {})[replica.broker] = phase

    def replicas_in(self, topic: str, phase: ReplicaPhase) -> list[Replica]:
        """Replicas of a topic that are in a state."""
        return [
            Replica(key, broker)
            for key in self.partitions_of(topic)
            for broker, found in self._replica_phases.get(key, {}).items()
            if found is phase
        ]

    # Deletion

    def may_delete(self, topic: str) -> bool:
        """Whether a deletion that was asked for may begin or go on: nothing is under way, or in its way."""
        return (
            topic in self.deleting
            and topic not in self.deletion_ineligible
            and not self.replicas_in(topic, ReplicaPhase.DELETION_STARTED)
        )

    def mark_ineligible(self, topics: Iterable[str]) -> None:
        """Topics that are to be deleted have to wait."""
        self.deletion_ineligible.update(topic for topic in topics if topic in self.deleting)
