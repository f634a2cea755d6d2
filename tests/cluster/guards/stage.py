"""Brokers in this process, on a real tree; their controller is the test, which decides with the real rules.

Nobody decides anything by himself here: the test says who leads, who fetches, which broker dies and what
arrives late. States of partitions are kept in memory (`World`), orders go to the brokers over their sockets.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from fastlog.coordination.controller import brokers
from fastlog.coordination.controller.alter_partition import alter_partitions
from fastlog.coordination.controller.control_batch import ControlBatch, ControlMessage
from fastlog.coordination.controller.creation import create_partitions
from fastlog.coordination.controller.data import Assignment, Endpoint, LiveBroker
from fastlog.coordination.controller.flow import Flow
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.errors import ErrorCode
from fastlog.replication.partition import Partition, PartitionKey
from fastlog.replication.progress import NEVER
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.messages.alter_partition import AlterPartitionRequest
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.cluster.tree_state import look
from tests.harness.keeper_process import KeeperProcess
from tests.harness.net import free_port
from tests.harness.tree import at
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient, RunningBroker
from tests.unit.coordination.controller.world import CONTROLLER, World

_VERSIONS: Final = {LeaderAndIsrRequest: 7, UpdateMetadataRequest: 8}
_STOP_VERSION: Final = 4
_ALTER_VERSION: Final = 3
_SETTINGS: Final = {
    "controlled.shutdown.enable": "false",
    "replica.fetch.wait.max.ms": "50",
    "replica.fetch.backoff.ms": "50",
}


class Stage:
    """Brokers 1, 2, ...; `topic` makes a partition of its own for each script."""

    def __init__(self, directory: Path, count: int = 2) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._numbers = range(1, count + 1)
        self._clients: dict[int, RawClient] = {}
        self.world = World()
        self.brokers: dict[int, RunningBroker] = {}
        self.asked: list[AlterPartitionRequest] = []
        """What leaders have asked of in-sync sets."""
        self._answers = threading.Event()
        self._answers.set()
        self._only_one = False
        self._deaf: set[int] = set()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            keeper = stack.enter_context(KeeperProcess(self._directory / "keeper", tick_ms=500))
            self.connect = keeper.address
            at(self.connect, _take_the_seat)
            for number in self._numbers:
                settings = {**_SETTINGS, "broker.id": str(number), "zookeeper.connect": self.connect}
                broker = RunningBroker(self._directory / f"broker-{number}", settings)
                broker.port = free_port()
                stack.callback(broker.close)
                self.brokers[number] = broker
                self.start(number)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer_leaders()
        for client in self._clients.values():
            client.socket.close()
        self._stack.close()

    # -- brokers --------------------

    def start(self, number: int, *, unseen: bool = False) -> None:
        """A broker starts, and the controller hears of it.

        `unseen`: it had been gone while nobody was controller, and leads and follows nothing until `hear`.
        """
        broker = self.brokers[number]
        with ThreadPoolExecutor(1) as threads:
            # It serves clients, and has started, when the controller has told it what there is.
            started = threads.submit(broker.start)
            self.wait(lambda: started.done() or number in look(self.connect).brokers, "it does not register")
            if started.done():
                started.result()
            broker.broker.services.in_sync_sets._controller = _Link(self)
            self._tell_of(number, unseen=unseen)
            started.result()

    def hear(self, number: int) -> None:
        """It is told what it leads and follows again."""
        self._deaf.discard(number)

    def _tell_of(self, number: int, *, unseen: bool) -> None:
        broker, epoch = self.brokers[number], look(self.connect).brokers[number]
        listeners = [Endpoint(name, "127.0.0.1", broker.port, 0) for name in ("PLAINTEXT", "INNER")]
        self.world.zxid = max(self.world.zxid, epoch)
        found = LiveBroker(number, epoch, tuple(listeners))
        if unseen:
            self._deaf.add(number)
            self.world.context.put_broker(found)
            self.run(brokers.settle_unseen_restarts(self.world.context))
        self.run(brokers.brokers_started(self.world.context, [found]))

    def stop(self, number: int, *, lose_disk: bool = False) -> None:
        """A broker ends, with its disk if that is lost, and the controller elects others where it can."""
        self._close_client(number)
        self.brokers[number].stop()
        if lose_disk:
            shutil.rmtree(self.brokers[number].directory)
        self.run(brokers.brokers_failed(self.world.context, [number]))

    def restart(self, number: int, *, unseen: bool = False, lose_disk: bool = False) -> None:
        """It comes back before anybody has missed it: in another life."""
        self._close_client(number)
        self.brokers[number].stop()
        if lose_disk:
            shutil.rmtree(self.brokers[number].directory)
        self.world.context.remove_broker(number)
        self.start(number, unseen=unseen)

    def partition(self, number: int, key: PartitionKey) -> Partition:
        """A broker's part in a partition, to look at."""
        found = self.brokers[number].broker.services.replicas.find(key)
        assert found is not None
        return found

    def fall_behind(self, leader: int, follower: int, key: PartitionKey) -> None:
        """Long enough has passed without a fetch of this follower: its leader wants it out of the set."""
        broker = self.brokers[leader]

        async def look() -> None:
            self.partition(leader, key).followers[follower].caught_up_ms = NEVER
            await broker.broker.services.in_sync_sets.look()

        broker.run(look())

    def is_refused(self, number: int, key: PartitionKey) -> bool:
        """Whether a broker that follows has got an error of its leader, and lets some time go by."""
        member: Any = self.brokers[number].broker.services.member
        fetchers = [fetcher for fetcher, _ in member.receiver._reconciler._host._fetchers._fetchers.values()]
        positions = [fetcher.positions for fetcher in fetchers]
        return any(each.find(key) in each._delayed for each in positions)

    def refusals(self, number: int) -> int:
        """How many in-sync sets the controller has refused to a broker."""
        return self.brokers[number].broker.services.in_sync_sets.failures

    def wait(self, condition: Callable[[], object], what: Callable[[], str] | str) -> None:
        """Until something comes true."""
        wait_until(condition, what, seconds=60, pause=0.01)

    # -- the controller --------------------

    def run(self, flow: Flow[Any]) -> Any:
        """Carries out a decision, and has the brokers told."""
        with self._lock:
            result = self.world.run(flow)
        self.deliver()
        return result

    def topic(self, name: str, replicas: Sequence[int], *, min_in_sync: int = 1) -> PartitionKey:
        """A topic of one partition, led by the first of its replicas; all of them are in sync."""
        configs = node_json.encode_config({"min.insync.replicas": str(min_in_sync)})
        key, topic_id = (name, 0), name.encode().ljust(16, b"-")
        assignment = Assignment(tuple(replicas))

        async def write(client: ZkClient) -> None:
            await client.create(paths.topic_config(name), configs)
            await client.create(paths.topic(name), controller_json.encode_topic(topic_id, {0: assignment}))

        at(self.connect, write)
        world = self.world
        world.context.put_topic(name, topic_id)
        world.context.put_assignment(key, assignment)
        self.run(create_partitions(world.context, [key]))
        return key

    def elect(
        self, key: PartitionKey, leader: int, isr: Collection[int], told: Iterable[int] | None = None
    ) -> None:
        """Another epoch of a partition, whether anybody would elect so or not; `told` are those who hear."""
        now = self.world.nodes[key]
        self.world.put_state(
            key,
            *(leader, isr),
            leader_epoch=now.leader_epoch + 1,
            partition_epoch=now.partition_epoch + 1,
            zxid=self.world.next_zxid(),
        )
        self.tell(key, self.world.context.assignment(key).replicas if told is None else told)

    def tell(self, key: PartitionKey, told: Iterable[int]) -> None:
        """These hear of the state of a partition as it is."""
        batch = ControlBatch(self.world.context)
        batch.lead(told, key, is_new=False)
        self.world.sent.extend(batch.requests(CONTROLLER, "INNER"))
        self.deliver()

    def silence(self, number: int, key: PartitionKey) -> None:
        """A broker fetches a partition no more, until it hears of the next epoch."""
        batch = ControlBatch(self.world.context)
        batch.stop([number], key, delete=False)
        self.world.sent.extend(batch.requests(CONTROLLER, "INNER"))
        self.deliver()

    def deletion(self, number: int, key: PartitionKey, **changed: int) -> ControlMessage:
        """The order to delete a replica, to be sent when the test wants; `changed` are fields of it."""
        batch = ControlBatch(self.world.context)
        batch.stop([number], key, delete=True)
        (request,) = batch.requests(CONTROLLER, "INNER")
        return replace(request.message, **changed)

    def deliver(self) -> None:
        """Sends what the controller has said."""
        with self._lock:
            requests = list(self.world.sent)
            self.world.forget()
        for number, message in requests:
            is_heard = number not in self._deaf or isinstance(message, UpdateMetadataRequest)
            if number in self.world.context.brokers and is_heard:
                code = self.order(number, message)
                assert code == ErrorCode.NONE, f"broker {number} refuses {message}: {code}"

    def order(self, number: int, message: ControlMessage) -> ErrorCode:
        """Sends one order; the code of the answer as a whole."""
        answer = self.client(number).ask(message, _VERSIONS.get(type(message), _STOP_VERSION))
        return ErrorCode.of(answer.error_code)

    def client(self, number: int) -> RawClient:
        """The controller's connection to a broker."""
        if number not in self._clients:
            self._clients[number] = self.brokers[number].connect()
        return self._clients[number]

    def hold_answers(self) -> None:
        """Leaders get no answer to what they ask of in-sync sets."""
        self.asked.clear()
        self._answers.clear()

    def answer_leaders(self, *, only_one: bool = False) -> None:
        """They get one now."""
        self._only_one = only_one
        self._answers.set()

    def alter(self, request: AlterPartitionRequest) -> Response:
        """What the controller answers to a leader that wants another in-sync set."""
        self.asked.append(request)
        self._answers.wait(30)
        with self._lock:
            if self._only_one:
                self._answers.clear()
            told = len(self.world.sent)
            altered = self.world.run(alter_partitions(self.world.context, request, _ALTER_VERSION))
            # Metadata alone: nobody here looks at it.
            del self.world.sent[told:]
        return altered.response

    def _close_client(self, number: int) -> None:
        client = self._clients.pop(number, None)
        if client is not None:
            client.socket.close()


class _Link:
    """`ControllerLink` to the test."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def ask(self, api: ApiKey, make: Callable[[int], Request], **_: object) -> Response:
        request = make(_ALTER_VERSION)
        assert isinstance(request, AlterPartitionRequest)
        return await asyncio.to_thread(self._stage.alter, request)


async def _take_the_seat(client: ZkClient) -> None:
    """A seat that goes with no session: no broker here ever becomes the controller."""
    await client.ensure(*paths.PERSISTENT)
    await client.create(paths.CONTROLLER, node_json.encode_controller(CONTROLLER, 0))
    # The epochs of its orders are below.
    await client.create(paths.CONTROLLER_EPOCH, b"1000")
