"""kill -9 under transactions: what was committed is read once and whole, what was aborted never."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until

KILLS = 4
PARTITIONS = 2
RECORDS = 3
"""Of each transaction in each partition."""
TOPIC = "kept"
SECONDS = 60.0


class Writer:
    """Commits or aborts one transaction after the other, with records in all partitions."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        self.fates: list[bool | None] = []
        """Of each transaction: whether it was committed; None where the client does not know."""
        self._bootstrap = bootstrap
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the transaction that is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            producer = self._initialized()
            while not self._stop.is_set():
                self.fates.append(None)
                try:
                    self.fates[-1] = self._transaction(producer, len(self.fates) - 1)
                except KafkaException as error:
                    if not error.args[0].fatal():
                        raise
                    # Fenced by a time-out, or the like: what became of the transaction others know.
                    producer = self._initialized()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    def _initialized(self) -> Producer:
        producer = Producer(
            {"bootstrap.servers": self._bootstrap, "transactional.id": "writer", "log_level": 2}
        )
        self._persistently(lambda: producer.init_transactions(5))
        return producer

    def _transaction(self, producer: Producer, number: int) -> bool:
        commits = self._chance.random() < 0.6
        try:
            producer.begin_transaction()
            for partition in range(PARTITIONS):
                for _ in range(RECORDS):
                    producer.produce(TOPIC, b"%d" % number, partition=partition)
            if commits:
                self._persistently(lambda: producer.commit_transaction(5))
                return True
        except KafkaException as error:
            if not (error.args[0].txn_requires_abort() or error.args[0].retriable()):
                raise
        self._persistently(lambda: producer.abort_transaction(5))
        return False

    def _persistently(self, step: Callable[[], None]) -> None:
        while True:
            try:
                step()
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise


def read_committed(bootstrap: str, partition: int) -> list[int]:
    """Numbers of the transactions of all records that a `read_committed` consumer is given."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(TOPIC, partition, 0)])
    found: list[int] = []
    while True:
        message = consumer.poll(30)
        assert message is not None, f"nothing comes after {len(found)} records"
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            break
        value = message.value()
        assert value is not None
        found.append(int(value))
    consumer.close()
    return found


@pytest.mark.timeout(180)
def test_transactions_survive_kills(tmp_path: Path) -> None:
    """Aborted reads, lost writes, torn transactions, duplicates: there are none of these."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    settings = {
        "num.partitions": str(PARTITIONS),
        "transaction.state.log.num.partitions": "2",
        "offsets.topic.num.partitions": "2",
    }
    with BrokerProcess(tmp_path, settings=settings) as broker:
        topics = [NewTopic(TOPIC, PARTITIONS, 1)]
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for made in admin.create_topics(topics).values():
            made.result(30)
        writer = Writer(broker.bootstrap, seed)
        writer.start()
        for kill in range(KILLS):
            wanted = len(writer.fates) + 5 + kill
            wait_until(
                lambda wanted=wanted: len(writer.fates) >= wanted or writer.failure is not None,  # type: ignore[misc]
                lambda: f"{len(writer.fates)} transactions",
                seconds=SECONDS,
                pause=0.01,
            )
            broker.kill()
            broker.start()
        writer.stop()
        assert writer.failure is None, writer.failure
        assert writer.fates[-1] is not None
        reads = [read_committed(broker.bootstrap, partition) for partition in range(PARTITIONS)]
        whole = sorted(set(reads[0]))
        expected = [number for number in whole for _ in range(RECORDS)]
        for found in reads:
            assert found == expected, f"torn or twice: {found}"
        for number, fate in enumerate(writer.fates):
            assert fate is None or fate == (number in whole), f"{number} was {fate}"
        assert broker.stop() == 0
