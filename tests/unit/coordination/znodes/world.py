"""A keeper in this process, and connections to it that can be made to break."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from fastlog.base.clock import SystemClock
from fastlog.base.tasks import Supervisor
from fastlog.base.uuids import random_uuid
from fastlog.coordination.keeper.keeper import Keeper, KeeperSettings
from fastlog.coordination.keeper.local import local_connector
from fastlog.coordination.member.adoption import adopt
from fastlog.coordination.member.joining import find_identity
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import ClusterMetadata, PartitionRecord, TopicRecord
from fastlog.coordination.znodes import paths
from fastlog.coordination.znodes.node_json import decode_cluster_id, decode_next_producer_id
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree
from fastlog.coordination.znodes.tree_loading import load
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.transport import Receiver, Transport
from fastlog.storage.starting import Preparation


async def said(tree: MemberTree) -> ClusterMetadata:
    """All that a tree says."""
    loaded = await load(tree)
    ids, block = await tree.read_all([paths.CLUSTER_ID, paths.PRODUCER_IDS])
    return ClusterMetadata(
        cluster_id=decode_cluster_id(paths.CLUSTER_ID, None if ids is None else ids[0]),
        topics=loaded.topics,
        broker_configs=loaded.broker_configs,
        next_producer_id=decode_next_producer_id(paths.PRODUCER_IDS, None if block is None else block[0]),
        group_configs=loaded.group_configs,
    )


PARTITION = PartitionRecord((1,), (1,), 1)


def topic(name: str, partitions: int = 1, **configs: str) -> TopicRecord:
    return TopicRecord(name, random_uuid(), (PARTITION,) * partitions, configs)


class Cutter:
    """Breaks the connection instead of passing the answer, or the request, that is due to be lost.

    `lose` counts down with each packet of its direction: at 0 that one is lost.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._connect = local_connector(keeper, outlives=True)
        self.requests: int | None = None
        self.answers: int | None = None
        self.passed = 0

    async def __call__(self, receiver: Receiver) -> Transport:
        link = _Link(self, receiver)
        link.transport = await self._connect(link)
        return link

    def due(self, direction: str) -> bool:
        left: int | None = getattr(self, direction)
        if left is None:
            return False
        setattr(self, direction, left - 1 if left else None)
        return left == 0


class _Link:
    def __init__(self, cutter: Cutter, receiver: Receiver) -> None:
        self._cutter = cutter
        self._receiver = receiver
        self.transport: Transport | None = None

    def packet_received(self, packet: bytes) -> None:
        self._cutter.passed += 1
        if self._cutter.due("answers"):
            self.close()
            self._receiver.transport_lost("the answer is lost")
        else:
            self._receiver.packet_received(packet)

    def transport_lost(self, reason: str) -> None:
        self._receiver.transport_lost(reason)

    def answered(self, xid: int, zxid: int, outcome: object) -> None:
        raise AssertionError("only packets pass here")

    def notified(self, event: object) -> None:
        raise AssertionError("only packets pass here")

    def write(self, packet: bytes | bytearray) -> None:
        if self.transport is None:
            return
        if self._cutter.due("requests"):
            self.close()
        else:
            self.transport.write(packet)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class World:
    """One keeper, `async with`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = SystemClock()
        self.tasks = Supervisor(self.clock.monotonic)
        self.keeper = Keeper(directory / "keeper", self.clock, KeeperSettings(tick_ms=100))

    async def __aenter__(self) -> Self:
        await self.keeper.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.keeper.stop()

    def tree(self, cutter: Cutter | None = None) -> MemberTree:
        """The cluster's tree, in a session of its own that has begun."""
        session = ZkSession(
            [cutter or local_connector(self.keeper, outlives=True)],
            self.clock,
            timeout_ms=2000,
            tasks=self.tasks,
        )
        session.start()
        return MemberTree(ZkClient(session, "/kafka"), wait_seconds=2)

    async def adopt(self, former: FormerFile | FormerTree, cluster_id: str) -> ClusterMetadata:
        """Has the metadata taken into the tree; gives what that says then."""
        tree = self.tree()
        try:
            prepared = Preparation(cluster_id, 1, True, True, [], [])
            assert await find_identity(tree, prepared, 1, None) == (cluster_id, 1)
            await adopt(tree, cluster_id, 1, former, [], self.clock)
            return await said(tree)
        finally:
            await tree.client.session.close()

    def nodes(self) -> dict[str, bytes | None]:
        """All nodes of the cluster, with their data."""
        tree = self.keeper.machine.tree.nodes
        return {path: node.data for path, node in sorted(tree.items()) if path.startswith("/kafka/")}
