"""A receiver over real directories with fake logs, and the requests of a controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastlog.base.clock import ManualClock
from fastlog.coordination.cluster_view import ClusterView, TopicState
from fastlog.coordination.member.cluster_updates import Changed
from fastlog.coordination.member.controller_fence import ControllerFence
from fastlog.coordination.member.overrides import TopicOverrides
from fastlog.coordination.member.receiver import ControlReceiver
from fastlog.coordination.store import StoreUnreachable
from fastlog.errors import ErrorCode
from fastlog.replication.partition import PartitionKey
from fastlog.replication.reconciler import Reconciler
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.storage.io import IoLoop
from fastlog.storage.log_manager import LogManager
from fastlog.storage.settings import StorageSettings
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrLiveLeader,
    LeaderAndIsrPartitionState,
    LeaderAndIsrRequest,
    LeaderAndIsrTopicState,
)
from fastlog.wire.messages.stop_replica import (
    StopReplicaPartitionState,
    StopReplicaRequest,
    StopReplicaTopicState,
)
from fastlog.wire.messages.update_metadata import (
    UpdateMetadataBroker,
    UpdateMetadataEndpoint,
    UpdateMetadataPartitionState,
    UpdateMetadataRequest,
    UpdateMetadataTopicState,
)
from tests.unit.coordination.world import Lifecycle
from tests.unit.storage.fakes import FakeEngine, LogOpener, flushing

ME = 1
OTHER = 2
BROKER_EPOCH = 100
ID, OTHER_ID = b"i" * 16, b"o" * 16


class Configs:
    """/config/topics: JSON by topic, and how often each was read."""

    def __init__(self) -> None:
        self.nodes: dict[str, bytes] = {}
        self.reads: list[str] = []

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        names = [path.rsplit("/", 1)[1] for path in wanted]
        self.reads += names
        return [(self.nodes[name], 0) if name in self.nodes else None for name in names]


class Observer:
    """Fills `TopicObserver`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int]] = []

    def on_partition_led(self, topic: str, partition: int) -> None:
        self.told.append(("led", topic, partition))

    def on_partition_resigned(self, topic: str, partition: int) -> None:
        self.told.append(("resigned", topic, partition))

    async def on_topic_deleted(self, topic: TopicState) -> None:
        self.told.append(("deleted", topic.name, len(topic.partitions)))


