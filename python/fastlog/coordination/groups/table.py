"""All groups that this broker coordinates, and the partitions of `__consumer_offsets` that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastlog.config import GroupConfig
from fastlog.coordination.coordinator_partition import partition_of
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.committed_offsets import GroupOffsets
from fastlog.coordination.groups.consumer.assignors import assignor_names
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.consumer.topics_seen import SnapshotTopics
from fastlog.coordination.groups.results import GroupLimits, Now
from fastlog.coordination.groups.weight import GroupMemory
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    import asyncio

    from fastlog.base.clock import Clock
    from fastlog.config import BrokerConfig
    from fastlog.coordination.cluster_view import ClusterView, TopicState
    from fastlog.replication.partition import Partition
    from fastlog.replication.replica_manager import ReplicaManager


@dataclass(slots=True, eq=False)
class GroupEntry:
    """A group with its offsets, the partition that it is stored in, and its timer."""

    group: Group | ConsumerGroup
    partition: int
    offsets: GroupOffsets = field(default_factory=GroupOffsets)
    timer: asyncio.Handle | None = None
    timer_at: float = 0.0
    """The deadline that the timer was set for, on the broker's monotonic clock."""
    is_held: bool = False
    """Whether it is being deleted: requests about it have to wait."""
    weighed: int = 0
    """Bytes, as `GroupMemory` has them."""
    group_weight: int = -1
    """Of these, those of a classic group, as of when it was settled last; -1 when it may be another one."""

    def weight(self) -> int:
        """Bytes of memory that it is reckoned with now."""
        return self.group.weight + self.offsets.weight


@dataclass(frozen=True, slots=True, eq=False)
class Election:
    """This broker leads a partition of the groups' topic: from one election to the end of it."""

    replica: Partition
    epoch: int
    topics: Mapping[str, TopicState]
    """Those that there were when offsets of this partition were last kept in step with them."""


