"""What a sender is told, and when: handles, callbacks, many records at once, and who is kept waiting."""

from __future__ import annotations

import asyncio
import gc
import logging
import time

import pytest

from fastlog.client import ClientError, Cluster, RequestTimedOut
from fastlog.client.producer import AsyncProducer, Delivery, ProducerConfig, RecordMetadata
from fastlog.errors import ErrorCode
from fastlog.errors.by_code import InvalidTimestamp, MessageTooLarge, UnknownTopicOrPartition
from fastlog.wire import ApiKey, Request
from fastlog.wire.messages.metadata import MetadataRequest, MetadataResponseTopic
from fastlog.wire.messages.produce import ProduceRequest
from tests.harness.net import free_port
from tests.unit.client.fake_log import FakeLogBroker
from tests.unit.client.test_producer import refuse, until
from tests.unit.net.fake_broker import Answer


def refuse_all(request: Request) -> Answer:
    return refuse(request, ErrorCode.INVALID_TIMESTAMP) if isinstance(request, ProduceRequest) else None


async def test_a_handle_is_awaited_looked_at_or_ignored() -> None:
    async with FakeLogBroker() as broker, AsyncProducer(broker.address) as producer:
        where = await producer.send("t", b"a", timestamp_ms=5)
        assert where == RecordMetadata("t", 0, 0, 5)
        match where:
            case RecordMetadata(topic, partition, offset, timestamp):
                assert (topic, partition, offset, timestamp) == ("t", 0, 0, 5)
        handle = producer.send("t", b"b")
        producer.send("t", b"c")
        assert not handle.done()
        with pytest.raises(RuntimeError, match="await the delivery"):
            handle.result()
        called: list[Delivery] = []
        handle.add_done_callback(called.append)
        await producer.flush()
        assert called == [handle]
        assert handle.done()
        assert handle.exception() is None
        assert handle.result().offset == 1
        handle.add_done_callback(called.append)
        assert called == [handle] * 2
        assert broker.logs[0].values() == [b"a", b"b", b"c"]


async def test_a_producer_without_a_context_starts_by_itself() -> None:
    async with FakeLogBroker() as broker:
        producer = AsyncProducer(broker.address)
        try:
            assert (await producer.send("t", b"a")).offset == 0
        finally:
            await producer.close()
        await producer.close()
        with pytest.raises(RuntimeError, match="closed"):
            producer.send("t", b"b")


async def test_where_nobody_listens_the_handle_says_so_and_the_next_send_tries_again() -> None:
    port = free_port()
    producer = AsyncProducer(f"127.0.0.1:{port}")
    with pytest.raises(ClientError, match="no bootstrap server can be used"):
        await producer.send("t", b"a")
    async with FakeLogBroker() as broker:
        producer._engine._cluster._seeds = [("127.0.0.1", broker.port)]
        assert (await producer.send("t", b"a")).offset == 0
        await producer.close()


async def test_what_is_no_record_fails_alone() -> None:
    async with FakeLogBroker() as broker, AsyncProducer(broker.address) as producer:
        good = producer.send("t", b"good")
        for wrong in (
            {"value": "text"},
            {"value": b"", "key": 7},
            {"value": b"", "timestamp_ms": 1.5},
            {"value": b"", "headers": [("h", "text")]},
            {"value": b"", "headers": 3},
            {"value": b"", "partition": "0"},
        ):
            with pytest.raises(TypeError):
                producer.send("t", **wrong)  # type: ignore[arg-type]
        with pytest.raises(MessageTooLarge, match="does not fit"):
            producer.send("t", b"x" * (1 << 20))
        with pytest.raises(UnknownTopicOrPartition, match="no partition 7, it has 1"):
            await producer.send("t", b"v", partition=7)
        after = await producer.send("t", bytearray(b"after"), headers={"a": b"1", "b": None})
        assert (await good).offset == 0
        assert after.offset == 1
        assert broker.logs[0].values() == [b"good", b"after"]


async def test_callbacks_are_called_in_order_with_result_or_error(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[int, object, object]] = []
    async with FakeLogBroker() as broker, AsyncProducer(broker.address) as producer:
        for number in range(5):
            producer.send(
                "t",
                b"v",
                on_delivery=lambda result, error, number=number: told.append((number, result, error)),
            )
        await producer.flush()
        assert [number for number, _, _ in told] == list(range(5))
        assert [getattr(result, "offset", None) for _, result, _ in told] == list(range(5))
        broker.before = refuse_all
        producer.send("t", b"v", on_delivery=lambda result, error: told.append((9, result, error)))
        await producer.flush()
    assert told[-1][1] is None
    assert isinstance(told[-1][2], InvalidTimestamp)
    assert not caplog.records


async def test_failures_that_nobody_looks_at_are_logged_once_and_warn_of_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeLogBroker(before=refuse_all) as broker, AsyncProducer(broker.address) as producer:
        for _ in range(100):
            producer.send("t", b"v")
        with caplog.at_level(logging.WARNING, "fastlog.client"):
            await producer.flush()
        gc.collect()
    assert [record.getMessage()[:24] for record in caplog.records] == ["100 records are not writ"]


