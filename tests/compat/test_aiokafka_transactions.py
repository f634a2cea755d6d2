"""What aiokafka tests of transactions, told anew: its distribution carries no tests.

The scenarios are those of its `test_transactional_producer.py` and `test_transactional_consumer.py` in which
a broker has a part.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber, ProducerFenced
from aiokafka.producer.transaction_manager import TransactionState

from tests.harness.broker_process import BrokerProcess


@contextlib.asynccontextmanager
async def _aio_producer(broker: BrokerProcess, name: str | None) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=name)
    async with producer:
        yield producer


@contextlib.asynccontextmanager
async def _aio_consumer(broker: BrokerProcess, topic: str, **more: Any) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **more,
    )
    async with consumer:
        yield consumer


async def _nothing_comes(consumer: Any, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(consumer.getone(), seconds)


class TestAiokafkasProducer:
    async def test_one_is_committed(self, broker: BrokerProcess, topic: str) -> None:
        """Its record is read where the producer was told that it is."""
        async with _aio_producer(broker, topic) as producer, producer.transaction():
            sent = await producer.send_and_wait(topic, b"hello")
        async with _aio_consumer(broker, topic) as consumer:
            read = await consumer.getone()
            assert (read.offset, read.timestamp, read.value) == (sent.offset, sent.timestamp, b"hello")

    async def test_empty_ones(self, broker: BrokerProcess, topic: str) -> None:
        async with _aio_producer(broker, topic) as producer:
            await producer.begin_transaction()
            await producer.commit_transaction()
            await producer.begin_transaction()
            await producer.abort_transaction()

    async def test_the_next_producer_fences(self, broker: BrokerProcess, topic: str) -> None:
        async with _aio_producer(broker, topic) as first, _aio_producer(broker, topic) as second:
            async with second.transaction():
                await second.send_and_wait(topic, b"second")
            with pytest.raises(ProducerFenced):
                async with first.transaction():
                    await first.send_and_wait(topic, b"first")

    async def test_the_id_keeps_its_producer_id(self, broker: BrokerProcess, topic: str) -> None:
        ids = []
        for _ in range(2):
            async with _aio_producer(broker, topic) as producer:
                ids.append(producer._txn_manager.producer_id)
        assert ids[0] == ids[1] >= 0

    async def test_a_lost_record_is_noticed(self, broker: BrokerProcess, topic: str) -> None:
        """The transaction is aborted, and the producer goes on."""
        async with _aio_producer(broker, topic) as producer:
            with pytest.raises(OutOfOrderSequenceNumber):
                async with producer.transaction():
                    await producer.send_and_wait(topic, b"there", partition=0)
                    producer._txn_manager.increment_sequence_number(TopicPartition(topic, 0), 1)
                    await producer.send_and_wait(topic, b"behind the lost one", partition=0)

    @pytest.mark.parametrize("fails", [False, True])
    async def test_offsets_of_a_group(self, fails: bool, broker: BrokerProcess, topic: str) -> None:
        """Consume, transform, produce: those of an aborted transaction count for nothing."""
        async with _aio_producer(broker, None) as seeds:
            sent = [await seeds.send(topic, b"%d" % number, partition=number % 2) for number in range(200)]
            await asyncio.gather(*sent)
        async with (
            _aio_consumer(broker, topic, group_id=topic) as consumer,
            _aio_producer(broker, topic) as producer,
        ):
            parts = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            for part in parts:
                await consumer.commit({part: 0})
            if fails:
                with pytest.raises(_StepError):
                    await _transform(consumer, producer, topic, fails=True)
                assert [await consumer.committed(part) for part in parts] == [0, 0]
                # `seek_to_committed` goes nowhere where that is 0.
                for part in parts:
                    consumer.seek(part, 0)
            await _transform(consumer, producer, topic)
        # The next producer of the id is there when all markers are.
        async with _aio_producer(broker, topic):
            pass
        async with _aio_consumer(broker, topic, group_id=topic) as consumer:
            assert [await consumer.committed(part) for part in parts] == [100, 100]
        async with _aio_consumer(broker, f"{topic}-out", isolation_level="read_committed") as consumer:
            values = {(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(200)}
            assert values == {b"OUT-%d" % number for number in range(200)}
            await _nothing_comes(consumer, 0.3)

    async def test_a_commit_waits_for_what_was_sent(self, broker: BrokerProcess, topic: str) -> None:
        """Single records, and two batches of one partition, of which one has to wait for the other."""
        async with _aio_producer(broker, topic) as producer:
            await producer.begin_transaction()
            sent = [await producer.send(topic, b"one of ten") for _ in range(10)]
            for value in (b"1", b"2"):
                batch = producer.create_batch()
                batch.append(timestamp=None, key=None, value=value)
                batch.close()
                sent.append(await producer.send_batch(batch, topic, partition=0))
            await producer.commit_transaction()
            assert all(future.done() and future.exception() is None for future in sent)

    async def test_an_end_is_not_cancelled(self, broker: BrokerProcess, topic: str) -> None:
        """Whoever waits for one may be cancelled: the producer is ready again all the same."""
        async with _aio_producer(broker, topic) as producer:
            for end in (producer.commit_transaction, producer.abort_transaction):
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"x")
                task = asyncio.ensure_future(end())
                await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                for _ in range(1000):
                    if producer._txn_manager.state == TransactionState.READY:
                        break
                    await asyncio.sleep(0.01)
                assert producer._txn_manager.state == TransactionState.READY


class _StepError(Exception):
    """The step between consuming and committing fails."""


async def _transform(consumer: Any, producer: Any, topic: str, *, fails: bool = False) -> None:
    """All that is there, 20 records in a transaction."""
    left = 200
    while left:
        batch = await consumer.getmany(timeout_ms=5000, max_records=20)
        assert batch, f"{left} records do not come"
        async with producer.transaction():
            for part, messages in batch.items():
                for message in messages:
                    value = b"OUT-" + message.value
                    await producer.send(f"{topic}-out", value=value, partition=part.partition)
            offsets = {part: messages[-1].offset + 1 for part, messages in batch.items()}
            await producer.send_offsets_to_transaction(offsets, topic)
            if fails:
                raise _StepError
        left -= sum(len(messages) for messages in batch.values())


class TestAiokafkasConsumer:
    @pytest.mark.parametrize("commits", [True, False])
    async def test_an_open_one_holds_the_rest_back(
        self, commits: bool, broker: BrokerProcess, topic: str
    ) -> None:
        """Also records of others that come behind its own, until it ends."""
        async with (
            _aio_producer(broker, topic) as within,
            _aio_producer(broker, None) as without,
            _aio_consumer(broker, topic, isolation_level="read_committed") as consumer,
        ):
            part = TopicPartition(topic, 0)
            await within.begin_transaction()
            first = await within.send_and_wait(topic, b"within", partition=0)
            second = await without.send_and_wait(topic, b"without", partition=0)
            task = asyncio.ensure_future(consumer.getone())
            await asyncio.sleep(1)
            assert not task.done()
            assert (consumer.last_stable_offset(part), consumer.highwater(part)) == (0, 2)
            await (within.commit_transaction() if commits else within.abort_transaction())
            read = [await asyncio.wait_for(task, 10)]
            if commits:
                read.append(await asyncio.wait_for(consumer.getone(), 10))
            wanted = [(first, b"within"), (second, b"without")][0 if commits else 1 :]
            assert [(one.offset, one.timestamp, one.value) for one in read] == [
                (sent.offset, sent.timestamp, value) for sent, value in wanted
            ]
            await _nothing_comes(consumer, 0.3)
            assert (consumer.last_stable_offset(part), consumer.highwater(part)) == (3, 3)

    @pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
    async def test_nothing_but_a_marker(self, isolation: str, broker: BrokerProcess, topic: str) -> None:
        """The position goes past it, though there is no record and no room for a second batch."""
        more = {"isolation_level": isolation, "fetch_max_bytes": 10}
        async with _aio_producer(broker, topic) as producer, _aio_consumer(broker, topic, **more) as consumer:
            async with producer.transaction():
                sent = await producer.send_and_wait(topic, b"1", partition=0)
            consumer.seek(sent.topic_partition, sent.offset + 1)
            # The commit is answered before its marker is written.
            for _ in range(20):
                await _nothing_comes(consumer, 0.5)
                if (position := await consumer.position(sent.topic_partition)) == sent.offset + 2:
                    break
            assert position == sent.offset + 2
            async with producer.transaction():
                sent = await producer.send_and_wait(topic, b"2", partition=0)
            read = await asyncio.wait_for(consumer.getone(), 10)
            assert (read.offset, read.timestamp, read.value) == (sent.offset, sent.timestamp, b"2")

    async def test_only_committed_ones_in_order(self, broker: BrokerProcess, topic: str) -> None:
        async with _aio_producer(broker, topic) as producer:
            for number in range(10):
                await producer.begin_transaction()
                await producer.send(topic, b"%d" % number, partition=0)
                await (producer.abort_transaction() if number % 3 else producer.commit_transaction())
        async with _aio_consumer(broker, topic, isolation_level="read_committed") as consumer:
            values = [(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(4)]
            assert values == [b"0", b"3", b"6", b"9"]
            await _nothing_comes(consumer, 0.3)
