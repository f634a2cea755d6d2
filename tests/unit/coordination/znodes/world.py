"""A keeper in this process, and metadata stores over it whose connections can be made to break."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from fastlog.base.clock import SystemClock
from fastlog.base.tasks import Supervisor
from fastlog.base.uuids import random_uuid
from fastlog.coordination.keeper.keeper import Keeper, KeeperSettings
from fastlog.coordination.keeper.local import local_connector
from fastlog.coordination.store import PartitionRecord, TopicRecord
from fastlog.coordination.znodes.metadata_store import TreeMetadataStore
from fastlog.coordination.znodes.seat import ClusterSeat
from fastlog.coordination.znodes.takeover import FormerFile
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.transport import Receiver, Transport

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

    def store(self, cutter: Cutter | None = None, *, former: Path | None = None) -> TreeMetadataStore:
        """A store that is not loaded yet."""
        return TreeMetadataStore(
            self.seat(cutter), self.clock, None if former is None else FormerFile([former])
        )

    def seat(
        self, cutter: Cutter | None = None, node_id: int = 1, *, own_keeper: bool = False
    ) -> ClusterSeat:
        session = ZkSession(
            [cutter or local_connector(self.keeper, outlives=True)],
            self.clock,
            timeout_ms=2000,
            tasks=self.tasks,
        )
        client = ZkClient(session, "/kafka")
        seat = ClusterSeat(client, node_id, self.clock, self.tasks, wait_seconds=2, own_keeper=own_keeper)
        session.on_state = seat.on_state
        return seat

    def nodes(self) -> dict[str, bytes | None]:
        """All nodes of the cluster, with their data."""
        tree = self.keeper.machine.tree.nodes
        return {path: node.data for path, node in sorted(tree.items()) if path.startswith("/kafka/")}
