"""The write side of the groups' topic: shared batches, order, and failures that stay where they belong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.coordination.groups.batches import make_batch
from fastlog.coordination.groups.group_batch import NotAcknowledged
from fastlog.coordination.groups.group_log import GroupLog
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native.shapes import AppendRow, AppendTransaction, ProduceResult
from fastlog.replication import appender, purgatory
from fastlog.replication.appender import Appender
from fastlog.replication.purgatory import Purgatory


class FakeReplica:
    """A partition that acknowledges up to `high_watermark`, which follows the log if `instant`."""

    def __init__(self, purgatory: Purgatory, partition: int) -> None:
        self.key = ("__consumer_offsets", partition)
        self.log = self
        self.leader_epoch = 0
        self.waits_for_disk = False
        self.batches: list[list[bytes]] = []
        self.instant = True
        self.high_watermark = 0
        self.limit = 1_000_000
        self.refuses = False
        self._purgatory = purgatory
        self._end = 0

    def write_error(self, _: int) -> int:
        return int(ErrorCode.NOT_LEADER_OR_FOLLOWER) if self.refuses else 0

    def append(self, records: Any) -> ProduceResult:
        if len(make_batch(records, 1)) > self.limit:
            return (int(ErrorCode.MESSAGE_TOO_LARGE), -1, -1, -1, None, "too large", -1)
        self.batches.append([key for key, _ in records])
        first, self._end = self._end, self._end + len(records)
        return (0, first, -1, 0, None, None, self._end)

    def on_appended(self, end_offset: int) -> None:
        if self.instant:
            self.acknowledge(end_offset)

    def acknowledge(self, offset: int) -> None:
        self.high_watermark = offset
        self._purgatory.check(self.key)

    def ack_error(self, _: int, end_offset: int, __: int) -> int | None:
        return 0 if self.high_watermark >= end_offset else None


class FakeJobs:
    """Native I/O that is done in the next round of the event loop, or when a test says so."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.held: list[Any] | None = None
        self.jobs = 0

    def append(self, rows: list[AppendRow], *, timestamp_ms: int, codec: str) -> Any:
        """As `IoLoop.append`."""
        assert (timestamp_ms, codec) == (1, "none")
        if self.refusal is not None:
            raise self.refusal
        self.jobs += 1
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def run() -> None:
            done.set_result([log.append(records) for log, _, records, _ in rows])  # type: ignore[call-overload]

        if self.held is None:
            loop.call_soon(run)
        else:
            self.held.append(run)
        return done


class World:
    """Two partitions and a log over them."""

    def __init__(self) -> None:
        self.purgatory = Purgatory(asyncio.get_running_loop())
        self.replicas = {number: FakeReplica(self.purgatory, number) for number in range(2)}
        config: Any = SimpleNamespace(offsets_topic_compression_codec=0, offsets_commit_timeout_ms=200)
        found: Any = SimpleNamespace(get=lambda _, partition: self.replicas.get(partition))
        clock: Any = SimpleNamespace(now_ms=lambda: 1)
        committer: Any = None
        self.jobs: Any = FakeJobs()
        self.appender = Appender(self.jobs, committer, self.purgatory)
        self.tasks = Supervisor()
        self.log = GroupLog(
            replicas=found, appender=self.appender, clock=clock, config=lambda: config, tasks=self.tasks
        )
        self.outcomes: list[tuple[bytes, ErrorCode | None]] = []

    def write(
        self, partition: int, key: bytes, size: int = 1, transaction: AppendTransaction | None = None
    ) -> None:
        """One record; its outcome is noted."""

        def then(error: Exception | None) -> None:
            self.outcomes.append((key, error.code if isinstance(error, KafkaError) else None))

        self.log.write(partition, [(key, b"x" * size)], then, transaction=transaction)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.log.close()
    world.purgatory.close()


async def test_what_comes_together_shares_a_batch(world: World) -> None:
    for number in range(6):
        world.write(number % 2, b"%d" % number)
    await world.log.close()
    assert world.replicas[0].batches == [[b"0", b"2", b"4"]]
    assert world.replicas[1].batches == [[b"1", b"3", b"5"]]
    assert {key for key, error in world.outcomes if error is None} == {b"%d" % number for number in range(6)}


