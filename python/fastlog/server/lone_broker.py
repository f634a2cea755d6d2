"""A broker that decides about its topics alone: its metadata is in the tree of a keeper of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig, ConfigurationRules
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.embedded import EmbeddedKeeper
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.coordination.startup import Coordination, adopt_found, start_topics
from fastlog.coordination.topics import TopicService
from fastlog.coordination.znodes.metadata_store import TreeMetadataStore
from fastlog.coordination.znodes.seat import ClusterSeat
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.connect_string import parse
from fastlog.coordination.zookeeper.transport import Connector, socket_connector
from fastlog.replication.controller_link import ControllerLink
from fastlog.replication.reconciler import Reconciler
from fastlog.server.derived_settings import LiveTopicDefaults
from fastlog.server.topic_parts import TopicParts, registration_data
from fastlog.storage.log_manager import LogManager
from fastlog.storage.starting import Preparation

_OWN_KEEPER_SECONDS = 2.0
"""How long a change waits for a keeper of this process: it is there, or will not be again."""


class LoneBroker:
    """`MetadataSource`: the store, the broker's seat in the cluster, and the keeper if it has one."""

    member = None

    @property
    def link(self) -> ControllerLink:
        """See `MetadataSource.link`: nobody is the controller of others here."""
        return self._link

    def broker_epoch(self) -> int:
        """See `MetadataSource.broker_epoch`: there is nobody to tell it."""
        return -1

    def __init__(
        self,
        config: BrokerConfig,
        store: TreeMetadataStore,
        seat: ClusterSeat,
        keeper: EmbeddedKeeper,
        preparation: Preparation,
        clock: Clock,
        tasks: Supervisor,
    ) -> None:
        self.config = config
        self.producer_ids = store
        self._link = ControllerLink(config.node_id, lambda: None)
        self._store = store
        self._seat = seat
        self._keeper = keeper
        self._preparation = preparation
        self._clock = clock
        self._tasks = tasks
        self._made: tuple[TopicParts, TopicService] | None = None

    def topics(self, parts: TopicParts) -> TopicService:
        """See `MetadataSource.topics`."""
        topics = TopicService(
            self._store,
            parts.view,
            reconciler=Reconciler[TopicState](self.config.node_id, parts.partitions),
            broker_configs=parts.configs,
            defaults=LiveTopicDefaults(parts.live),
            rules=ConfigurationRules(lambda: parts.live.current),
            guard=self._tasks.guard("topic-changes"),
        )
        self._made = parts, topics
        return topics

    async def start(self, producer_ids: ProducerIds) -> None:
        """See `MetadataSource.start`."""
        parts, topics = self._parts()
        await start_topics(
            Coordination(
                node_id=self.config.node_id,
                store=self._store,
                view=parts.view,
                topics=topics,
                producer_ids=producer_ids,
                broker_configs=parts.configs,
                log_config_for=parts.configs.log_config_for,
            ),
            parts.logs,
            self._preparation,
        )

    async def announce(self) -> None:
        """See `MetadataSource.announce`: registers the broker. Raises StoreError."""
        parts, _ = self._parts()
        await self._seat.register(lambda: registration_data(parts, self._clock))

    async def settle(self) -> None:
        """See `MetadataSource.settle`: all is known."""

    async def leave(self) -> None:
        """See `MetadataSource.leave`: there is nobody to take over."""

    async def close(self) -> None:
        """See `MetadataSource.close`."""
        try:
            await self._store.close()
        finally:
            await self._keeper.close()

    def _parts(self) -> tuple[TopicParts, TopicService]:
        if self._made is None:
            raise RuntimeError("topics come first")
        return self._made


async def lone_broker(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> LoneBroker:
    """Starts the keeper.

    Raises InvalidConnectString, KeeperDamaged, MetadataDamaged, StorageError, OSError.
    """
    directories = _online(logs)
    listen = config.keeper_listen
    keeper = EmbeddedKeeper(
        directories,
        clock,
        tasks,
        used_before=preparation.used_before,
        complete=logs.complete,
        allow_data_loss=config.allow_data_loss,
        on_disk_failure=logs.dir_failed,
        give_room=logs.give_room,
        listen=None if listen is None else parse(listen).servers[0],
    )
    try:
        await keeper.start()
    except BaseException:
        await keeper.close()
        raise
    former_file = FormerFile(directories)
    store, seat = _store(
        config, [keeper.connector], "", _OWN_KEEPER_SECONDS, former_file, keeper, clock, tasks
    )
    return LoneBroker(config, store, seat, keeper, preparation, clock, tasks)


async def has_former(logs: LogManager) -> bool:
    """Whether this broker has metadata that it has kept itself, on its own or in a file."""
    return await asyncio.to_thread(FormerTree(_online(logs)).is_there)


async def take_over(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> None:
    """Brings what this broker alone knows into the tree of `zookeeper.connect`: metadata that it has kept
    itself, which is put away then, and topics that are in its log directories only.

    No other broker may be there. Raises InvalidConnectString, KeeperDamaged, StoreError.
    """
    address = parse(config.zookeeper_connect or "")
    wait_ms = config.zookeeper_connection_timeout_ms or config.zookeeper_session_timeout_ms
    connectors = [socket_connector(host, port) for host, port in address.servers]
    former = FormerTree(_online(logs))
    store, _ = _store(config, connectors, address.chroot, wait_ms / 1000, former, None, clock, tasks)
    try:
        await adopt_found(store, preparation, config.node_id)
    finally:
        await store.close()


def _online(logs: LogManager) -> list[Path]:
    return [directory.path for directory in logs.directories if directory.online]


def _store(
    config: BrokerConfig,
    connectors: list[Connector],
    chroot: str,
    wait_seconds: float,
    former: FormerFile | FormerTree,
    keeper: EmbeddedKeeper | None,
    clock: Clock,
    tasks: Supervisor,
) -> tuple[TreeMetadataStore, ClusterSeat]:
    session = ZkSession(connectors, clock, timeout_ms=config.zookeeper_session_timeout_ms, tasks=tasks)
    client = ZkClient(session, chroot)
    seat = ClusterSeat(
        client, config.node_id, clock, tasks, wait_seconds=wait_seconds, own_keeper=keeper is not None
    )
    session.on_state = seat.on_state
    store = TreeMetadataStore(seat, clock, former)
    if keeper is not None:
        store.ask_for_room(lambda: keeper.has_room)
    return store, seat
