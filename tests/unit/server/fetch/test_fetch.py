"""What a fetch may read, and how it waits: over fake logs and fake I/O, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlog.coordination.cluster_view import ClusterView, PartitionState, TopicState
from fastlog.errors import ErrorCode
from fastlog.native import CorruptLog, Log
from fastlog.native.shapes import FetchPlanRow
from fastlog.replication.news import PartitionNews
from fastlog.replication.partition import Partition, ReplicaSettings
from fastlog.replication.purgatory import Purgatory
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.rows import FetchTerms, build_rows
from fastlog.server.fetch.sessions import FetchSessionCache
from fastlog.server.memory.response_memory import ResponseMemory
from fastlog.server.network.session import ListenerIdentity, Session
from fastlog.server.observability.metrics import BrokerMetrics
from tests.unit.replication.fakes import FakeLog, FakeLoop
from tests.unit.server.fetch_world import FakeBuilder

ERROR, HIGH_WATERMARK, STABLE, DIVERGING, LEADER, COMMITTED, LOG, UPPER, FORCE = 3, 4, 5, 7, 8, 9, 11, 13, 15
TOPIC_ID = b"0123456789abcdef"


class FakeIo:
    """Notes what is read; the test says what comes of it."""

    def __init__(self) -> None:
        self.reads: list[tuple[list[Any], dict[str, Any]]] = []
        self.futures: list[asyncio.Future[Any]] = []

    def fetch(self, version: int, correlation_id: int, rows: list[Any], **how: Any) -> asyncio.Future[Any]:
        """As `IoLoop.fetch`."""
        self.reads.append((rows, how))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def row_builder(self) -> FakeBuilder:
        """As `IoLoop.row_builder`."""
        return FakeBuilder()


class FakeExchange:
    """Notes the answer."""

    api_key = 1
    correlation_id = 7
    is_lost = False
    meter = None
    half_closed_since: float | None = None

    def __init__(self, version: int = 12) -> None:
        self.api_version = version
        self.session = Session(ListenerIdentity("PLAINTEXT"))
        self.is_finishing = False
        self.operation: Any = None
        self.on_sent: Callable[[], None] | None = None
        self.answers: list[bytes] = []
        self.closed: list[str] = []

    def release(self) -> None:
        """As `Exchange.release`."""

    def reply(self, answer: memoryview) -> None:
        """As `Exchange.reply`."""
        self.answers.append(bytes(answer))

    def close(self, reason: str, detail: object = None) -> None:
        """As `Exchange.close`."""
        self.closed.append(reason)


class World:
    """One topic of one partition on one broker."""

    def __init__(self, log: FakeLog, settings: ReplicaSettings | None = None) -> None:
        self.loop = FakeLoop()
        self.log = log
        self.io = FakeIo()
        self.purgatory = Purgatory(self.loop)
        self.news = PartitionNews()
        self.replicas = ReplicaManager(1, self.news.tell)
        self.replica = self.lead("t", log, settings)
        view = ClusterView()
        view.put_topic(TopicState("t", TOPIC_ID, (PartitionState(1, 5, (1,), (1,)),), {}))
        self.sessions = FetchSessionCache(self.loop.time, self.news)
        self.memory = ResponseMemory(1 << 20)
        self.broker = cast(
            "Any",
            SimpleNamespace(
                loop=self.loop,
                cluster=view,
                io=self.io,
                replicas=self.replicas,
                purgatory=self.purgatory,
                fetch_sessions=self.sessions,
                response_memory=self.memory,
                metrics=BrokerMetrics(),
                config=SimpleNamespace(fetch_max_bytes=55 << 20),
                logs=SimpleNamespace(offline_reason=lambda topic, partition: None),
            ),
        )

    def lead(self, topic: str, log: FakeLog, settings: ReplicaSettings | None = None) -> Partition:
        """Leads partition 0 of a topic."""
        return self.replicas.become_leader(
            topic,
            TOPIC_ID,
            0,
            cast("Log", log),
            leader_epoch=5,
            in_sync=frozenset({1}),
            settings=settings or ReplicaSettings(),
        )

    def row(self, plan_row: FetchPlanRow, version: int = 12, isolation: int = 0) -> Any:
        """The only row for a sessionless fetch."""
        context = self.sessions.open(0, -1, [plan_row], [], uses_ids=version >= 13)
        (row,) = build_rows(self.broker, context, context.due(), FetchTerms(version, isolation)).rows
        return row

    def fetch(
        self, offset: int = 0, *others: FetchPlanRow, min_bytes: int = 1, wait: int = 500, version: int = 12
    ) -> FakeExchange:
        """Starts a sessionless fetch of the partition and, before it, of `others`."""
        exchange = FakeExchange(version)
        context = self.sessions.open(0, -1, [*others, asked(offset=offset)], [], uses_ids=False)
        FetchOperation(
            self.broker,
            cast("Any", exchange),
            context,
            terms=FetchTerms(version, 0),
            max_wait_ms=wait,
            min_bytes=min_bytes,
            max_bytes=1 << 20,
        ).start()
        return exchange

    async def read(self, total: int, answer: bytes | None) -> None:
        """Lets the last read end."""
        self.io.futures[-1].set_result((total, answer, [(0, 0, total)]))
        await asyncio.sleep(0)


def asked(
    *,
    offset: int = 0,
    epoch: int = -1,
    last_epoch: int = -1,
    topic: str | bytes = "t",
    partition: int = 0,
) -> FetchPlanRow:
    name, topic_id = (topic, None) if isinstance(topic, str) else (None, topic)
    return (name, topic_id, partition, epoch, offset, last_epoch, -1, 1000)


def test_consumers_read_up_to_the_high_watermark() -> None:
    world = World(FakeLog(end=10, written=4), ReplicaSettings(fsync=True))
    row = world.row(asked())
    assert (row[ERROR], row[HIGH_WATERMARK], row[UPPER]) == (0, 4, 4)
    beyond = world.row(asked(offset=7))
    assert (beyond[ERROR], beyond[LOG]) == (0, None)


def test_read_committed_stops_at_the_last_stable_offset_and_has_aborts_listed() -> None:
    log = FakeLog(end=10)
    log.unstable = 6
    world = World(log)
    plain = world.row(asked())
    assert (plain[UPPER], plain[STABLE], plain[COMMITTED]) == (10, 6, False)
    committed = world.row(asked(), isolation=1)
    assert (committed[UPPER], committed[COMMITTED]) == (6, True)
    assert world.row(asked(offset=8), isolation=1)[COMMITTED]


@pytest.mark.parametrize(
    ("plan_row", "code"),
    [
        (asked(offset=11), ErrorCode.OFFSET_OUT_OF_RANGE),
        (asked(offset=1), ErrorCode.OFFSET_OUT_OF_RANGE),
        (asked(offset=5, epoch=4), ErrorCode.FENCED_LEADER_EPOCH),
        (asked(offset=5, epoch=6), ErrorCode.UNKNOWN_LEADER_EPOCH),
        (asked(offset=5, last_epoch=9), ErrorCode.OFFSET_OUT_OF_RANGE),
        (asked(topic="none"), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (asked(topic=b"?" * 16), ErrorCode.UNKNOWN_TOPIC_ID),
    ],
)
def test_errors_of_a_partition(plan_row: FetchPlanRow, code: ErrorCode) -> None:
    log = FakeLog(end=10, start=2)
    log.epochs = [(3, 0), (5, 6)]
    row = World(log).row(plan_row)
    assert (row[ERROR], row[HIGH_WATERMARK], row[LOG], row[FORCE]) == (code, -1, None, True)


def test_a_diverging_client_is_told_where_its_epoch_ended() -> None:
    log = FakeLog(end=10)
    log.epochs = [(3, 0), (5, 6)]
    world = World(log)
    assert world.row(asked(offset=8, last_epoch=3))[DIVERGING] == (3, 6)
    assert world.row(asked(offset=8, last_epoch=4))[DIVERGING] == (3, 6)
    assert world.row(asked(offset=8, last_epoch=4))[LOG] is None
    # The offset alone would do, but this log never had records of epoch 4.
    assert world.row(asked(offset=5, last_epoch=4))[DIVERGING] == (3, 6)
    assert world.row(asked(offset=6, last_epoch=3))[DIVERGING] is None


def test_a_lost_leadership_names_the_new_leader_to_those_who_understand() -> None:
    world = World(FakeLog(end=10))
    world.replica.resign(2, 6)
    new = world.row(asked(epoch=5), version=16)
    assert (new[ERROR], new[LEADER]) == (ErrorCode.FENCED_LEADER_EPOCH, (2, 6))
    assert world.row(asked(epoch=5), version=12)[LEADER] is None
    assert world.row(asked(), version=10)[ERROR] == ErrorCode.NOT_LEADER_OR_FOLLOWER
    # Where there is no replica, the view knows.
    world.replicas.remove("t", 0)
    gone = world.row(asked(), version=16)
    assert (gone[ERROR], gone[LEADER]) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, (1, 5))


def test_a_follower_serves_consumers_who_know_of_that_up_to_its_high_watermark() -> None:
    world = World(FakeLog(end=10))
    assert world.replica.high_watermark == 10
    world.log.log_end_offset = 12
    world.replica.follow(2, 6)
    row = world.row(asked(offset=8), version=11)
    assert (row[ERROR], row[HIGH_WATERMARK], row[UPPER]) == (0, 10, 10)
    assert row[LOG] is not None
    assert world.row(asked(offset=11), version=11)[LOG] is None
    assert world.row(asked(offset=13), version=11)[ERROR] == ErrorCode.OFFSET_OUT_OF_RANGE


def test_old_clients_get_codes_and_codecs_that_they_know() -> None:
    world = World(FakeLog(end=10), ReplicaSettings(zstd=True))
    assert world.row(asked(), version=9)[ERROR] == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    assert world.row(asked(), version=10)[ERROR] == 0
    world.replica.take_offline()
    assert world.row(asked(), version=5)[ERROR] == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert world.row(asked(), version=6)[ERROR] == ErrorCode.KAFKA_STORAGE_ERROR


async def test_with_nothing_to_read_a_fetch_waits_without_io() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(3)
    assert (world.io.reads, len(world.purgatory)) == ([], 1)
    world.log.log_end_offset = 4
    world.replica.on_appended(4)
    assert len(world.io.reads) == 1
    await world.read(100, b"records")
    assert exchange.answers == [b"records"]


async def test_when_its_time_is_up_a_fetch_answers_with_what_there_is() -> None:
    world = World(FakeLog(end=3))
    world.fetch(3, wait=500)
    world.loop.advance(0.4)
    assert world.io.reads == []
    world.loop.advance(0.2)
    assert [how["min_bytes"] for _, how in world.io.reads] == [0]


async def test_min_bytes_are_counted_before_the_next_read() -> None:
    world = World(FakeLog(end=3))
    world.fetch(3, min_bytes=250)
    for end in (4, 5):
        world.log.log_end_offset = end
        world.replica.on_appended(end)
    assert world.io.reads == []
    world.log.log_end_offset = 6
    world.replica.on_appended(6)
    assert [how["min_bytes"] for _, how in world.io.reads] == [250]


async def test_a_fetch_from_an_older_segment_waits_for_no_more_bytes() -> None:
    world = World(FakeLog(end=5))
    world.fetch(3, min_bytes=1000)
    await world.read(200, None)
    assert (len(world.io.reads), len(world.purgatory)) == (1, 1)
    # The log has rolled: the records at 3 and 4 are all that their segment will ever have.
    world.log.active_base, world.log.log_end_offset = 5, 6
    world.replica.on_appended(6)
    assert (len(world.io.reads), len(world.purgatory)) == (2, 0)


async def test_files_of_one_partition_that_cannot_be_read_fail_it_alone() -> None:
    log = FakeLog(end=10)
    world = World(log)

    def broken(*_: int) -> Any:
        error = CorruptLog("the index is damaged")
        error.code = int(ErrorCode.CORRUPT_MESSAGE)
        raise error

    log.end_offset_for_epoch = broken  # type: ignore[method-assign]
    row = world.row(asked(last_epoch=0))
    assert (row[ERROR], row[LOG], row[FORCE]) == (ErrorCode.CORRUPT_MESSAGE, None, True)
    assert world.row(asked(), isolation=0)[ERROR] == 0
    # Whoever appends is not to hear of it, and the fetch that waits is to look again.
    exchange = world.fetch(3, min_bytes=5000)
    await world.read(700, None)
    assert len(world.purgatory) == 1
    log.available_bytes = broken  # type: ignore[method-assign]
    log.log_end_offset = 11
    world.replica.on_appended(11)
    assert (world.replica.high_watermark, len(world.purgatory), len(world.io.reads)) == (11, 0, 2)
    assert exchange.closed == []


async def test_an_index_that_is_not_in_memory_is_left_to_the_io_threads() -> None:
    log = FakeLog(end=10)
    world = World(log)
    exchange = world.fetch(3, min_bytes=5000)
    log.at_hand = False
    await world.read(700, None)
    assert len(world.purgatory) == 1
    # How much is there is not known: whoever appends does not find out either.
    log.log_end_offset = 11
    world.replica.on_appended(11)
    assert (len(world.purgatory), len(world.io.reads)) == (0, 2)
    log.at_hand = True
    await world.read(800, None)
    log.log_end_offset = 12
    world.replica.on_appended(12)
    assert (len(world.purgatory), len(world.io.reads)) == (1, 2)
    log.at_hand = False
    log.log_end_offset = 13
    world.replica.on_appended(13)
    await world.read(6000, b"records")
    assert exchange.answers == [b"records"]


async def test_a_fetch_that_found_nothing_readable_after_all_waits_for_the_next_append() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(0)
    await world.read(0, None)
    # It has to look once more: what was to be read at once is not watched.
    await world.read(0, None)
    assert (len(world.io.reads), len(world.purgatory)) == (2, 1)
    world.log.log_end_offset = 4
    world.replica.on_appended(4)
    assert len(world.io.reads) == 3
    await world.read(100, b"records")
    assert (exchange.answers, len(world.news)) == ([b"records"], 0)


async def test_an_append_during_the_read_is_not_missed() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(0, min_bytes=1000)
    world.log.log_end_offset = 20
    world.replica.on_appended(20)
    await world.read(300, None)
    assert len(world.io.reads) == 2
    await world.read(2000, b"records")
    assert exchange.answers == [b"records"]


async def test_appends_during_each_read_keep_no_answer_from_going_out_in_time() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(0, min_bytes=5000)
    world.loop.advance(0.6)
    world.log.log_end_offset = 4
    world.replica.on_appended(4)
    await world.read(300, None)
    assert [how["min_bytes"] for _, how in world.io.reads] == [5000, 0]
    await world.read(400, b"records")
    assert exchange.answers == [b"records"]


async def test_too_little_without_news_waits_and_gives_the_memory_back() -> None:
    world = World(FakeLog(end=3))
    world.fetch(0, min_bytes=1000)
    assert world.memory.used > 0
    await world.read(300, None)
    assert (len(world.io.reads), len(world.purgatory), world.memory.used) == (1, 1, 0)


async def test_memory_is_held_until_the_answer_is_sent() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(0)
    await world.read(500, bytes(600))
    assert world.memory.used == 600
    assert exchange.on_sent is not None
    exchange.on_sent()
    assert world.memory.used == 0


async def test_losing_the_leadership_ends_the_wait() -> None:
    world = World(FakeLog(end=3))
    world.fetch(3, version=10)
    world.replica.resign(2, 6)
    ((rows, _),) = world.io.reads
    assert rows[0][ERROR] == ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (asked(topic="none"), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (asked(partition=9), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (asked(topic=b"?" * 16), ErrorCode.UNKNOWN_TOPIC_ID),
    ],
)
async def test_what_is_not_there_is_told_with_the_answer_to_the_others(
    other: FetchPlanRow, code: ErrorCode
) -> None:
    world = World(FakeLog(end=3))
    world.fetch(3, other)
    assert (world.io.reads, len(world.purgatory)) == ([], 1)
    world.loop.advance(0.6)
    ((rows, how),) = world.io.reads
    assert ([row[ERROR] for row in rows], how["min_bytes"]) == ([code, 0], 0)
    # With an append it goes out, too.
    world.fetch(3, other)
    world.log.log_end_offset = 4
    world.replica.on_appended(4)
    assert [row[ERROR] for row in world.io.reads[-1][0]] == [code, 0]


@pytest.mark.parametrize(
    ("offset", "other"),
    [
        (3, asked(topic="u", offset=99)),
        (3, asked(topic="u", epoch=4)),
        (3, asked(topic="u", epoch=6)),
        (99, asked(topic="none", offset=3)),
    ],
)
async def test_other_errors_and_errors_alone_end_the_wait(offset: int, other: FetchPlanRow) -> None:
    world = World(FakeLog(end=3))
    world.lead("u", FakeLog(end=3))
    world.fetch(offset, other)
    assert [how["min_bytes"] for _, how in world.io.reads] == [0]


async def test_a_partition_that_goes_while_a_fetch_waits_for_it_ends_the_wait() -> None:
    world = World(FakeLog(end=3))
    world.lead("u", FakeLog(end=3))
    world.fetch(3, asked(offset=3, topic="u"))
    assert len(world.purgatory) == 1
    world.replicas.remove("u", 0)
    ((rows, how),) = world.io.reads
    assert ([row[ERROR] for row in rows], how["min_bytes"]) == ([ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 0], 0)


async def test_a_lost_connection_reads_nothing_more() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(0)
    exchange.is_lost = True
    await world.read(500, bytes(600))
    assert (exchange.answers, world.memory.used) == ([], 0)


async def test_a_read_that_fails_as_a_whole_closes_the_connection() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(0)
    world.io.futures[-1].set_exception(OSError("Input/output error"))
    await asyncio.sleep(0)
    assert (exchange.closed, world.memory.used) == (["failed request"], 0)