async def test_transactions_in_a_row_share_a_job_and_no_batch(world: World) -> None:
    world.write(0, b"plain")
    for number in range(70):
        world.write(0, b"%d" % number, transaction=(number, 0, None))
    world.write(0, b"behind")
    world.write(0, b"them")
    await world.log.appended(0)
    await world.log.close()
    keys = [b"%d" % number for number in range(70)]
    assert world.replicas[0].batches == [[b"plain"], *([key] for key in keys), [b"behind", b"them"]]
    assert [key for key, error in world.outcomes if error is None] == [b"plain", *keys, b"behind", b"them"]
    # What is plain, 64 of them, the others, what is behind.
    assert world.jobs.jobs == 4


async def test_a_transaction_that_is_refused_holds_up_none_behind_it(world: World) -> None:
    world.replicas[0].limit = 200
    world.write(0, b"large", 500, transaction=(1, 0, None))
    world.write(0, b"small", transaction=(2, 0, None))
    await world.log.close()
    assert world.replicas[0].batches == [[b"small"]]
    assert sorted(world.outcomes, key=lambda pair: pair[0]) == [
        (b"large", ErrorCode.MESSAGE_TOO_LARGE),
        (b"small", None),
    ]
    assert world.jobs.jobs == 1


async def test_shared_batches_have_a_bound(world: World) -> None:
    for number in range(4):
        world.write(0, b"%d" % number, 100_000)
    world.write(0, b"huge", 500_000)
    await world.log.close()
    assert world.replicas[0].batches == [[b"0", b"1"], [b"2", b"3"], [b"huge"]]


async def test_many_outcomes_are_told_in_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "TURN_SECONDS", 0.0)
    rounds = 0
    told: list[int] = []
    world.log.write(0, [(b"key", b"x")], lambda _: told.append(rounds))
    world.log.write(1, [(b"key", None)], lambda _: told.append(rounds))
    waiting = asyncio.ensure_future(world.log.close())
    appended = asyncio.ensure_future(world.log.appended(1))
    while not waiting.done():
        await asyncio.sleep(0)
        rounds += 1
        if len(told) == 1:
            assert not appended.done(), "whoever waits for what is appended waits until that is told"
            appended = asyncio.ensure_future(world.log.appended(1))
    assert world.jobs.jobs == 1
    assert told == [told[0], told[0] + 1]
    await appended


async def test_what_may_be_divided_is_cut_in_its_place(world: World) -> None:
    replica = world.replicas[0]
    replica.limit = 600
    world.write(0, b"a")
    tombstones = [(b"%0100d" % number, None) for number in range(20)]
    outcomes: list[Exception | None] = []
    world.log.write(0, tombstones, outcomes.append, divisible=True)
    world.write(0, b"b")
    await world.log.close()
    assert [key for batch in replica.batches for key in batch] == [
        b"a",
        *(key for key, _ in tombstones),
        b"b",
    ]
    assert outcomes == [None]


async def test_a_part_that_is_too_large_by_itself_fails_all(world: World) -> None:
    world.replicas[0].limit = 600
    outcomes: list[Exception | None] = []
    world.log.write(0, [(b"a" * size, None) for size in (10, 10, 10, 700)], outcomes.append, divisible=True)
    world.log.write(0, [(b"c" * 700, None), (b"d", None)], outcomes.append, divisible=True)
    await world.log.close()
    partly, whole = outcomes
    # Some of the first are in the log.
    assert isinstance(partly, NotAcknowledged) and partly.code is ErrorCode.MESSAGE_TOO_LARGE
    assert isinstance(whole, KafkaError) and not isinstance(whole, NotAcknowledged)