async def test_an_error_is_the_same_for_all_who_await_it() -> None:
    async with FakeLogBroker(before=refuse_all) as broker, AsyncProducer(broker.address) as producer:
        handles = [producer.send("t", b"v") for _ in range(50)]
        found = await asyncio.gather(*handles, return_exceptions=True)
    assert {type(error) for error in found} == {type(found[0])}
    assert isinstance(found[0], InvalidTimestamp)


async def test_to_cancel_who_waits_cancels_nobody_else() -> None:
    gate = asyncio.Event()

    async def slow(request: Request) -> Answer:
        if isinstance(request, ProduceRequest):
            await gate.wait()
        return broker._serve_request(None, request)  # type: ignore[arg-type]

    async with FakeLogBroker() as broker, AsyncProducer(broker.address) as producer:
        broker.script = lambda _, request: slow(request)
        first, second = producer.send("t", b"a"), producer.send("t", b"b")
        waits = [asyncio.ensure_future(_of(first)), asyncio.ensure_future(_of(second))]
        await until(lambda: broker.asked(ApiKey.PRODUCE))
        waits[0].cancel()
        await asyncio.gather(waits[0], return_exceptions=True)
        gate.set()
        assert (await waits[1]).offset == 1
        assert (await first).offset == 0


async def _of(delivery: Delivery) -> RecordMetadata:
    return await delivery


async def test_many_at_once_with_keys_and_in_order() -> None:
    async with FakeLogBroker(3) as broker, AsyncProducer(broker.address, batch_size=1000) as producer:
        values: list[bytes | None] = [b"%d" % number for number in range(500)]
        sent = await producer.send_many("t", values, keys=[b"k%d" % (n % 7) for n in range(500)])
        found = await sent
        assert len(sent) == len(found) == 500
        assert sent[3].result() == found[3]
        assert [one.result() for one in sent[-2:]] == found[-2:]
        for value, where in zip(values, found, strict=True):
            assert broker.logs[where.partition].values()[where.offset] == value
        with pytest.raises(ValueError, match="500 values and 1 keys"):
            await producer.send_many("t", values, keys=[b"k"])
        with pytest.raises(TypeError):
            await producer.send_many("t", [b"a", "b"])  # type: ignore[list-item]
        assert len(await producer.send_many("t", [])) == 0


async def test_a_partitioner_of_ones_own() -> None:
    asked = []

    def choose(topic: str, key: bytes | None, partitions: int) -> int:
        asked.append((topic, key, partitions))
        return 2

    async with FakeLogBroker(3) as broker, AsyncProducer(broker.address, partitioner=choose) as producer:
        assert (await producer.send("t", b"a", key=b"k")).partition == 2
        assert (await producer.send("t", b"b", key=b"k", partition=1)).partition == 1
        sent = await producer.send_many("t", [b"c", b"d"])
        assert [where.partition for where in await sent] == [2, 2]
    assert asked == [("t", b"k", 3), ("t", None, 3), ("t", None, 3)]


async def test_split_batches_find_their_records_and_callbacks() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest):
            data = request.topic_data[0].partition_data[0].records
            if len(data or b"") > 300:
                return refuse(request, ErrorCode.MESSAGE_TOO_LARGE)
        return None

    told: list[int] = []
    async with FakeLogBroker(before=before) as broker, AsyncProducer(broker.address) as producer:
        waiting = asyncio.ensure_future(_of(producer.send("t", b"%03d" % 0 * 20)))
        handles = [
            producer.send(
                "t",
                b"%03d" % number * 20,
                on_delivery=lambda result, _: told.append(result.offset if result else -1),
            )
            for number in range(1, 20)
        ]
        await producer.flush()
        assert [handle.result().offset for handle in handles] == list(range(1, 20))
        assert (await waiting).offset == 0
    assert told == list(range(1, 20))


# -- who is kept waiting --------------------


def held(request: Request) -> Answer:
    """No answer to Produce."""
    return None