class GroupTable:
    """Groups by id. Used on the event loop only."""

    def __init__(
        self,
        *,
        view: ClusterView,
        replicas: ReplicaManager,
        clock: Clock,
        config: Callable[[], BrokerConfig],
    ) -> None:
        self._view = view
        self._replicas = replicas
        self._clock = clock
        self._config = config
        self._groups: dict[str, GroupEntry] = {}
        self.memory = GroupMemory(self._memory_limit)
        self.elections: dict[int, Election] = {}
        """The partitions that this broker leads, each with when it began to."""
        self.loading: set[int] = set()
        """Partitions whose groups are not known yet."""
        self.failed: set[int] = set()
        """Partitions whose records could not be read: to act as if they were empty would lose offsets."""
        self.closed = False
        self._limits: tuple[BrokerConfig, GroupLimits] | None = None
        self._share: tuple[BrokerConfig, int] | None = None
        self._last_hashed = ("", 0), 0

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[GroupEntry]:
        return iter(list(self._groups.values()))

    def now(self) -> Now:
        """This moment."""
        return Now(self._clock.monotonic(), self._clock.now_ms())

    def limits(self) -> GroupLimits:
        """What the configuration in force says about members."""
        config = self._config()
        if self._limits is not None and self._limits[0] is config:
            return self._limits[1]
        limits = GroupLimits(
            initial_rebalance_delay_ms=max(0, config.group_initial_rebalance_delay_ms),
            min_session_timeout_ms=config.group_min_session_timeout_ms,
            max_session_timeout_ms=config.group_max_session_timeout_ms,
            max_size=config.group_max_size,
        )
        # A configuration never changes: another one takes its place.
        self._limits = config, limits
        return limits

    def _memory_limit(self) -> int:
        """The share of all groups in the memory that clients can make the broker keep, in bytes."""
        config = self._config()
        if self._share is None or self._share[0] is not config:
            self._share = config, config.memory.groups
        return self._share[1]

    def consumer_limits(self, group_id: str) -> ConsumerLimits:
        """What the configuration in force says about this group of the consumer protocol."""
        config = self._config()
        policy = config.group_consumer_migration_policy.lower()
        session_timeout_ms = config.group_consumer_session_timeout_ms
        heartbeat_interval_ms = config.group_consumer_heartbeat_interval_ms
        overrides = self._view.snapshot.group_configs.get(group_id)
        if overrides is not None:
            # Those that the broker's bounds of today do not allow any more are not in force.
            with suppress(KafkaError):
                own = GroupConfig.effective(GroupConfig.readable(overrides), config.layers)
                session_timeout_ms, heartbeat_interval_ms = own.session_timeout_ms, own.heartbeat_interval_ms
        return ConsumerLimits(
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=heartbeat_interval_ms,
            max_size=config.group_consumer_max_size,
            assignors=assignor_names(config.group_consumer_assignors),
            may_upgrade=policy in ("upgrade", "bidirectional"),
            may_downgrade=policy in ("downgrade", "bidirectional"),
            classic_max_size=config.group_max_size,
        )

    def serves_consumer_protocol(self) -> bool:
        """Whether the configuration in force lets the consumer protocol be used."""
        return "consumer" in self._config().group_coordinator_rebalance_protocols

    def has_topic(self, name: str) -> bool:
        """Whether the topic exists now."""
        return name in self._view.topics

    def topics(self) -> SnapshotTopics:
        """The topics of the cluster as of now."""
        return SnapshotTopics(self._view.snapshot)

    def partition(self, group_id: str) -> int | None:
        """The partition of a group, or None while the topic is not there."""
        topic = self._view.topics.get(GROUP_METADATA_TOPIC)
        if topic is None:
            return None
        asked = group_id, len(topic.partitions)
        if self._last_hashed[0] != asked:
            # A group that is new is asked for twice in a row.
            self._last_hashed = asked, partition_of(*asked)
        return self._last_hashed[1]

    def error(self, group_id: str, *, may_be_empty: bool = False) -> ErrorCode:
        """Why requests about the group cannot be served here, or NONE."""
        if not group_id and not may_be_empty:
            return ErrorCode.INVALID_GROUP_ID
        if self.closed:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        entry = self._groups.get(group_id)
        partition = self.partition(group_id) if entry is None else entry.partition
        if partition is None or partition in self.failed:
            return ErrorCode.NOT_COORDINATOR
        replica = self._replicas.get(GROUP_METADATA_TOPIC, partition)
        if replica is None or replica.leader_error() or partition not in self.elections:
            return ErrorCode.NOT_COORDINATOR
        has_to_wait = partition in self.loading or (entry is not None and entry.is_held)
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if has_to_wait else ErrorCode.NONE

    def get(self, group_id: str) -> GroupEntry | None:
        """The group, or None."""
        return self._groups.get(group_id)

    def get_or_add(self, group_id: str) -> GroupEntry:
        """The group; a new and empty one when there is none. Only after `error` said NONE."""
        return self._groups.get(group_id) or self.add(group_id, self.limits(), self.now())

    def add(self, group_id: str, limits: GroupLimits, now: Now) -> GroupEntry:
        """A new and empty group. Only after `error` said NONE."""
        partition = self.partition(group_id)
        if partition is None:
            raise LookupError(f"group {group_id!r} has no partition")
        entry = GroupEntry(Group(group_id, limits, now), partition)
        self.put(entry)
        return entry

    def put(self, entry: GroupEntry) -> None:
        """Adds a group that was loaded, or could not be deleted."""
        self._groups[entry.group.group_id] = entry
        self.memory.weigh(entry)

    def weigh(self, entry: GroupEntry, group_weight: int | None = None) -> None:
        """The group has changed, and weighs so much without its offsets; nothing is done about one that is
        gone."""
        weight = (entry.group.weight if group_weight is None else group_weight) + entry.offsets.weight
        if weight != entry.weighed and self._groups.get(entry.group.group_id) is entry:
            self.memory.set_weight(entry, weight)

    def remove_unused(self, entry: GroupEntry) -> None:
        """Forgets a group that was made for a request which was refused: nothing is stored of it."""
        group = entry.group
        if group.state is not GroupState.EMPTY or group.generation or entry.offsets:
            return
        if isinstance(group, Group):
            if group.pending:
                return
        else:
            group.die()
        self.remove(entry)

    def remove(self, entry: GroupEntry) -> None:
        """Forgets a group that is Dead."""
        if self._groups.get(entry.group.group_id) is entry:
            del self._groups[entry.group.group_id]
            self.memory.forget(entry)
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
