"""Reader: positions, ends, leaders that change, and errors that do not loop."""

from __future__ import annotations

import asyncio

import pytest

from fastlog.client import BrokerError, ClientError, Cluster, RequestTimedOut, TopicPartition
from fastlog.client.consumer import BEGINNING, END, CorruptBatch, Position, Reader, ReaderConfig, Record
from fastlog.errors import ErrorCode
from fastlog.native import build_batch
from fastlog.wire import API_VERSIONS, ApiKey, Request
from fastlog.wire.messages.fetch import FetchRequest
from tests.unit.client.fake_log import FakeLogBroker
from tests.unit.net.fake_broker import Answer, Hangup

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


def fill(broker: FakeLogBroker, count: int, *, per_batch: int = 3, partition: int = 0) -> None:
    log = broker.logs[partition]
    for first in range(0, count, per_batch):
        numbers = range(first, min(first + per_batch, count))
        log.append(build_batch([(None, b"%d" % number, [], number) for number in numbers]))


async def read_all(consumer: Reader) -> list[Record]:
    async with asyncio.timeout(20):
        return [record async for record in consumer]


def offsets(records: list[Record], partition: int = 0) -> list[int]:
    return [record.offset for record in records if record.partition == partition]


@pytest.mark.parametrize("highest", [12, 17])
async def test_reads_several_partitions_to_their_end_by_name_or_by_id(highest: int) -> None:
    async with FakeLogBroker(2) as broker:
        broker.versions = {**API_VERSIONS, ApiKey.FETCH: (4, highest)}
        fill(broker, 10)
        fill(broker, 5, partition=1)
        async with Cluster(broker.address) as cluster, Reader(cluster) as consumer:
            await consumer.assign({ZERO: BEGINNING, ONE: BEGINNING}, until=END)
            records = await read_all(consumer)
            assert consumer.is_done
            assert await consumer.poll() == []
        assert offsets(records, 0) == list(range(10))
        assert offsets(records, 1) == list(range(5))
        assert records[0].value == b"0"


@pytest.mark.parametrize(
    ("position", "first"),
    [
        (Position("offset", 4), 4),
        (Position("tail", 3), 7),
        (Position("tail", 50), 2),
        (Position("earliest"), 2),
        (Position("latest"), 10),
        (Position("timestamp", 10**15), 10),
    ],
)
async def test_starts_where_it_is_told(position: Position, first: int) -> None:
    async with FakeLogBroker() as broker:
        fill(broker, 10)
        broker.logs[0].start = 2
        async with Cluster(broker.address) as cluster, Reader(cluster) as consumer:
            await consumer.assign({ZERO: position}, until=END)
            assert consumer.position(ZERO) == first
            assert offsets(await read_all(consumer)) == list(range(first, 10))


async def test_stops_inside_a_batch_and_inside_a_poll() -> None:
    async with FakeLogBroker() as broker:
        fill(broker, 10, per_batch=10)
        async with Cluster(broker.address) as cluster, Reader(cluster) as consumer:
            await consumer.assign({ZERO: BEGINNING}, until=Position("offset", 7))
            assert offsets(await consumer.poll(max_records=5)) == [0, 1, 2, 3, 4]
            assert consumer.position(ZERO) == 5
            assert offsets(await consumer.poll(max_records=5)) == [5, 6]
            assert consumer.is_done


async def test_follows_what_is_appended() -> None:
    async with (
        FakeLogBroker() as broker,
        Cluster(broker.address) as cluster,
        Reader(cluster) as consumer,
    ):
        await consumer.assign({ZERO: END})
        assert await consumer.poll(timeout_ms=50) == []
        fill(broker, 3)
        assert offsets(await consumer.poll(timeout_ms=20_000)) == [0, 1, 2]
        assert not consumer.is_done


async def test_goes_on_after_lost_connections_and_moved_leaders() -> None:
    trouble = [Hangup, ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH, Hangup]

    def before(request: Request) -> Answer:
        if isinstance(request, FetchRequest) and trouble and len(broker.asked(ApiKey.FETCH)) % 2:
            what = trouble.pop()
            if what is Hangup:
                raise Hangup
            answer = broker.fetch(request)
            answer.responses[0].partitions[0].error_code = what  # type: ignore[assignment]
            answer.responses[0].partitions[0].records = b""
            return answer
        return None

    async with FakeLogBroker(before=before) as broker:
        fill(broker, 30)
        async with Cluster(broker.address) as cluster, Reader(cluster) as consumer:
            await consumer.assign({ZERO: BEGINNING}, until=END)
            records = []
            while not consumer.is_done:
                # One batch at a time, so that trouble comes in between.
                records += await consumer.poll(max_records=3)
                if not consumer.is_done:
                    await consumer.seek(ZERO, Position("offset", consumer.position(ZERO)))
        assert offsets(records) == list(range(30))
        assert trouble == []


async def test_a_partition_without_a_leader_is_an_error_after_a_while() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, FetchRequest):
            answer = broker.fetch(request)
            answer.responses[0].partitions[0].error_code = ErrorCode.NOT_LEADER_OR_FOLLOWER
            return answer
        return None

    async with (
        FakeLogBroker(before=before) as broker,
        Cluster(broker.address) as cluster,
        Reader(cluster, ReaderConfig(retry_timeout_ms=300)) as consumer,
    ):
        await consumer.assign({ZERO: BEGINNING})
        with pytest.raises(RequestTimedOut, match=r"t-0: cannot be read since .*NOT_LEADER_OR_FOLLOWER"):
            await consumer.poll(timeout_ms=20_000)


