"""Coordination and storage on real directories, with fake logs: start, crash, start again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.coordination.cluster_view import BrokerInfo, ClusterView, TopicState
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.embedded import KEEPER_DIRECTORY, EmbeddedKeeper
from fastlog.coordination.member.controller_asked import ControllersProducerIds, ask_here
from fastlog.coordination.member.member import Broker as MadeOf
from fastlog.coordination.member.member import Member
from fastlog.coordination.member.topics import MemberTopics
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.coordination.topic_plan import MorePartitions
from fastlog.coordination.znodes.node_json import encode_broker
from fastlog.errors import ErrorCode, KafkaError
from fastlog.replication.controller_link import ControllerLink, ControllerPlace
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.server.metadata_source import metadata_source
from fastlog.storage.io import IoLoop
from fastlog.storage.log_manager import LogManager
from fastlog.storage.settings import StorageSettings
from tests.unit.storage.fakes import FakeConfig, FakeEngine, LogOpener, flushing

NODE = 1


class Defaults:
    """`num.partitions` and `default.replication.factor`."""

    num_partitions = 2
    default_replication_factor = 1


class Rules:
    """Config rules of a few keys."""

    KEYS = frozenset(
        {"retention.ms", "retention.bytes", "cleanup.policy", "segment.bytes", "compression.type"}
    )

    def check_topic(self, configs: Mapping[str, str], stored: Mapping[str, str]) -> None:
        for key in configs:
            if key not in self.KEYS:
                raise KafkaError(ErrorCode.INVALID_CONFIG, f"{key} is not known")

    def check_broker(
        self, node_id: int | None, configs: Mapping[str, str], stored: Mapping[str, str]
    ) -> None:
        self.check_topic(configs, stored)

    async def kept(self, configs: Mapping[str, str]) -> Mapping[str, str]:
        """As they are."""
        return configs

    async def examine_broker(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """No key here names a file."""

    def check_group(self, configs: Mapping[str, str], stored: Mapping[str, str]) -> None:
        if set(configs) - {"consumer.session.timeout.ms"}:
            raise KafkaError(ErrorCode.INVALID_CONFIG, "not known")

    def is_list(self, key: str) -> bool:
        return key == "cleanup.policy"

    def default(self, key: str) -> str | None:
        return "delete" if key == "cleanup.policy" else None


@dataclass
class Lifecycle:
    """What the broker's wiring does: the log is made or taken away. `before` may raise or block.

    Fills `PartitionHost` and `BrokerConfigs`; `configs` are the settings in the order in which they came.
    """

    logs: LogManager
    view: ClusterView = field(default_factory=ClusterView)
    before: Callable[[str, str, int], None] | None = None
    led: dict[tuple[str, int], int] = field(default_factory=dict)
    configs: list[Any] = field(default_factory=list)

    def adopt(self) -> None:
        self.configs.append({key: dict(values) for key, values in self.view.snapshot.broker_configs.items()})

    async def lead(self, topic: TopicState, partition: int) -> None:
        if self.before is not None:
            self.before("create", topic.name, partition)
        await self.logs.create(topic.name, topic.topic_id, partition, FakeConfig())  # type: ignore[arg-type]
        self.led[topic.name, partition] = topic.partitions[partition].leader_epoch

    async def follow(self, topic: TopicState, partition: int) -> None:
        await self.logs.create(topic.name, topic.topic_id, partition, FakeConfig())  # type: ignore[arg-type]

    async def stop(self, topic: TopicState, partition: int, *, delete: bool) -> None:
        if self.before is not None:
            self.before("delete", topic.name, partition)
        self.led.pop((topic.name, partition), None)
        if delete:
            await self.logs.delete(topic.name, partition, topic.topic_id)

    async def configure(self, topic: TopicState) -> None:
        self.configs.append((topic.name, dict(topic.configs)))
        await self.logs.update_config(topic.name, FakeConfig())  # type: ignore[arg-type]


@dataclass
class Broker:
    """One run."""

    logs: LogManager
    keeper: EmbeddedKeeper
    view: ClusterView
    member: Member
    producer_ids: ProducerIds
    lifecycle: Lifecycle
    io: IoLoop

    @property
    def topics(self) -> MemberTopics:
        return self.member.topics

    async def delete(self, topic: str | bytes) -> TopicState:
        """Deletes one topic; raises its error."""
        (outcome,) = await self.topics.delete_all([topic])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def grow(self, name: str, total: int, *, validate_only: bool = False) -> TopicState:
        """Lets one topic grow; raises its error."""
        (outcome,) = await self.topics.create_more_partitions([MorePartitions(name, total)], validate_only)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def nodes(self) -> Collection[str]:
        """The paths that are in the tree."""
        return self.keeper.nodes.nodes.keys()

    async def stop(self) -> bool:
        await self.topics.close()
        await self.member.close()
        await self.keeper.close()
        clean = await self.logs.shutdown()
        await self.io.close()
        return clean

    async def crash(self) -> None:
        """The process is gone: nothing is written to the logs any more, the locks are free."""
        await self.topics.close()
        await self.member.close()
        await self.keeper.close()
        for directory in self.logs.directories:
            directory.close()
        await self.io.close()


class World:
    """Directories that outlive brokers."""

    def __init__(self, root: Path, directories: int = 1) -> None:
        self.paths = [root / f"d{index}" for index in range(directories)]
        self.opener = LogOpener()
        self.clock = ManualClock()

    async def start(self, *, allow_data_loss: bool = False) -> Broker:
        """Starts a broker; when the start is refused the locks are released before it is raised."""
        io = IoLoop(FakeEngine(flushing))  # type: ignore[arg-type]
        settings = StorageSettings(log_dirs=self.paths, allow_data_loss=allow_data_loss)
        logs = LogManager(settings, self.clock, io, open_log=self.opener, on_all_failed=lambda _: None)
        try:
            return await self._start(logs, io)
        except BaseException:
            await logs.shutdown()
            await io.close()
            raise

    async def _start(self, logs: LogManager, io: IoLoop) -> Broker:
        preparation = await logs.prepare()
        config = BrokerConfig.from_settings(
            load_settings(flags=[Flag("fastlog.allow.data.loss", str(logs.settings.allow_data_loss).lower())])
        )
        tasks = Supervisor(self.clock.monotonic)
        membership = await metadata_source(config, logs, preparation, self.clock, tasks)
        keeper, own = membership._keeper, membership._own
        assert keeper is not None
        member: Member | None = None
        try:
            lifecycle = Lifecycle(logs)
            view = lifecycle.view
            view.set_brokers((BrokerInfo(NODE, None, {}),))
            member = Member(
                MadeOf(
                    node_id=NODE,
                    view=view,
                    logs=logs,
                    replicas=ReplicaManager(NODE, lambda _: None),
                    partitions=lifecycle,
                    broker_configs=lifecycle,
                    defaults=Defaults(),
                    rules=Rules(),
                    registration=lambda: encode_broker([("PLAINTEXT", "127.0.0.1", 9, "PLAINTEXT")], None, 0),
                    controller=lambda: ControllerSettings("PLAINTEXT"),
                    has_room=lambda: keeper.has_room,
                    clock=self.clock,
                    tasks=tasks,
                ),
                membership._tree,
            )
            await logs.confirm_identity(membership._cluster_id, NODE)
            view.set_identity(membership._cluster_id, -1)
            opened = await member.open(preparation, lambda *_: FakeConfig(), own)  # type: ignore[arg-type]
            link = ControllerLink(
                NODE,
                lambda: ControllerPlace(NODE),
                local=lambda request: ask_here(member.controller, request),
            )
            ids = ProducerIds(ControllersProducerIds(link, NODE, lambda: member.registration.broker_epoch))
            ids.keep_above(opened.highest_producer_id)
            await member.announce([("127.0.0.1", 9)])
            await member.settle(10)
            lifecycle.configs.clear()
        except BaseException:
            await (membership.close() if member is None else member.close())
            await keeper.close()
            raise
        return Broker(logs, keeper, view, member, ids, lifecycle, io)

    def directories(self) -> list[str]:
        """Names of the partition directories, over all log directories."""
        return sorted(
            entry.name
            for path in self.paths
            if path.is_dir()
            for entry in path.iterdir()
            if entry.is_dir() and entry.name != KEEPER_DIRECTORY
        )


def fail_with(code: int) -> Any:
    """In the place of a write: it meets this error."""

    def fail(*args: object) -> None:
        raise OSError(code, "no")

    return fail


async def code_of(awaitable: Any) -> ErrorCode:
    """Of the KafkaError that it raises."""
    with pytest.raises(KafkaError) as caught:
        await awaitable
    return caught.value.code
