"""What leading, following and stopping a partition mean for its log and for who asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from fastlog.coordination.cluster_view import PartitionState, TopicState
from fastlog.errors import ErrorCode
from fastlog.replication.local_partitions import LocalPartitions, TopicSettings
from fastlog.replication.partition import Partition, PartitionKey, ReplicaSettings
from fastlog.replication.reconciler import Reconciler
from fastlog.replication.replica_manager import ReplicaManager
from tests.unit.replication.fakes import FakeLog

NODE = 1
OTHER = 2


@dataclass
class Logs:
    """`LogManager` in memory."""

    there: dict[PartitionKey, FakeLog] = field(default_factory=dict)
    configured: list[str] = field(default_factory=list)

    async def create(self, topic: str, topic_id: bytes, partition: int, config: object) -> FakeLog:
        return self.there.setdefault((topic, partition), FakeLog(end=4))

    async def lead(self, topic: str, partition: int, epoch: int) -> None:
        log = self.there[topic, partition]
        log.epochs.append((epoch, log.log_end_offset))

    async def delete(self, topic: str, partition: int, topic_id: bytes) -> None:
        self.there.pop((topic, partition), None)

    async def update_config(self, topic: str, config: object) -> None:
        self.configured.append(topic)


class Fetched:
    """Fills `Fetchers`: by partition, the leader that it is fetched from."""

    def __init__(self, leaders: dict[PartitionKey, int]) -> None:
        self._leaders = leaders

    async def follow(self, partition: Partition) -> None:
        assert partition.key not in self._leaders
        self._leaders[partition.key] = partition.leader_id

    async def stop(self, keys: Iterable[PartitionKey]) -> None:
        for key in keys:
            self._leaders.pop(key, None)


class World:
    """A reconciler over logs in memory; `lead`, `follow` and the like change one partition of topic t."""

    def __init__(self) -> None:
        self.logs = Logs()
        self.moved: list[PartitionKey] = []
        self.replicas = ReplicaManager(NODE, self.moved.append)
        self.settings = ReplicaSettings()
        self.fences: list[int] = []
        self.fetched: dict[PartitionKey, int] = {}
        host = LocalPartitions(
            cast("Any", self.logs),
            self.replicas,
            cast("Any", None),
            cast("Any", self),
            self._settings,
            Fetched(self.fetched),
        )
        self.reconciler: Reconciler[TopicState] = Reconciler(NODE, host)

    async def fence(self, log: FakeLog, epoch: int) -> int:
        """As `IoLoop.fence`, before anybody here follows."""
        partition = self.replicas.get("t", 0)
        assert partition is None or not partition.is_leader or partition.leader_epoch < epoch
        self.fences.append(epoch)
        return log.log_end_offset

    def _settings(self, topic: Any, *, report: bool = False) -> TopicSettings:
        return TopicSettings(cast("Any", None), self.settings)

    async def to(self, leader: int, epoch: int, replicas: tuple[int, ...] = (1, 2), **configs: str) -> None:
        state = TopicState("t", bytes(16), (PartitionState(leader, epoch, replicas, replicas),), configs)
        outcome = await self.reconciler.apply(self.reconciler.view.updated({"t": state}))
        assert not outcome.failed

    def write_error(self) -> int:
        partition = self.replicas.get("t", 0)
        assert partition is not None
        return partition.write_error(1)


async def test_a_leader_notes_its_epoch_before_it_takes_writes() -> None:
    world = World()
    await world.to(NODE, 3)
    assert world.write_error() == 0
    assert world.logs.there["t", 0].epochs == [(3, 4)]
    partition = world.replicas.get("t", 0)
    assert partition is not None
    assert (partition.leader_epoch, partition.in_sync, set(partition.followers)) == (3, {1, 2}, {2})


async def test_a_follower_has_a_log_and_takes_no_writes() -> None:
    world = World()
    for leader in (2, -1):
        await world.to(leader, 5)
        assert ("t", 0) in world.logs.there
        assert world.write_error() == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert world.logs.there["t", 0].epochs == []


async def test_a_leader_that_becomes_a_follower_wakes_who_waits_and_may_lead_again() -> None:
    world = World()
    await world.to(NODE, 1)
    led = world.replicas.get("t", 0)
    world.moved.clear()
    await world.to(2, 2)
    assert world.moved == [("t", 0)]
    assert world.replicas.get("t", 0) is led
    assert world.write_error() == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert world.fences == [2]
    await world.to(NODE, 3)
    assert world.write_error() == 0
    assert world.logs.there["t", 0].epochs == [(1, 4), (3, 4)]


async def test_a_partition_that_goes_elsewhere_keeps_its_log_and_one_that_is_deleted_does_not() -> None:
    world = World()
    await world.to(NODE, 1)
    await world.to(2, 2, replicas=(2, 3))
    assert world.replicas.get("t", 0) is None
    assert ("t", 0) in world.logs.there
    assert world.fences == [2]
    await world.to(NODE, 3)
    outcome = await world.reconciler.remove([*world.reconciler.view.values()])
    assert not outcome.failed
    assert world.replicas.get("t", 0) is None
    assert world.logs.there == {}


async def test_new_configs_reach_log_and_partition() -> None:
    world = World()
    await world.to(NODE, 1)
    world.settings = ReplicaSettings(zstd=True)
    await world.to(NODE, 1, **{"compression.type": "zstd"})
    partition = world.replicas.get("t", 0)
    assert partition is not None
    assert (partition.settings.zstd, world.logs.configured) == (True, ["t"])


async def test_a_partition_is_fetched_from_its_leader_and_only_while_it_is_followed() -> None:
    world = World()
    await world.to(OTHER, 1)
    assert world.fetched == {("t", 0): OTHER}
    await world.to(3, 2)
    assert world.fetched == {("t", 0): 3}
    await world.to(NODE, 3)
    assert world.fetched == {}
    await world.to(OTHER, 4)
    await world.to(-1, 5)
    assert world.fetched == {}
    await world.to(OTHER, 6)
    await world.reconciler.delete(world.reconciler.view.without(["t"]), [(world.reconciler.view["t"], 0)])
    assert world.fetched == {}
    assert world.replicas.get("t", 0) is None
