"""A broker in a cluster of many: its session with ZooKeeper, whose tree it is, and its part as a member."""

from __future__ import annotations

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig, ConfigurationRules
from fastlog.coordination.member import joining
from fastlog.coordination.member.controller_api import NoController
from fastlog.coordination.member.member import Broker, Member
from fastlog.coordination.member.topics import MemberTopics
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.coordination.store import StoreError
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.connect_string import parse
from fastlog.coordination.zookeeper.transport import socket_connector
from fastlog.server.derived_settings import LiveTopicDefaults
from fastlog.server.topic_parts import TopicParts, registration_data
from fastlog.storage.log_manager import LogManager
from fastlog.storage.starting import Preparation


class Membership:
    """`MetadataSource` of a member."""

    def __init__(
        self,
        config: BrokerConfig,
        tree: MemberTree,
        cluster_id: str,
        preparation: Preparation,
        clock: Clock,
        tasks: Supervisor,
    ) -> None:
        self.config = config
        self.producer_ids = self
        self._tree = tree
        self._cluster_id = cluster_id
        self._preparation = preparation
        self._clock = clock
        self._tasks = tasks
        self._made: tuple[TopicParts, Member] | None = None

    @property
    def member(self) -> Member:
        """See `MetadataSource.member`."""
        return self._parts()[1]

    def topics(self, parts: TopicParts) -> MemberTopics:
        """See `MetadataSource.topics`."""
        broker = Broker(
            node_id=self.config.node_id,
            view=parts.view,
            logs=parts.logs,
            replicas=parts.replicas,
            partitions=parts.partitions,
            broker_configs=parts.configs,
            defaults=LiveTopicDefaults(parts.live),
            rules=ConfigurationRules(lambda: parts.live.current),
            registration=lambda: registration_data(parts, self._clock),
            clock=self._clock,
            tasks=self._tasks,
        )
        member = Member(broker, self._tree, NoController())
        self._made = parts, member
        return member.topics

    async def start(self, producer_ids: ProducerIds) -> None:
        """See `MetadataSource.start`: the logs are open afterwards. Raises FastlogError."""
        parts, member = self._parts()
        await parts.logs.confirm_identity(self._cluster_id, self.config.node_id)
        parts.view.set_identity(self._cluster_id, -1)
        opened = await member.open(self._preparation, parts.configs.log_config_for)
        producer_ids.keep_above(opened.highest_producer_id)

    async def announce(self) -> None:
        """See `MetadataSource.announce`. Raises StoreError."""
        parts, member = self._parts()
        await member.announce(frozenset(parts.info.endpoints.values()))

    async def has_others(self) -> bool:
        """Whether other brokers are registered. Raises StoreError."""
        try:
            return await joining.has_others(self._tree, self.config.node_id)
        except BaseException:
            await self.close()
            raise

    async def leave(self) -> None:
        """See `MetadataSource.leave`."""

    async def close(self) -> None:
        """See `MetadataSource.close`."""
        if self._made is None:
            await self._tree.client.session.close()
        else:
            await self._made[1].close()

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        """See `ProducerIdStore.allocate_producer_ids`."""
        raise StoreError("the controller cannot be asked for producer ids yet")

    def _parts(self) -> tuple[TopicParts, Member]:
        if self._made is None:
            raise RuntimeError("topics come first")
        return self._made


async def join(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> Membership:
    """Begins a session and finds out whose tree it is. Raises InvalidConnectString, StoreError."""
    address = parse(config.zookeeper_connect or "")
    wait_ms = config.zookeeper_connection_timeout_ms or config.zookeeper_session_timeout_ms
    connectors = [socket_connector(host, port) for host, port in address.servers]
    session = ZkSession(connectors, clock, timeout_ms=config.zookeeper_session_timeout_ms, tasks=tasks)
    tree = MemberTree(ZkClient(session, address.chroot), wait_seconds=wait_ms / 1000)
    session.start()
    try:
        chosen = config.node_id if config.node_id_is_set else None
        reserved = config.reserved_broker_max_id if config.broker_id_generation_enable else None
        cluster_id, node_id = await joining.find_identity(tree, preparation, chosen, reserved)
    except BaseException:
        await session.close()
        raise
    return Membership(config.with_node_id(node_id), tree, cluster_id, preparation, clock, tasks)
