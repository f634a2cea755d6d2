"""Verdicts, acknowledgements and waits of produce requests, over fake logs and fake I/O."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlog.coordination.cluster_view import ClusterView, PartitionState, TopicState
from fastlog.errors import ErrorCode
from fastlog.native import Log
from fastlog.replication.appender import Appender
from fastlog.replication.committer import GroupCommitter
from fastlog.replication.partition import Partition, ReplicaSettings
from fastlog.replication.purgatory import Purgatory
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.server.network.session import ListenerIdentity, Session
from fastlog.server.observability.metrics import BrokerMetrics
from fastlog.server.produce.operation import ProduceOperation
from fastlog.storage.io import IoClosed
from tests.unit.replication.fakes import FakeLog, FakeLoop

FSYNC = ReplicaSettings(fsync=True)


class FakePlan:
    """A parsed request of rows (topic, partition, bytes)."""

    correlation_id = 9
    total_bytes = 100

    def __init__(
        self,
        *topics: str,
        acks: int = -1,
        size: int = 100,
        tx: str | None = None,
        transactional: bool = False,
        version: int = 9,
    ) -> None:
        self.acks = acks
        self.timeout_ms = 1000
        self.transactional_id = tx
        self.is_transactional = transactional
        self.version = version
        self.rows = [(topic, 0, size) for topic in topics]

    def encode_response(self, rows: list[Any], throttle_ms: int = 0, endpoints: Any = ()) -> Any:
        """The rows themselves, to be looked at."""
        return [(row[0], row[1], row[6]) for row in rows]


class FakeExchange:
    """Notes what is said."""

    api_key = 0
    is_lost = False
    meter = None

    def __init__(self) -> None:
        self.session = Session(ListenerIdentity("PLAINTEXT"))
        self.operation: Any = None
        self.answer: Any = None
        self.proceeded = 0
        self.closed: list[str] = []

    def proceed(self) -> None:
        """As `Exchange.proceed`."""
        self.proceeded += 1

    def reply(self, answer: Any) -> None:
        """As `Exchange.reply`."""
        assert self.answer is None
        self.answer = answer

    def reply_nothing(self) -> None:
        """As `Exchange.reply_nothing`."""
        self.reply("nothing")

    def close(self, reason: str, detail: object = None) -> None:
        """As `Exchange.close`."""
        self.closed.append(reason)


class World:
    """Topics `a` and `b` of one partition each, led in epoch 0."""

    def __init__(self, settings: ReplicaSettings | None = None) -> None:
        self.loop = FakeLoop()
        self.appends: list[tuple[list[Any], asyncio.Future[Any]]] = []
        self.commits: list[asyncio.Future[int]] = []
        self.purgatory = Purgatory(self.loop)
        self.replicas = ReplicaManager(1, self.purgatory.check)
        view = ClusterView()
        for name in ("a", "b"):
            self.lead(name, settings or ReplicaSettings())
            view.put_topic(TopicState(name, name.encode() * 16, (PartitionState(2, 7, (1,), (1,)),), {}))
        self.io = SimpleNamespace(produce=self._produce)
        self.broker = cast(
            "Any",
            SimpleNamespace(
                loop=self.loop,
                cluster=view,
                replicas=self.replicas,
                purgatory=self.purgatory,
                appender=Appender(cast("Any", self.io), GroupCommitter(self._commit), self.purgatory),
                metrics=BrokerMetrics(),
                logs=SimpleNamespace(offline_reason=lambda topic, partition: None),
                clock=SimpleNamespace(monotonic=lambda: 0.0),
                transactions=None,
                access=None,
                settled=SimpleNamespace(offer=lambda partition: None),
            ),
        )

    def lead(self, topic: str, settings: ReplicaSettings) -> None:
        """Leads partition 0 of a topic."""
        self.replicas.become_leader(
            topic,
            bytes(16),
            0,
            cast("Log", FakeLog()),
            leader_epoch=0,
            in_sync=frozenset({1}),
            settings=settings,
        )

    def _produce(
        self, plan: Any, targets: list[Any], epochs: list[int], guards: Any = None
    ) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self.appends.append((targets, future))
        return future

    def _commit(self, log: Any) -> asyncio.Future[int]:
        self.commits.append(asyncio.get_running_loop().create_future())
        return self.commits[-1]

    def start(self, plan: FakePlan) -> FakeExchange:
        """Starts a request."""
        exchange = FakeExchange()
        ProduceOperation(self.broker, cast("Any", exchange), cast("Any", plan)).start()
        return exchange

    async def appended(self, *ends: int) -> None:
        """The append ends with these log end offsets; 0 stands for an error."""
        targets, future = self.appends[-1]
        future.set_result(
            [
                (0, end - 1, -1, 0, None, None, end)
                if end
                else (target if isinstance(target, int) else 87, -1, -1, -1, None, None, -1)
                for target, end in zip(targets, ends, strict=True)
            ]
        )
        await asyncio.sleep(0)


async def test_an_append_that_is_replicated_is_answered_at_once() -> None:
    world = World()
    exchange = world.start(FakePlan("a", "b"))
    assert exchange.answer is None
    await world.appended(1, 5)
    assert exchange.answer == [(0, 0, None), (0, 4, None)]


async def test_rows_that_cannot_be_written_do_not_stop_the_others() -> None:
    world = World()
    exchange = world.start(FakePlan("none", "a", version=10))
    (targets, _) = world.appends[-1]
    assert targets[0] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    await world.appended(0, 1)
    assert exchange.answer == [(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, None), (0, 0, None)]


async def test_without_a_writable_row_nothing_is_appended() -> None:
    world = World()
    for plan, code in (
        (FakePlan("none"), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (FakePlan("a", acks=5), ErrorCode.INVALID_REQUIRED_ACKS),
        (FakePlan("a", tx="tx"), ErrorCode.INVALID_TXN_STATE),
        (FakePlan("a", tx="tx", transactional=True), ErrorCode.INVALID_TXN_STATE),
        (FakePlan("a", transactional=True), ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        (FakePlan("none", transactional=True), ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        (FakePlan("a", size=-1), ErrorCode.INVALID_RECORD),
    ):
        assert world.start(plan).answer == [(code, -1, None)]
    assert world.appends == []


async def test_one_batch_of_a_transaction_without_an_id_costs_the_whole_request() -> None:
    world = World()
    code = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert world.start(FakePlan("a", "none", "b", transactional=True)).answer == [(code, -1, None)] * 3
    silent = world.start(FakePlan("a", "b", transactional=True, acks=0))
    assert (silent.answer, silent.closed) == (None, ["failed produce with acks=0"])
    assert world.appends == []


async def test_an_append_that_cannot_be_handed_over_is_answered() -> None:
    world = World()

    def refuse(*_: Any) -> Any:
        raise IoClosed("the I/O threads have stopped")

    world.io.produce = refuse
    assert world.start(FakePlan("a")).answer == [(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, None)]


async def test_nothing_is_kept_for_a_producer_that_has_gone_before_its_records_are_replicated() -> None:
    world = World(FSYNC)
    exchange = world.start(FakePlan("a"))
    exchange.is_lost = True
    await world.appended(1)
    assert (len(world.commits), len(world.purgatory), exchange.operation) == (1, 0, None)


async def test_a_replaced_replica_answers_who_waits_for_it() -> None:
    world = World(FSYNC)
    exchange = world.start(FakePlan("a"))
    await world.appended(1)
    assert (exchange.answer, len(world.purgatory)) == (None, 1)
    world.replicas.become_leader(
        "a",
        bytes(16),
        0,
        cast("Log", FakeLog()),
        leader_epoch=0,
        in_sync=frozenset({1}),
        settings=FSYNC,
    )
    assert exchange.answer == [(ErrorCode.NOT_LEADER_OR_FOLLOWER, 0, None)]
    assert len(world.purgatory) == 0
    # The commit of the one that is gone holds up nobody.
    again = world.start(FakePlan("a"))
    await world.appended(1)
    assert len(world.commits) == 2
    world.commits[1].set_result(1)
    await asyncio.sleep(0)
    assert again.answer == [(0, 0, None)]


async def test_internal_topics_take_nothing_from_clients() -> None:
    world = World(ReplicaSettings(internal=True))
    assert world.start(FakePlan("a")).answer == [(ErrorCode.INVALID_TOPIC_EXCEPTION, -1, None)]


async def test_the_new_leader_is_named_from_version_10_on() -> None:
    world = World()
    replica = world.replicas.get("a", 0)
    assert replica is not None
    replica.resign(2, 7)
    assert world.start(FakePlan("a", version=10)).answer == [(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, (2, 7))]
    assert world.start(FakePlan("a", version=9)).answer == [(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, None)]


async def test_storage_errors_look_like_a_lost_leader_to_old_clients() -> None:
    world = World()
    replica = world.replicas.get("a", 0)
    assert replica is not None
    replica.take_offline()
    assert world.start(FakePlan("a", version=3)).answer[0][0] == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert world.start(FakePlan("a", version=4)).answer[0][0] == ErrorCode.KAFKA_STORAGE_ERROR


async def test_fsync_mode_lets_the_next_request_start_and_answers_after_the_commit() -> None:
    for acks in (1, -1):
        world = World(FSYNC)
        exchange = world.start(FakePlan("a", "b", acks=acks))
        await world.appended(1, 1)
        assert (exchange.proceeded, exchange.answer, len(world.commits)) == (1, None, 2)
        world.commits[0].set_result(1)
        await asyncio.sleep(0)
        assert exchange.answer is None
        world.commits[1].set_result(1)
        await asyncio.sleep(0)
        assert exchange.answer == [(0, 0, None), (0, 0, None)]
        assert len(world.purgatory) == 0


async def test_what_is_not_acknowledged_in_time_times_out() -> None:
    world = World(FSYNC)
    exchange = world.start(FakePlan("a", "b"))
    await world.appended(1, 1)
    world.commits[0].set_result(1)
    await asyncio.sleep(0)
    world.loop.advance(1.1)
    assert exchange.answer == [(0, 0, None), (ErrorCode.REQUEST_TIMED_OUT, 0, None)]


async def test_a_failed_commit_is_never_acknowledged() -> None:
    world = World(FSYNC)
    exchange = world.start(FakePlan("a"))
    await world.appended(1)
    world.commits[0].set_exception(OSError("Input/output error"))
    await asyncio.sleep(0)
    assert exchange.answer == [(ErrorCode.KAFKA_STORAGE_ERROR, 0, None)]


async def test_acks_0_has_no_answer_and_waits_for_nothing() -> None:
    world = World(FSYNC)
    exchange = world.start(FakePlan("a", acks=0))
    await world.appended(1)
    assert (exchange.answer, exchange.closed) == ("nothing", [])
    failing = world.start(FakePlan("none", acks=0))
    assert (failing.answer, failing.closed) == (None, ["failed produce with acks=0"])


async def test_an_append_that_fails_as_a_whole_is_no_success() -> None:
    world = World()
    exchange = world.start(FakePlan("a", "b"))
    world.appends[-1][1].set_exception(OSError("Input/output error"))
    await asyncio.sleep(0)
    assert [row[0] for row in exchange.answer] == [ErrorCode.KAFKA_STORAGE_ERROR] * 2


async def test_a_lost_connection_is_not_parked() -> None:
    world = World(FSYNC)
    exchange = world.start(FakePlan("a"))
    exchange.is_lost = True
    await world.appended(1)
    assert len(world.purgatory) == 0


async def test_the_work_of_a_wait_is_in_proportion_to_its_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(FSYNC)
    names = [f"t{n}" for n in range(200)]
    for name in names:
        world.lead(name, FSYNC)
    looks = 0
    ack_error = Partition.ack_error

    def counted(self: Partition, *args: Any) -> int | None:
        nonlocal looks
        looks += 1
        return ack_error(self, *args)

    monkeypatch.setattr(Partition, "ack_error", counted)
    exchange = world.start(FakePlan(*names))
    await world.appended(*[1] * len(names))
    for commit in list(world.commits):
        assert exchange.answer is None
        commit.set_result(1)
        await asyncio.sleep(0)
    assert exchange.answer == [(0, 0, None)] * len(names)
    assert looks < 4 * len(names)


async def test_errors_of_partitions_that_are_settled_early_are_in_the_answer() -> None:
    world = World(FSYNC)
    exchange = world.start(FakePlan("a", "b"))
    await world.appended(1, 1)
    replica = world.replicas.get("a", 0)
    assert replica is not None
    replica.resign(2, 7)
    assert exchange.answer is None
    world.loop.advance(2)
    assert exchange.answer == [
        (ErrorCode.NOT_LEADER_OR_FOLLOWER, 0, None),
        (ErrorCode.REQUEST_TIMED_OUT, 0, None),
    ]