class SlowBroker(FakeLogBroker):
    """Answers Produce when `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        serve = self.script
        assert serve is not None

        async def slowly(header: object, request: Request) -> Answer:
            if isinstance(request, ProduceRequest):
                await self.gate.wait()
            return self._serve_request(header, request)  # type: ignore[arg-type]

        self.script = slowly


async def test_records_wait_in_the_order_in_which_they_came() -> None:
    async with SlowBroker() as broker, AsyncProducer(broker.address, buffer_memory=5000) as producer:
        handles = [producer.send("t", b"000" + b"x" * 476)]
        await until(lambda: broker.asked(ApiKey.PRODUCE))
        handles += [producer.send("t", b"%03d" % n + b"x" * 476) for n in range(1, 15)]
        with pytest.raises(BufferError, match="drain"):
            handles += (producer.send("t", b"%03d" % n + b"x" * 476) for n in range(15, 100))
        broker.gate.set()
        await asyncio.gather(*handles)
        assert [value[:3] for value in broker.logs[0].values() if value] == [
            b"%03d" % number for number in range(len(handles))
        ]


async def test_a_record_waits_for_room_no_longer_than_it_may() -> None:
    async with (
        SlowBroker() as broker,
        AsyncProducer(broker.address, buffer_memory=1000, max_block_ms=200) as producer,
    ):
        first = producer.send("t", b"x" * 900)
        await until(lambda: broker.asked(ApiKey.PRODUCE))
        begun = time.monotonic()
        with pytest.raises(RequestTimedOut, match="no room in the buffer within max_block_ms=200"):
            await producer.send("t", b"y" * 900)
        assert 0.15 < time.monotonic() - begun < 5
        broker.gate.set()
        assert (await first).offset == 0
        assert (await producer.send("t", b"z" * 900)).offset == 1


async def test_drain_holds_back_and_lets_go() -> None:
    async with SlowBroker() as broker, AsyncProducer(broker.address, buffer_memory=10_000) as producer:
        await asyncio.wait_for(producer.drain(), 5)
        for _ in range(12):
            await producer.enqueue("t", b"x" * 500)
        wait = asyncio.ensure_future(producer.drain())
        await asyncio.sleep(0.05)
        assert not wait.done()
        broker.gate.set()
        await asyncio.wait_for(wait, 10)


async def test_drain_is_enough_from_the_first_record_on() -> None:
    """The topic is not known yet, and nothing else in the loop gives the search for it a turn."""
    async with (
        FakeLogBroker() as broker,
        AsyncProducer(broker.address, buffer_memory=20_000, batch_size=5_000) as producer,
    ):
        for number in range(2000):
            producer.send("t", b"%04d" % number + b"x" * 96)
            await producer.drain()
        await producer.flush()
        values = [value or b"" for value in broker.logs[0].values()]
        assert [int(value[:4]) for value in values] == list(range(2000))


async def test_drain_waits_for_those_who_are_served_so_that_later_ones_need_not_wait_behind_them() -> None:
    async with FakeLogBroker() as broker, AsyncProducer(broker.address) as producer:
        engine = producer._engine
        known, late = False, 0
        while late < 3:
            known = known or engine._topics.known("t") is not None
            late += known
            for _ in range(500):
                producer.send("t", b"")
            await producer.drain()
        assert not engine.line.has_some


async def test_drain_lets_others_have_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with FakeLogBroker() as broker, AsyncProducer(broker.address) as producer:
        await producer.send("t", b"")
        task = asyncio.ensure_future(other())
        for _ in range(200_000):  # too few to fill half of the buffer
            producer.send("t", b"")
            await producer.drain()
            if turns == 3:
                break
        assert turns == 3
        task.cancel()


async def test_the_cost_of_a_record_is_the_same_however_many_wait() -> None:
    async def cost(senders: int) -> float:
        async with (
            FakeLogBroker() as broker,
            AsyncProducer(broker.address, buffer_memory=20_000, batch_size=10_000) as producer,
        ):
            await producer.send("t", b"")
            begun = time.process_time()
            await asyncio.gather(*(producer.enqueue("t", b"x" * 400) for _ in range(senders)))
            await producer.flush()
            return (time.process_time() - begun) / senders

    few, many = await cost(250), await cost(4000)
    assert many < few * 3, f"{few * 1e6:.0f} us of 250 senders, {many * 1e6:.0f} us of 4000"


async def test_an_unknown_topic_holds_up_nobody_else() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, MetadataRequest) and request.topics and request.topics[0].name != "t":
            found = broker.describe()
            found.topics = [MetadataResponseTopic(name=request.topics[0].name, error_code=3)]
            return found
        return None

    async with (
        FakeLogBroker(before=before) as broker,
        Cluster(broker.address) as cluster,
        AsyncProducer.of(
            ProducerConfig(max_block_ms=1000, allow_auto_create_topics=False), cluster
        ) as producer,
    ):
        lost = producer.send("nowhere", b"v")
        assert (await producer.send("t", b"v")).offset == 0
        assert not lost.done()
        with pytest.raises(UnknownTopicOrPartition):
            await lost


async def test_what_waits_when_the_producer_is_closed_is_sent() -> None:
    async with FakeLogBroker() as broker:
        async with AsyncProducer(broker.address) as producer:
            for number in range(10):
                producer.send("t", b"%d" % number)  # the topic is not known yet
        assert broker.logs[0].values() == [b"%d" % number for number in range(10)]


async def test_what_is_refused_unseen_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with SlowBroker() as broker, AsyncProducer(broker.address, linger_ms=60_000) as producer:
        producer.send("t", b"v", partition=9)
        with caplog.at_level(logging.WARNING, "fastlog.client"):
            await until(lambda: caplog.records)
        broker.gate.set()
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "1 records are not sent, and nobody waits for them: topic 't' has no"
    )