async def test_one_that_is_too_large_fails_alone_and_in_its_place(world: World) -> None:
    world.replicas[0].limit = 600
    for key, size in ((b"a", 10), (b"b", 1000), (b"c", 10)):
        world.write(0, key, size)
    await world.log.close()
    assert world.replicas[0].batches == [[b"a"], [b"c"]]
    assert world.outcomes == [(b"a", None), (b"b", ErrorCode.MESSAGE_TOO_LARGE), (b"c", None)]


async def test_a_partition_that_is_not_here_fails_alone(world: World) -> None:
    world.replicas[1].refuses = True
    world.write(0, b"good")
    world.write(1, b"refused")
    world.write(7, b"absent")
    await world.log.close()
    assert dict(world.outcomes) == {
        b"good": None,
        b"refused": ErrorCode.NOT_COORDINATOR,
        b"absent": ErrorCode.NOT_COORDINATOR,
    }


async def test_one_that_waits_holds_up_no_other_partition(world: World) -> None:
    world.replicas[0].instant = False
    world.write(0, b"waits")
    await world.log.append(1, [(b"other", b"")])
    world.write(0, b"waits too")
    await world.log.append(1, [(b"another", b"")])
    assert world.outcomes == []
    world.replicas[0].acknowledge(2)
    assert world.outcomes == [(b"waits", None), (b"waits too", None)]


async def test_a_wait_ends_with_the_time_for_commits(world: World) -> None:
    world.replicas[0].instant = False
    with pytest.raises(KafkaError) as raised:
        await world.log.append(0, [(b"waits", b"")])
    assert raised.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE


