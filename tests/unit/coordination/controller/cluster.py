"""Controllers on one tree, over brokers that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastlog.base.uuids import random_uuid
from fastlog.coordination.controller.channel_queue import ControlRequest
from fastlog.coordination.controller.channels import ControlResponse, LocalLink
from fastlog.coordination.controller.controller import Controller
from fastlog.coordination.controller.data import Assignment, Leadership, LiveBroker
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.controller.socket_link import Port
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrPartitionError,
    LeaderAndIsrRequest,
    LeaderAndIsrResponse,
    LeaderAndIsrTopicError,
)
from fastlog.wire.messages.stop_replica import (
    StopReplicaPartitionError,
    StopReplicaRequest,
    StopReplicaResponse,
)
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest, UpdateMetadataResponse
from tests.unit.coordination.controller.tree_world import World, register, until
from tests.unit.coordination.znodes.world import Cutter

Key = tuple[str, int]


@dataclass
class FakeBroker:
    """What a broker remembers of what it was told. Implements `ControlReceiver`."""

    id: int
    requests: list[ControlRequest] = field(default_factory=list)
    replicas: dict[Key, Any] = field(default_factory=dict)
    deleted: set[Key] = field(default_factory=set)
    metadata: dict[Key, Any] = field(default_factory=dict)
    live: set[int] = field(default_factory=set)
    controller: int = -1
    offline: set[Key] = field(default_factory=set)
    """Replicas whose directory has failed."""
    cannot_delete: bool = False
    away: bool = False
    """Does not answer."""

    async def leader_and_isr(self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
        await self._take(request)
        topics = []
        for topic in request.topic_states:
            rows = []
            for state in topic.partition_states:
                key = (topic.topic_name, state.partition_index)
                before = self.replicas.get(key)
                code = 56 if key in self.offline else 0
                if code == 0 and before is not None and before.leader_epoch >= state.leader_epoch:
                    code = 11
                if code == 0:
                    self.replicas[key] = state
                    self.deleted.discard(key)
                rows.append(
                    LeaderAndIsrPartitionError(partition_index=state.partition_index, error_code=code)
                )
            topics.append(LeaderAndIsrTopicError(topic.topic_id, rows))
        return LeaderAndIsrResponse(topics=topics)

    async def update_metadata(self, request: UpdateMetadataRequest) -> UpdateMetadataResponse:
        await self._take(request)
        self.live = {broker.id_ for broker in request.live_brokers}
        self.controller = request.controller_id
        for topic in request.topic_states:
            for state in topic.partition_states:
                key = (topic.topic_name, state.partition_index)
                self.metadata[key] = state
                if state.leader == -2:
                    del self.metadata[key]
        return UpdateMetadataResponse()

    async def stop_replica(self, request: StopReplicaRequest) -> StopReplicaResponse:
        await self._take(request)
        rows = []
        for topic in request.topic_states:
            for state in topic.partition_states:
                key = (topic.topic_name, state.partition_index)
                if state.delete_partition and not self.cannot_delete:
                    self.replicas.pop(key, None)
                    self.deleted.add(key)
                code = 56 if state.delete_partition and self.cannot_delete else 0
                rows.append(StopReplicaPartitionError(topic.topic_name, state.partition_index, code))
        return StopReplicaResponse(partition_errors=rows)

    def kinds(self) -> list[str]:
        return [type(request).__name__.removesuffix("Request") for request in self.requests]

    async def _take(self, request: ControlRequest) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("nobody there")
        self.requests.append(request)


class FakeLink(LocalLink):
    """To another broker; `lose` is what an operating system does when the process is gone."""

    def __init__(self, broker: FakeBroker, lost: Callable[[], None]) -> None:
        super().__init__(broker)
        self.lose = lost
        self.closed = False

    async def ask(self, request: ControlRequest) -> ControlResponse:
        answer = await super().ask(request)
        if self.closed:
            raise ConnectionError("closed")
        return answer

    async def close(self) -> None:
        self.closed = True


class NoRegistration:
    """Registers the broker in a new session."""

    def __init__(self, client: ZkClient, node_id: int) -> None:
        self.client = client
        self.node_id = node_id

    async def register(self) -> None:
        await register(self.client, self.node_id)


class Cluster(World):
    """A `World` with brokers and controllers by id."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.settings = ControllerSettings()
        self.brokers: dict[int, FakeBroker] = {}
        self.sessions: dict[int, ZkClient] = {}
        self.epochs: dict[int, int] = {}
        self.controllers: dict[int, Controller] = {}
        self.links: dict[int, FakeLink] = {}
        self.ports: dict[int, Port] = {}
        self.acquainted: set[int] = set()
        """The brokers that a new controller was told of before."""
        self.remember = False
        """Whether a new controller asks what its broker was told."""

    async def __aexit__(self, *exc: object) -> None:
        for controller in self.controllers.values():
            await controller.close()
        await super().__aexit__(*exc)

    async def broker(
        self, *ids: int, cutter: Cutter | None = None, features: dict[str, dict[str, int]] | None = None
    ) -> None:
        """Brokers start, and register."""
        for broker_id in ids:
            self.brokers.setdefault(broker_id, FakeBroker(broker_id))
            self.sessions[broker_id] = client = await self.client(cutter)
            self.epochs[broker_id] = await register(client, broker_id, port=broker_id, features=features)

    async def stop(self, broker_id: int) -> None:
        """A broker's session ends; its controller with it."""
        controller = self.controllers.pop(broker_id, None)
        if controller is not None:
            await controller.close()
        await self.sessions.pop(broker_id).session.close()

    async def controller(self, broker_id: int) -> Controller:
        """The controller in a broker that is registered."""
        client = self.sessions[broker_id]
        made = self.controllers[broker_id] = Controller(
            client,
            broker_id,
            NoRegistration(client, broker_id),
            self.brokers[broker_id],
            self._link,
            lambda: self.settings,
            self.clock,
            self.tasks,
            knock=self._knock,
            remembered=lambda key, _: self._remembered(broker_id, key),
            acquainted=lambda: self.acquainted,
        )
        client.session.on_state = made.on_session
        made.start()
        return made

    async def active(self, broker_id: int) -> Controller:
        """The same, and waits until it has taken over."""
        made = await self.controller(broker_id)
        await until(lambda: made.is_active)
        await self.settled(made)
        return made

    async def settled(self, controller: Controller) -> None:
        """Waits until a controller has carried out what it knows of, and brokers have answered."""
        quiet = 0
        while quiet < 20:
            queue, term = controller._queue, controller._term
            busy = bool(queue.running) or len(queue)
            if term is not None:
                channels = term.channels._channels.values()
                busy = busy or any(
                    len(channel) or channel._some.is_set()
                    for channel in channels
                    if not self.brokers[channel.broker_id].away
                )
            quiet = 0 if busy else quiet + 1
            await asyncio.sleep(0.002)

    async def topic(self, name: str, *replicas: Sequence[int], topic_id: bytes | None = b"") -> bytes:
        """Writes the nodes of a new topic, as any broker does."""
        made = random_uuid() if topic_id == b"" else topic_id
        assignments = {number: Assignment(tuple(ids)) for number, ids in enumerate(replicas)}
        await self.admin.create(paths.topic_config(name), node_json.encode_config({}))
        await self.admin.create(paths.topic(name), controller_json.encode_topic(made, assignments))
        return made or b""

    async def topics(self, count: int, partitions: int, brokers: Iterable[int] = (1, 2, 3)) -> None:
        """Many topics."""
        ids = list(brokers)
        for number in range(count):
            rows = [ids[p % len(ids) :] + ids[: p % len(ids)] for p in range(partitions)]
            await self.topic(f"t{number}", *rows)

    def state(self, topic: str, number: int = 0) -> Leadership | None:
        """What is stored of a partition."""
        node = self.keeper.machine.tree.nodes.get(paths.state(topic, number))
        return None if node is None else controller_json.decode_state("", node.data, node.version, node.mzxid)

    def assignment(self, topic: str) -> Mapping[int, Assignment]:
        """The assignment that is stored."""
        return controller_json.decode_topic("", self.data(paths.topic(topic))).assignments

    def led(self, topic: str, number: int = 0) -> tuple[int, tuple[int, ...]]:
        """(leader, in-sync replicas), as they are stored; -9 if there is no state."""
        found = self.state(topic, number)
        return (-9, ()) if found is None else (found.leader, found.isr)

    def _remembered(self, broker_id: int, key: Key) -> Leadership | None:
        told = self.brokers[broker_id].metadata.get(key) if self.remember else None
        if told is None:
            return None
        return Leadership(told.leader, told.leader_epoch, tuple(told.isr), partition_epoch=told.zk_version)

    def _link(self, broker: LiveBroker, address: object, lost: Callable[[], None]) -> FakeLink:
        made = self.links[broker.id] = FakeLink(self.brokers[broker.id], lost)
        return made

    async def _knock(self, host: str, port: int) -> Port:
        await asyncio.sleep(0)
        return self.ports.get(port, Port.OPEN)
