"""The one append path, over real logs and native threads; jobs are held back where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.native import FencedLeader, IoEngine, Log, LogConfig, ProducePlan, read_batches
from fastlog.native.shapes import AppendRow, KeyValue, ProduceResult
from fastlog.replication.appender import Append, Appender, AppendJobs, Batch
from fastlog.replication.committer import GroupCommitter
from fastlog.replication.partition import Partition, ReplicaSettings
from fastlog.replication.purgatory import Purgatory
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.storage.io import IoClosed, IoLoop
from tests.unit.native.data import batch, frame, produce_request

TOPIC = "t"


class HeldJobs:
    """Hands jobs to the native threads at once, or keeps them until `let_go`."""

    def __init__(self, io: IoLoop) -> None:
        self._io = io
        self.holds = False
        self._held: list[Callable[[], None]] = []

    def produce(
        self,
        plan: ProducePlan,
        targets: list[Log | int],
        leader_epochs: list[int],
        guards: dict[int, int] | None = None,
    ) -> Any:
        return self._start(lambda: self._io.produce(plan, targets, leader_epochs, guards))

    def append(self, rows: list[AppendRow], *, timestamp_ms: int, codec: str) -> Any:
        return self._start(lambda: self._io.append(rows, timestamp_ms=timestamp_ms, codec=codec))

    def let_go(self) -> None:
        self.holds = False
        held, self._held = self._held, []
        for start in held:
            start()

    def _start(self, job: Callable[[], asyncio.Future[list[ProduceResult]]]) -> Any:
        if not self.holds:
            return job()
        waiting = asyncio.get_running_loop().create_future()
        self._held.append(lambda: job().add_done_callback(lambda done: waiting.set_result(done.result())))
        return waiting


class Outcome:
    """What an append was told in the end."""

    def __init__(self) -> None:
        self.end: asyncio.Future[list[ProduceResult]] = asyncio.get_running_loop().create_future()
        self.waits = asyncio.Event()


class NotedBatch(Batch):
    """A batch that notes its outcome."""

    __slots__ = ("outcome",)

    def __init__(self, appender: Appender, replica: Partition | None, *keys: bytes, timeout_ms: int = 1000):
        records: list[KeyValue] = [(key, b"value") for key in keys]
        super().__init__(appender, replica, records, timeout_ms)
        self.outcome = Outcome()

    def goes_on(self) -> int | None:
        self.outcome.waits.set()
        return super().goes_on()

    def settled(self) -> None:
        self.outcome.end.set_result(self.results)

    def failed(self, error: BaseException) -> None:
        self.outcome.end.set_exception(error)


class NotedRequest(Append):
    """A produce request that notes its outcome."""

    __slots__ = ("outcome",)

    def __init__(self, appender: Appender, acks: int) -> None:
        super().__init__(appender, acks)
        self.outcome = Outcome()

    def goes_on(self) -> int | None:
        return 1000

    def settled(self) -> None:
        self.outcome.end.set_result(self.results)

    def failed(self, error: BaseException) -> None:
        self.outcome.end.set_exception(error)


class World:
    """Two partitions that this broker leads in epoch 3."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.purgatory = Purgatory(asyncio.get_running_loop())
        self.replicas = ReplicaManager(1, self.purgatory.check)
        self.io = IoLoop(IoEngine(2))
        self.jobs = HeldJobs(self.io)
        jobs: AppendJobs = self.jobs
        self.appender = Appender(jobs, GroupCommitter(self.io.commit), self.purgatory)

    async def start(self, settings: ReplicaSettings | None = None) -> None:
        for partition in range(2):
            log = Log.open(str(self.directory / f"{TOPIC}-{partition}"), LogConfig())
            await self.lead(partition, log, 3, settings, in_sync=(1,), replicas=(1,))

    async def lead(
        self,
        partition: int,
        log: Log,
        epoch: int,
        settings: ReplicaSettings | None = None,
        *,
        in_sync: tuple[int, ...] = (1,),
        replicas: tuple[int, ...] = (1, 2),
    ) -> None:
        """As the broker does when it is told so."""
        await self.io.lead(log, epoch)
        self.replicas.become_leader(
            TOPIC,
            bytes(16),
            partition,
            log,
            leader_epoch=epoch,
            in_sync=frozenset(in_sync),
            replicas=replicas,
            settings=settings or ReplicaSettings(),
        )

    def replica(self, partition: int) -> Partition:
        replica = self.replicas.get(TOPIC, partition)
        assert replica is not None
        return replica

    def write(self, *batches: NotedBatch) -> None:
        self.appender.write(batches, timestamp_ms=1000, codec="lz4")

    def produce(self, *values: bytes, acks: int = -1) -> NotedRequest:
        """One record for each partition."""
        rows = [(TOPIC, number, batch(value)) for number, value in enumerate(values)]
        request = NotedRequest(self.appender, acks)
        for number in range(len(rows)):
            request.add(self.replica(number))
        self.appender.produce(request, ProducePlan.parse(frame(produce_request(rows))))
        return request

    def keys(self, partition: int) -> list[bytes | None]:
        log = self.replica(partition).log
        data = bytes(log.read(0, 1 << 20)) if log.log_end_offset else b""
        return [key for _, _, key, _, _ in read_batches(data)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    world.purgatory.close()
    await world.io.close()


async def test_batches_of_a_job_are_appended_in_order_and_told_one_by_one(world: World) -> None:
    first, second = world.replica(0), world.replica(1)
    batches = [
        NotedBatch(world.appender, first, b"a", b"b"),
        NotedBatch(world.appender, None, b"nowhere"),
        NotedBatch(world.appender, second, b"c"),
        NotedBatch(world.appender, first, b"d"),
    ]
    world.write(*batches)
    assert batches[1].outcome.end.done(), "what is refused waits for no job"
    results = [(await one.outcome.end)[0] for one in batches]
    assert [(row[0], row[1], row[6]) for row in results] == [
        (0, 0, 2),
        (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, -1),
        (0, 0, 1),
        (0, 2, 3),
    ]
    assert (world.keys(0), world.keys(1)) == ([b"a", b"b", b"d"], [b"c"])
    assert (first.high_watermark, second.high_watermark) == (3, 1)


async def test_a_queued_append_that_a_new_epoch_overtakes_does_not_land_behind_it(world: World) -> None:
    """Of the broker's own, and of a producer: both were let in under epoch 3, and are taken up under 4."""
    replica = world.replica(0)
    world.jobs.holds = True
    own = NotedBatch(world.appender, replica, b"late")
    world.write(own)
    request = world.produce(b"late", b"in time")
    await world.lead(0, replica.log, 4)
    world.jobs.let_go()
    results = [*await own.outcome.end, *await request.outcome.end]
    codes = [row[0] for row in results]
    assert codes == [ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.NOT_LEADER_OR_FOLLOWER, 0]
    assert (replica.log.log_end_offset, world.replica(1).log.log_end_offset) == (0, 1)
    again = NotedBatch(world.appender, replica, b"next")
    world.write(again)
    assert (await again.outcome.end)[0][0] == 0
    assert world.keys(0) == [b"next"]


async def test_the_log_knows_of_a_new_epoch_before_the_replica_does(world: World) -> None:
    replica = world.replica(0)
    assert await world.io.lead(replica.log, 4) == 0
    late = NotedBatch(world.appender, replica, b"late")
    world.write(late)
    assert (await late.outcome.end)[0][0] == ErrorCode.NOT_LEADER_OR_FOLLOWER
    with pytest.raises(FencedLeader) as raised:
        await world.io.lead(replica.log, 3)
    assert raised.value.code == ErrorCode.FENCED_LEADER_EPOCH


async def test_what_another_epoch_finds_in_the_log_is_acknowledged_by_nobody(world: World) -> None:
    """It landed before the epoch began, but whether it stays is up to the new leadership."""
    replica = world.replica(0)
    written = NotedBatch(world.appender, replica, b"in time")
    world.write(written)
    while not replica.log.log_end_offset:  # noqa: ASYNC110 - nobody tells, and the answer must not come first
        await asyncio.sleep(0)
    replica.resign(2, 4)
    code, *_, end_offset = (await written.outcome.end)[0]
    assert (code, end_offset) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, 1)


