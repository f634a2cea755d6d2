"""Where this broker's metadata is: in the tree of ZooKeeper servers (`zookeeper.connect`) or of a keeper of
its own. It speaks the same protocol with both."""

from __future__ import annotations

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig
from fastlog.coordination.cluster_view import BrokerInfo
from fastlog.coordination.embedded import EmbeddedKeeper
from fastlog.coordination.znodes.metadata_store import TreeMetadataStore
from fastlog.coordination.znodes.node_json import encode_broker
from fastlog.coordination.znodes.seat import ClusterSeat
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.connect_string import parse
from fastlog.coordination.zookeeper.transport import Connector, socket_connector
from fastlog.storage.log_manager import LogManager

_OWN_KEEPER_SECONDS = 2.0
"""How long a change waits for a keeper of this process: it is there, or will not be again."""


class MetadataSource:
    """The store, the broker's seat in the cluster, and the keeper if it is one of its own."""

    def __init__(self, store: TreeMetadataStore, seat: ClusterSeat, keeper: EmbeddedKeeper | None) -> None:
        self.store = store
        self._seat = seat
        self._keeper = keeper

    async def announce(self, config: BrokerConfig, info: BrokerInfo, clock: Clock) -> None:
        """Registers the broker with the addresses that clients are told. Raises StoreError."""
        protocols = {endpoint.name: endpoint.protocol.value for endpoint in config.listeners.advertised}
        endpoints = [(name, host, port, protocols[name]) for name, (host, port) in info.endpoints.items()]
        await self._seat.register(lambda: encode_broker(endpoints, info.rack, clock.now_ms()))

    async def close(self) -> None:
        """Waits for a change that is under way, and leaves the cluster."""
        try:
            await self.store.close()
        finally:
            if self._keeper is not None:
                await self._keeper.close()


async def metadata_source(
    config: BrokerConfig, logs: LogManager, *, used_before: bool, clock: Clock, tasks: Supervisor
) -> MetadataSource:
    """Starts the keeper, if it is one of its own.

    Raises InvalidConnectString, KeeperDamaged, MetadataDamaged, StorageError, OSError.
    """
    directories = [directory.path for directory in logs.directories if directory.online]
    if config.zookeeper_connect:
        address = parse(config.zookeeper_connect)
        wait_ms = config.zookeeper_connection_timeout_ms or config.zookeeper_session_timeout_ms
        connectors = [socket_connector(host, port) for host, port in address.servers]
        former = FormerTree(directories) if FormerTree(directories).homes() else FormerFile(directories)
        return _source(config, connectors, address.chroot, wait_ms / 1000, former, None, clock, tasks)
    listen = config.keeper_listen
    keeper = EmbeddedKeeper(
        directories,
        clock,
        tasks,
        used_before=used_before,
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
    return _source(
        config, [keeper.connector], "", _OWN_KEEPER_SECONDS, FormerFile(directories), keeper, clock, tasks
    )


def _source(
    config: BrokerConfig,
    connectors: list[Connector],
    chroot: str,
    wait_seconds: float,
    former: FormerFile | FormerTree,
    keeper: EmbeddedKeeper | None,
    clock: Clock,
    tasks: Supervisor,
) -> MetadataSource:
    session = ZkSession(connectors, clock, timeout_ms=config.zookeeper_session_timeout_ms, tasks=tasks)
    client = ZkClient(session, chroot)
    seat = ClusterSeat(
        client, config.node_id, clock, tasks, wait_seconds=wait_seconds, own_keeper=keeper is not None
    )
    session.on_state = seat.on_state
    store = TreeMetadataStore(seat, clock, former)
    if keeper is not None:
        store.ask_for_room(lambda: keeper.has_room)
    return MetadataSource(store, seat, keeper)