class Receiving:
    """Broker `ME` as its controller sees it."""

    def __init__(self, root: Path, directories: int = 1, *, allow_data_loss: bool = False) -> None:
        self.paths = [root / f"d{index}" for index in range(directories)]
        self.io = IoLoop(FakeEngine(flushing))  # type: ignore[arg-type]
        settings = StorageSettings(log_dirs=self.paths, allow_data_loss=allow_data_loss)
        self.logs = LogManager(
            settings, ManualClock(), self.io, open_log=LogOpener(), on_all_failed=lambda _: None
        )
        self.host = Lifecycle(self.logs)
        self.view = ClusterView()
        self.reconciler = Reconciler[TopicState](ME, self.host)
        self.configs = Configs()
        self.observer = Observer()
        self.broker_epoch = BROKER_EPOCH
        self.changes: list[Changed] = []
        self.partitions = 0
        self.made_at = BROKER_EPOCH + 1
        """When all partitions were led for the first time."""
        self.topic_id: bytes | None = None
        """What the tree says of each topic."""
        self.elected: int | None = 100
        """In which epoch the last controller was elected, by the tree; None while it cannot be asked."""
        self.receiver = ControlReceiver(
            node_id=ME,
            view=self.view,
            reconciler=self.reconciler,
            logs=self.logs,
            replicas=ReplicaManager(ME, lambda _: None),
            overrides=TopicOverrides(self.configs),
            broker_epoch=lambda: self.broker_epoch,
            fence=ControllerFence(lambda: self.broker_epoch, self._elected),
            on_view=self.changes.append,
            partitions_of=self._partitions_of,
            made_at=self._made_at,
            topic_id_of=self._topic_id_of,
        )
        self.receiver.observe(self.observer)

    async def _partitions_of(self, topic: str) -> int:
        return self.partitions

    async def _made_at(self, keys: Sequence[PartitionKey]) -> Mapping[PartitionKey, int]:
        return dict.fromkeys(keys, self.made_at)

    async def _topic_id_of(self, topic: str) -> bytes | None:
        return self.topic_id

    async def _elected(self) -> int:
        if self.elected is None:
            raise StoreUnreachable("the store is away")
        return self.elected

    async def start(self) -> None:
        await self.logs.prepare()
        await self.logs.open([])

    async def stop(self) -> None:
        await self.receiver.close()
        await self.logs.shutdown()
        await self.io.close()

    async def assign(
        self,
        *partitions: LeaderAndIsrPartitionState,
        topic: str = "t",
        topic_id: bytes = ID,
        controller_epoch: int = 1,
        broker_epoch: int = BROKER_EPOCH,
        live: Sequence[int] = (OTHER,),
    ) -> ErrorCode | dict[int, ErrorCode]:
        """LeaderAndIsr; the error of the whole, or the code of each partition. `live`: leaders that are."""
        answer = await self.receiver.leader_and_isr(
            LeaderAndIsrRequest(
                controller_id=OTHER,
                controller_epoch=controller_epoch,
                broker_epoch=broker_epoch,
                topic_states=[LeaderAndIsrTopicState(topic, topic_id, [*partitions])],
                live_leaders=[LeaderAndIsrLiveLeader(node, "host", 1) for node in live],
            )
        )
        if answer.error_code:
            return ErrorCode(answer.error_code)
        (of_topic,) = answer.topics
        assert of_topic.topic_id == topic_id
        return {row.partition_index: ErrorCode(row.error_code) for row in of_topic.partition_errors}

    async def update(
        self,
        *topics: UpdateMetadataTopicState,
        brokers: Mapping[int, int] | None = None,
        controller_epoch: int = 1,
        broker_epoch: int = BROKER_EPOCH,
    ) -> ErrorCode:
        """UpdateMetadata; `brokers` are ports by id."""
        answer = await self.receiver.update_metadata(
            UpdateMetadataRequest(
                controller_id=OTHER,
                controller_epoch=controller_epoch,
                broker_epoch=broker_epoch,
                topic_states=[*topics],
                live_brokers=[
                    UpdateMetadataBroker(
                        id_=node, endpoints=[UpdateMetadataEndpoint(port, "host", "CLIENTS", 0)], rack="r"
                    )
                    for node, port in (brokers or {}).items()
                ],
            )
        )
        return ErrorCode(answer.error_code)

    async def stop_replica(
        self,
        *partitions: tuple[int, int],
        delete: bool,
        topic: str = "t",
        controller_epoch: int = 1,
        broker_epoch: int = BROKER_EPOCH,
    ) -> ErrorCode | dict[int, ErrorCode]:
        """StopReplica of (partition, leader epoch)."""
        states = [StopReplicaPartitionState(number, epoch, delete) for number, epoch in partitions]
        answer = await self.receiver.stop_replica(
            StopReplicaRequest(
                controller_id=OTHER,
                controller_epoch=controller_epoch,
                broker_epoch=broker_epoch,
                topic_states=[StopReplicaTopicState(topic, states)],
            )
        )
        if answer.error_code:
            return ErrorCode(answer.error_code)
        return {row.partition_index: ErrorCode(row.error_code) for row in answer.partition_errors}

    def assigned(self, topic: str = "t") -> dict[int, tuple[int, int]]:
        """(leader, leader epoch) of what is assigned."""
        found = self.reconciler.view.get(topic)
        partitions = () if found is None else found.partitions
        return {
            number: (state.leader, state.leader_epoch)
            for number, state in enumerate(partitions)
            if state.leader_epoch >= 0
        }

    def directories(self) -> list[str]:
        """Partition directories, over all log directories."""
        return sorted(entry.name for path in self.paths for entry in path.iterdir() if entry.is_dir())


def part(
    number: int,
    leader: int,
    epoch: int,
    *,
    replicas: Sequence[int] = (ME, OTHER),
    is_new: bool = True,
    partition_epoch: int = 0,
) -> LeaderAndIsrPartitionState:
    """One partition of a LeaderAndIsr."""
    return LeaderAndIsrPartitionState(
        partition_index=number,
        leader=leader,
        leader_epoch=epoch,
        isr=[*replicas],
        partition_epoch=partition_epoch,
        replicas=[*replicas],
        is_new=is_new,
    )


def seen(topic: str, *partitions: tuple[int, int, int], topic_id: bytes = ID) -> UpdateMetadataTopicState:
    """A topic of an UpdateMetadata: (partition, leader, leader epoch) each."""
    return UpdateMetadataTopicState(
        topic,
        topic_id,
        [
            UpdateMetadataPartitionState(
                partition_index=number,
                leader=leader,
                leader_epoch=epoch,
                replicas=[1, 2],
                isr=[1],
                zk_version=7,
            )
            for number, leader, epoch in partitions
        ],
    )