async def test_fsync_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start(ReplicaSettings(fsync=True))
    written = NotedBatch(world.appender, world.replica(0), b"a")
    world.write(written)
    request = world.produce(b"b", acks=1)
    assert (await written.outcome.end)[0][0] == (await request.outcome.end)[0][0] == 0
    assert written.outcome.waits.is_set()
    assert world.replica(0).log.recovery_point >= 1
    world.purgatory.close()
    await world.io.close()


async def test_too_few_in_sync_let_nothing_in(world: World) -> None:
    log = world.replica(0).log
    await world.lead(0, log, 4, ReplicaSettings(min_insync_replicas=2), in_sync=(1,))
    refused = NotedBatch(world.appender, world.replica(0), b"a")
    world.write(refused)
    assert (await refused.outcome.end)[0][0] == ErrorCode.NOT_ENOUGH_REPLICAS
    assert (await world.produce(b"b").outcome.end)[0][0] == ErrorCode.NOT_ENOUGH_REPLICAS
    assert log.log_end_offset == 0
    assert (await world.produce(b"c", acks=1).outcome.end)[0][0] == 0


async def test_a_wait_for_followers_ends_with_them_or_with_its_time(world: World) -> None:
    await world.lead(0, world.replica(0).log, 4, in_sync=(1, 2))
    partition = world.replica(0)
    late = NotedBatch(world.appender, partition, b"a", timeout_ms=1)
    world.write(late)
    code, *_, end_offset = (await late.outcome.end)[0]
    assert (code, end_offset) == (ErrorCode.REQUEST_TIMED_OUT, 1)
    in_time = NotedBatch(world.appender, partition, b"b")
    world.write(in_time)
    await in_time.outcome.waits.wait()
    partition.on_fetched(2, 2, 0)
    assert (await in_time.outcome.end)[0][0] == 0


async def test_when_nothing_can_be_handed_over_all_are_told(world: World) -> None:
    batches = [NotedBatch(world.appender, world.replica(number), b"a") for number in range(2)]
    await world.io.close()
    world.write(*batches)
    for one in batches:
        with pytest.raises(IoClosed):
            await one.outcome.end
    with pytest.raises(IoClosed):
        await world.produce(b"a").outcome.end