async def test_it_is_written_although_nobody_waits_any_more(world: World) -> None:
    task = asyncio.create_task(world.log.append(0, [(b"left", b"")]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.log.close()
    assert world.replicas[0].batches == [[b"left"]]


async def test_a_defect_leaves_nobody_without_an_outcome(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a request, of a partition, of the native I/O: the others are written, the next ones too."""
    told: list[str] = []

    def refuses(error: Exception | None) -> None:
        raise RuntimeError("a defect of whoever asked")

    world.log.write(0, [(b"a", b"")], refuses)
    world.log.write(0, [(b"b", b"")], lambda error: told.append("b" if error is None else repr(error)))
    await world.log.append(1, [(b"other", b"")])
    assert told == ["b"]

    monkeypatch.setattr(world.replicas[0], "write_error", lambda _: 1 // 0)
    world.write(0, b"lost")
    await world.log.append(1, [(b"written", b"")])
    assert world.outcomes == [(b"lost", ErrorCode.UNKNOWN_SERVER_ERROR)]
    monkeypatch.undo()

    world.jobs.refusal = RuntimeError("a defect of the native I/O")
    with pytest.raises(NotAcknowledged) as raised:
        await world.log.append(0, [(b"lost", b"")])
    assert raised.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
    world.jobs.refusal = None
    await world.log.append(0, [(b"again", b"")])
    assert world.replicas[0].batches[-1] == [b"again"]
    assert world.tasks.failures["group-log"] == 3


async def test_what_was_asked_for_before_another_leadership_is_not_written_under_it(world: World) -> None:
    world.write(0, b"for the former log")
    world.replicas[0] = FakeReplica(world.purgatory, 0)
    world.write(0, b"for the new one")
    world.write(1, b"for the former epoch")
    world.replicas[1].leader_epoch += 1
    world.write(1, b"for the new epoch")
    await world.log.close()
    assert world.replicas[0].batches == [[b"for the new one"]]
    assert world.replicas[1].batches == [[b"for the new epoch"]]
    assert [key for key, error in world.outcomes if error is ErrorCode.NOT_COORDINATOR] == [
        b"for the former log",
        b"for the former epoch",
    ]


async def test_groups_whose_leadership_has_ended_write_nothing(world: World) -> None:
    world.log.shut(0)
    world.write(0, b"late")
    world.write(1, b"other")
    await asyncio.sleep(0)
    world.log.open(0)
    world.write(0, b"next")
    await world.log.close()
    assert world.replicas[0].batches == [[b"next"]]
    assert dict(world.outcomes) == {b"late": ErrorCode.NOT_COORDINATOR, b"other": None, b"next": None}


async def test_what_a_leadership_that_ends_has_not_begun_to_write_is_not_written(world: World) -> None:
    world.jobs.held = []
    world.write(1, b"slow")
    await asyncio.sleep(0)
    world.write(0, b"late")
    world.log.shut(0)
    await world.log.appended(0)
    (job,), world.jobs.held = world.jobs.held, None
    job()
    await world.log.close()
    assert world.replicas[0].batches == []
    assert dict(world.outcomes) == {b"slow": None, b"late": ErrorCode.NOT_COORDINATOR}


async def test_outcomes_come_in_the_order_of_the_log_when_many_waits_end_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first record is acknowledged with the second one, while the purgatory has no time for it."""
    replica = world.replicas[0]
    replica.instant = False
    world.write(0, b"first")
    await world.log.close()
    monkeypatch.setattr(purgatory, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(purgatory, "_UNCOUNTED", 0)
    replica.instant = True
    for other in range(3):
        world.replicas[1].instant = False
        world.write(1, b"other %d" % other)
        await world.log.close()
    world.write(0, b"second")
    world.jobs.held = []
    await asyncio.sleep(0)
    (job,), world.jobs.held = world.jobs.held, None
    job()
    world.replicas[1].acknowledge(3)
    await world.log.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert [key for key, _ in world.outcomes if not key.startswith(b"other")] == [b"first", b"second"]


async def test_a_wait_that_times_out_holds_up_no_later_one(world: World) -> None:
    replica = world.replicas[0]
    replica.instant = False
    with pytest.raises(KafkaError):
        await world.log.append(0, [(b"times out", b"")])
    replica.instant = True
    await world.log.append(0, [(b"next", b"")])


async def test_a_batch_whose_acknowledgement_meets_a_defect_holds_up_none_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.replicas[0], "on_appended", lambda _: 1 // 0)
    world.write(0, b"lost")
    await world.log.close()
    monkeypatch.undo()
    await world.log.append(0, [(b"next", b"")])
    assert world.outcomes == [(b"lost", ErrorCode.UNKNOWN_SERVER_ERROR)]


async def test_records_that_are_in_the_log_but_could_not_be_made_durable_are_not_called_refused(
    world: World,
) -> None:
    error = int(ErrorCode.KAFKA_STORAGE_ERROR)
    world.replicas[0].append = lambda _: (error, -1, -1, -1, None, "no descriptors", 1)  # type: ignore[method-assign]
    with pytest.raises(NotAcknowledged) as raised:
        await world.log.append(0, [(b"key", b"")])
    assert raised.value.code is ErrorCode.NOT_COORDINATOR


async def test_one_job_is_under_way_and_the_next_gathers_meanwhile(world: World) -> None:
    world.jobs.held = []
    for key in (b"a", b"b", b"c"):
        world.write(0, key)
        await asyncio.sleep(0)
    world.write(1, b"other")
    await world.log.appended(1)
    closing = asyncio.create_task(world.log.close())
    deleted = asyncio.create_task(world.log.appended(0))
    await asyncio.sleep(0)
    assert not deleted.done() and world.outcomes == []
    (job,), world.jobs.held = world.jobs.held, None
    job()
    await deleted
    await closing
    assert [key for key, error in world.outcomes if error is None] == [b"a", b"b", b"c", b"other"]
    assert [replica.batches for replica in world.replicas.values()] == [[[b"a"], [b"b", b"c"]], [[b"other"]]]
    assert world.jobs.jobs == 2


async def test_what_the_log_refuses_since_another_epoch_has_begun_is_not_written(world: World) -> None:
    """The replica does not know yet: only the log does."""

    def fenced(_: object) -> ProduceResult:
        return (int(ErrorCode.NOT_LEADER_OR_FOLLOWER), -1, -1, -1, None, "another epoch", -1)

    world.replicas[0].append = fenced  # type: ignore[method-assign]
    with pytest.raises(KafkaError) as raised:
        await world.log.append(0, [(b"late", b"")])
    assert raised.value.code is ErrorCode.NOT_COORDINATOR
    assert not isinstance(raised.value, NotAcknowledged)