async def test_refusals_are_errors_at_once() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, FetchRequest):
            answer = broker.fetch(request)
            answer.responses[0].partitions[0].error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
            return answer
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        async with Reader(cluster) as consumer:
            await consumer.assign({ZERO: BEGINNING})
            for _ in range(2):
                with pytest.raises(BrokerError, match=r"Fetch at .* t-0: .*\(TOPIC_AUTHORIZATION_FAILED\)"):
                    await consumer.poll(timeout_ms=20_000)
        assert len(broker.asked(ApiKey.FETCH)) == 1


async def test_out_of_range_is_an_error_with_the_range_or_resets_as_told() -> None:
    async with FakeLogBroker() as broker, Cluster(broker.address) as cluster:
        fill(broker, 10)
        broker.logs[0].start = 4
        async with Reader(cluster) as consumer:
            await consumer.assign({ZERO: Position("offset", 1)})
            with pytest.raises(BrokerError, match="offset 1 is not in the log, which goes from 4 to 10"):
                await consumer.poll(timeout_ms=20_000)
            await consumer.seek(ZERO, Position("offset", 8))
            assert offsets(await consumer.poll(timeout_ms=20_000)) == [8, 9]
        async with Reader(cluster, ReaderConfig(auto_offset_reset="earliest")) as consumer:
            await consumer.assign({ZERO: Position("offset", 99)}, until=END)
            await consumer.seek(ZERO, Position("offset", 1))
            assert offsets(await read_all(consumer)) == [4, 5, 6, 7, 8, 9]


async def test_damage_ends_the_partition_without_a_loop_and_can_be_stepped_over() -> None:
    async with FakeLogBroker(2) as broker, Cluster(broker.address) as cluster:
        fill(broker, 9)
        fill(broker, 3, partition=1)
        base, data = broker.logs[0].batches[1]
        broker.logs[0].batches[1] = (base, data[:-1] + bytes([data[-1] ^ 1]))
        async with Reader(cluster) as consumer:
            await consumer.assign({ZERO: BEGINNING, ONE: BEGINNING}, until=END)
            records: list[Record] = []
            with pytest.raises(CorruptBatch) as caught:
                while True:
                    records += await consumer.poll()
            assert offsets(records) == [0, 1, 2]
            assert offsets(records, 1) == [0, 1, 2]
            asked = len(broker.asked(ApiKey.FETCH))
            with pytest.raises(CorruptBatch):
                await consumer.poll()
            assert len(broker.asked(ApiKey.FETCH)) == asked
            await consumer.seek(ZERO, Position("offset", caught.value.next_offset))
            assert offsets(await read_all(consumer)) == [6, 7, 8]


async def test_an_answer_with_less_than_a_batch_is_an_error_and_no_loop() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, FetchRequest):
            answer = broker.fetch(request)
            answer.responses[0].partitions[0].records = broker.logs[0].batches[0][1][:70]
            return answer
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        fill(broker, 3)
        async with Reader(cluster) as consumer:
            await consumer.assign({ZERO: BEGINNING})
            with pytest.raises(ClientError, match="offset 0 came without a whole batch"):
                await consumer.poll(timeout_ms=20_000)


async def test_what_was_fetched_before_a_seek_is_dropped() -> None:
    hold, asked = asyncio.Event(), asyncio.Event()
    async with FakeLogBroker() as broker:
        fill(broker, 9)
        plain = broker.script
        assert plain is not None

        async def script(header: object, request: Request) -> Answer:
            if isinstance(request, FetchRequest) and not hold.is_set():
                asked.set()
                await hold.wait()
            return plain(header, request)  # type: ignore[arg-type, return-value]

        broker.script = script
        async with Cluster(broker.address) as cluster, Reader(cluster) as consumer:
            await consumer.assign({ZERO: BEGINNING})
            polling = asyncio.ensure_future(consumer.poll(timeout_ms=20_000))
            await asked.wait()
            await consumer.seek(ZERO, Position("offset", 6))
            hold.set()
            assert offsets(await polling) == [6, 7, 8]


async def test_isolation_and_limits_reach_the_broker() -> None:
    async with FakeLogBroker() as broker, Cluster(broker.address) as cluster:
        fill(broker, 3)
        config = ReaderConfig(
            isolation_level="read_committed", fetch_max_bytes=777, max_partition_fetch_bytes=77
        )
        async with Reader(cluster, config) as consumer:
            await consumer.assign({ZERO: BEGINNING}, until=END)
            await read_all(consumer)
        (request, *_) = broker.asked(ApiKey.FETCH)
        assert isinstance(request, FetchRequest)
        assert (request.isolation_level, request.max_bytes) == (1, 777)
        assert request.topics[0].partitions[0].partition_max_bytes == 77
        assert (request.session_id, request.session_epoch) == (0, 0)


async def test_a_partition_that_does_not_exist_is_told_by_assign() -> None:
    async with FakeLogBroker() as broker, Cluster(broker.address) as cluster, Reader(cluster) as consumer:
        with pytest.raises(ClientError, match="topic 't' has no partition 1, it has 1"):
            await consumer.assign({ONE: Position("offset", 3)})
