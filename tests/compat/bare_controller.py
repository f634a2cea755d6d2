"""A controller without a broker around it: it registers, and answers what brokers ask of a controller.

It has no log, and no partition is given to it. Its only listener is the one of brokers among themselves, so
that no client is sent to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Self

from fastlog.base.clock import SystemClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.controller.channels import ControlLink, LocalLink
from fastlog.coordination.controller.controller import Controller
from fastlog.coordination.controller.data import Assignment, Endpoint, LiveBroker
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.controller.socket_link import SocketLink
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.requests import Create, SetData
from fastlog.coordination.zookeeper.transport import socket_connector
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.codec import decode_request, encode_response
from fastlog.wire.messages.allocate_producer_ids import AllocateProducerIdsRequest
from fastlog.wire.messages.alter_partition import AlterPartitionRequest
from fastlog.wire.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest, LeaderAndIsrResponse
from fastlog.wire.messages.stop_replica import StopReplicaRequest, StopReplicaResponse
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest, UpdateMetadataResponse

LISTENER: Final = "INNER"
OFFERED: Final = {
    ApiKey.API_VERSIONS: (0, 4),
    ApiKey.CONTROLLED_SHUTDOWN: (0, 3),
    ApiKey.ALTER_PARTITION: (0, 3),
    ApiKey.ALLOCATE_PRODUCER_IDS: (0, 0),
    ApiKey.LEADER_AND_ISR: (0, 7),
    ApiKey.UPDATE_METADATA: (0, 8),
    ApiKey.STOP_REPLICA: (0, 4),
}


class NoReplicas:
    """A broker that is told things and has nothing to do. Implements `ControlReceiver`."""

    async def leader_and_isr(self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
        return LeaderAndIsrResponse()

    async def update_metadata(self, request: UpdateMetadataRequest) -> UpdateMetadataResponse:
        return UpdateMetadataResponse()

    async def stop_replica(self, request: StopReplicaRequest) -> StopReplicaResponse:
        return StopReplicaResponse()


class BareController:
    """`async with`; active when it is entered, unless `stands_by`: then there is another controller."""

    def __init__(self, keeper_port: int, chroot: str, node_id: int, *, stands_by: bool = False) -> None:
        self.stands_by = stands_by
        self.replicas = LocalLink(NoReplicas())
        self.clock = SystemClock()
        self.tasks = Supervisor(self.clock.monotonic)
        self.node_id = node_id
        connector = socket_connector("127.0.0.1", keeper_port)
        self.session = ZkSession([connector], self.clock, timeout_ms=18_000, tasks=self.tasks)
        self.client = ZkClient(self.session, chroot)
        self.asked: list[str] = []
        self.controller = Controller(
            self.client,
            node_id,
            self,
            NoReplicas(),
            self._link,
            lambda: ControllerSettings(inter_broker_listener=LISTENER),
            self.clock,
            self.tasks,
        )

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.session.on_state = self.controller.on_session
        self.session.start()
        await self.session.connected()
        await ZkClient(self.session).ensure(self.client.chroot)
        await self.client.ensure(*paths.PERSISTENT)
        await self.register()
        self.controller.start()
        async with asyncio.timeout(30):
            while self.controller.controller_id < 0:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            while not self.stands_by and not self.controller.is_active:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.controller.close()
        await self.session.close()
        self._server.close()

    async def register(self) -> None:
        """See `Registration`."""
        port = self._server.sockets[0].getsockname()[1]
        data = node_json.encode_broker(
            [(LISTENER, "127.0.0.1", port, "PLAINTEXT")], None, self.clock.now_ms()
        )
        path = paths.broker_id(self.node_id)
        await self.client.multi([Create(path, None, flags=CreateMode.EPHEMERAL), SetData(path, data, 0)])

    async def create_topic(self, name: str, topic_id: bytes, replicas: dict[int, tuple[int, ...]]) -> None:
        """As a broker does that creates a topic by itself."""
        assignments = {number: Assignment(ids) for number, ids in replicas.items()}
        await self.client.create(paths.topic_config(name), node_json.encode_config({}))
        await self.client.create(paths.topic(name), controller_json.encode_topic(topic_id, assignments))

    async def led(self, topic: str, number: int) -> tuple[int, set[int]]:
        """(leader, in-sync replicas), as they are stored; (-9, none) if nothing is."""
        path = paths.state(topic, number)
        if await self.client.exists(path) is None:
            return -9, set()
        data, stat = await self.client.get(path)
        state = controller_json.decode_state(path, data, stat.version, stat.mzxid)
        return state.leader, set(state.isr)

    def _link(self, _: LiveBroker, address: Callable[[], Endpoint], lost: Callable[[], None]) -> ControlLink:
        return SocketLink(address, client_id="bare", on_lost=lost)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4))
                header, request = decode_request(await reader.readexactly(size))
                answer = await self._answer(request, header.api_version)
                if answer is None:
                    break
                writer.write(encode_response(answer, header.api_version, header.correlation_id))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: Request, version: int) -> Response | None:
        self.asked.append(request.API.name)
        answer: Awaitable[Response]
        if isinstance(request, AlterPartitionRequest):
            answer = self.controller.alter_partition(request, version)
        elif isinstance(request, AllocateProducerIdsRequest):
            answer = self.controller.allocate_producer_ids(request)
        elif isinstance(request, ControlledShutdownRequest):
            answer = self.controller.controlled_shutdown(request)
        elif isinstance(request, ApiVersionsRequest):
            return ApiVersionsResponse(
                api_keys=[ApiVersion(key, low, high) for key, (low, high) in OFFERED.items()]
            )
        elif isinstance(request, LeaderAndIsrRequest | UpdateMetadataRequest | StopReplicaRequest):
            answer = self.replicas.ask(request)
        else:
            return None
        return await answer
