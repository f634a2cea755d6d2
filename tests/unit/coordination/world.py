"""Coordination and storage on real directories, with fake logs: start, crash, start again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.coordination.cluster_view import BrokerInfo, ClusterView, TopicState
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.coordination.startup import Coordination, start_topics
from fastlog.coordination.topics import TopicService
from fastlog.errors import ErrorCode, KafkaError
from fastlog.replication.reconciler import Reconciler
from fastlog.storage.io import IoLoop
from fastlog.storage.log_manager import LogManager
from fastlog.storage.settings import StorageSettings
from tests.unit.coordination.file_metadata import FileMetadata
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
    store: FileMetadata
    view: ClusterView
    topics: TopicService
    producer_ids: ProducerIds
    lifecycle: Lifecycle
    io: IoLoop

    async def stop(self) -> bool:
        await self.topics.close()
        await self.store.close()
        clean = await self.logs.shutdown()
        await self.io.close()
        return clean

    async def crash(self) -> None:
        """The process is gone: nothing is written any more, the locks are free."""
        await self.topics.close()
        for directory in self.logs.directories:
            directory.close()
        await self.io.close()


class World:
    """Directories that outlive brokers."""

    def __init__(self, root: Path, directories: int = 1) -> None:
        self.paths = [root / f"d{index}" for index in range(directories)]
        self.opener = LogOpener()
        self.clock = ManualClock()
        self.brokers: list[Broker] = []

    async def start(self, *, allow_data_loss: bool = False) -> Broker:
        """Starts a broker; when the start is refused the locks are released before it is raised."""
        io = IoLoop(FakeEngine(flushing))  # type: ignore[arg-type]
        settings = StorageSettings(log_dirs=self.paths, allow_data_loss=allow_data_loss)
        logs = LogManager(settings, self.clock, io, open_log=self.opener)
        lifecycle = Lifecycle(logs)
        try:
            preparation = await logs.prepare()
            store = FileMetadata(self.paths[0])
            view = ClusterView()
            view.set_brokers((BrokerInfo(NODE, None, {}),))
            lifecycle.view = view
            topics = TopicService(
                store,
                view,
                reconciler=Reconciler[TopicState](NODE, lifecycle),
                broker_configs=lifecycle,
                defaults=Defaults(),
                rules=Rules(),
            )
            ids = ProducerIds(store)
            broker = Broker(logs, store, view, topics, ids, lifecycle, io)
            parts = Coordination(NODE, store, view, topics, ids, lifecycle, lambda *_: FakeConfig())  # type: ignore[arg-type, return-value]
            await start_topics(parts, logs, preparation)
            lifecycle.configs.clear()
        except BaseException:
            await logs.shutdown()
            await io.close()
            raise
        self.brokers.append(broker)
        return broker

    def directories(self) -> list[str]:
        """Names of the partition directories, over all log directories."""
        return sorted(entry.name for path in self.paths for entry in path.iterdir() if entry.is_dir())


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
