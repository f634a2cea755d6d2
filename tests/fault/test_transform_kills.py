"""kill -9 under consume, transform, produce: each record that is read is written once, with its offset.

librdkafka 2.15 and 2.16 stay in `send_offsets_to_transaction` for good once every broker was out of reach,
with Apache Kafka too: by `metadata.recovery.strategy` they forget the brokers, but not who coordinated the
group (librdkafka's issues 5456 and 5511). Without it they go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until

KILLS = 3
PARTITIONS = 2
SOURCE, SINK, GROUP = "source", "sink", "transform"
SECONDS = 60.0


class Transform:
    """Passes records on from one topic to another, up to ten in a transaction; every fifth is aborted."""

    def __init__(self, bootstrap: str) -> None:
        self._settings = {
            "bootstrap.servers": bootstrap,
            "log_level": 2,
            "metadata.recovery.strategy": "none",
            "reconnect.backoff.max.ms": 500,
        }
        self.committed = 0
        """Transactions."""
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="transform", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the transaction that is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._go_on()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    def _go_on(self) -> None:
        more = {"group.id": GROUP, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        consumer = Consumer({**self._settings, **more})
        consumer.subscribe([SOURCE])
        producer, count = self._initialized(), 0
        while not self._stop.is_set():
            messages = [one for one in consumer.consume(10, 0.1) if one.error() is None]
            if not messages:
                continue
            count += 1
            try:
                producer.begin_transaction()
                for one in messages:
                    producer.produce(SINK, one.value(), partition=one.partition() or 0)
                at = [one for one in consumer.position(consumer.assignment()) if one.offset >= 0]
                group = consumer.consumer_group_metadata()
                _persistently(producer.send_offsets_to_transaction, at, group, 5)
                if count % 5:
                    _persistently(producer.commit_transaction, 5)
                    self.committed += 1
                    continue
                _persistently(producer.abort_transaction, 5)
            except KafkaException as error:
                if error.args[0].fatal():
                    producer = self._initialized()
                elif error.args[0].txn_requires_abort():
                    _persistently(producer.abort_transaction, 5)
                else:
                    raise
            _go_back(consumer)
        consumer.close()

    def _initialized(self) -> Producer:
        producer = Producer({**self._settings, "transactional.id": GROUP})
        _persistently(producer.init_transactions, 5)
        return producer


def _persistently(step: Callable[..., object], *arguments: object) -> None:
    while True:
        try:
            step(*arguments)
            return
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


def _go_back(consumer: Consumer) -> None:
    """What was not committed is read again, by whoever has the partitions then."""
    while assignment := consumer.assignment():
        try:
            for one in consumer.committed(assignment, 5):
                consumer.seek(TopicPartition(one.topic, one.partition, max(one.offset, 0)))
        except KafkaException as error:
            # A broker that is not there yet; or the partitions are this member's no more.
            if error.args[0].code() not in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT):
                return
        else:
            return


def read_committed(bootstrap: str, partition: int) -> list[int]:
    """The numbers that committed transactions have written to a partition, in their order."""
    more = {"group.id": "unused", "isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": bootstrap, **more})
    consumer.assign([TopicPartition(SINK, partition, 0)])
    found: list[int] = []
    while True:
        message = consumer.poll(30)
        assert message is not None, f"nothing comes after {len(found)} records"
        if message.error() is not None:
            consumer.close()
            return found
        found.append(int(message.value() or b""))


@pytest.mark.timeout(240)
def test_each_record_is_passed_on_once(tmp_path: Path) -> None:
    """In its order, over kills; the group's offsets are those of what was written."""
    settings = {
        "transaction.state.log.num.partitions": "2",
        "offsets.topic.num.partitions": "2",
        "group.initial.rebalance.delay.ms": "0",
    }
    with BrokerProcess(tmp_path, settings=settings) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (SOURCE, SINK)]).values():
            made.result(30)
        transform, sent = Transform(broker.bootstrap), 0
        transform.start()
        for kill in range(KILLS + 1):
            wanted = transform.committed + 4 + kill
            seeds = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
            deadline = time.monotonic() + SECONDS
            while transform.committed < wanted:
                assert transform.failure is None, transform.failure
                assert time.monotonic() < deadline, f"{transform.committed} transactions after {kill} kills"
                for partition in range(PARTITIONS):
                    seeds.produce(SOURCE, b"%d" % (sent // PARTITIONS), partition=partition)
                    sent += 1
                assert seeds.flush(30) == 0
            if kill < KILLS:
                broker.kill()
                broker.start()
        numbers = list(range(sent // PARTITIONS))
        reads: list[list[int]] = []

        def is_whole() -> bool:
            reads[:] = [read_committed(broker.bootstrap, partition) for partition in range(PARTITIONS)]
            return all(len(read) >= len(numbers) for read in reads)

        wait_until(is_whole, lambda: f"{sent} sent, {reads}", seconds=SECONDS)
        transform.stop()
        assert transform.failure is None, transform.failure
        is_whole()
        assert reads == [numbers] * PARTITIONS, "lost, twice or in another order"
        looker = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP})
        parts = [TopicPartition(SOURCE, partition) for partition in range(PARTITIONS)]
        assert [one.offset for one in looker.committed(parts, 30)] == [len(numbers)] * PARTITIONS
        looker.close()
        assert broker.stop() == 0
