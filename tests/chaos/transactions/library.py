"""A client of librdkafka, which speaks the first protocol: one transaction after the other."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.chaos.transactions.history import ABORTED, COMMITTED, NO_OFFSET, UNKNOWN, Row, Writer
from tests.chaos.transactions.producer import LEAP
from tests.chaos.transactions.wire import GIVE_UP_SECONDS

_STEP_SECONDS = 5.0


class LibraryProducer:
    """One transactional id, in a thread."""

    def __init__(
        self, bootstrap: str, name: str, number: int, topic: str, partitions: int, writer: Writer, seed: int
    ) -> None:
        self._bootstrap, self._name, self._topic, self._partitions = bootstrap, name, topic, partitions
        self._writer = writer
        self._chance = random.Random(f"{seed} {name}")
        self._value = number * LEAP
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)
        self._acked: deque[Row] = deque()
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the transaction that is under way."""
        self._ended.set()

    def join(self, seconds: float) -> bool:
        """Waits for that; whether it is so."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            producer = self._made()
            number = 0
            while not self._ended.is_set():
                fate = UNKNOWN, ""
                try:
                    fate = self._transaction(producer, number)
                except KafkaException as error:
                    if not error.args[0].fatal():
                        raise
                    # Fenced by a time-out, or the like.
                    self.counts[f"fatal {error.args[0].name()}"] += 1
                    fate = UNKNOWN, error.args[0].str()
                    producer = self._made()
                self._writer.records("acked", list(self._acked), number=number)
                self._acked.clear()
                self._writer.write("ended", number=number, fate=fate[0], why=fate[1])
                number += 1
                self.counts["transactions"] += 1
        except BaseException as error:  # noqa: BLE001 - told by the checker
            self._writer.write("failed", error=repr(error))

    def _made(self) -> Producer:
        while True:
            producer = Producer(
                {
                    "bootstrap.servers": self._bootstrap,
                    "client.id": self._name,
                    "transactional.id": self._name,
                    "transaction.timeout.ms": 20_000,
                    "reconnect.backoff.max.ms": 500,
                    "retry.backoff.ms": 50,
                    "topic.metadata.refresh.interval.ms": 1000,
                    "log_level": 0,
                }
            )
            try:
                self._persistently(lambda producer=producer: producer.init_transactions(_STEP_SECONDS))  # type: ignore[misc]
            except KafkaException as error:
                if not error.args[0].fatal():
                    raise
                continue
            return producer

    def _transaction(self, producer: Producer, number: int) -> tuple[str, str]:
        chance = self._chance
        rows = []
        for partition in chance.sample(range(self._partitions), chance.randint(1, self._partitions)):
            for _ in range(chance.randint(1, 3)):
                rows.append([partition, self._value])
                self._value += 1
        self._writer.write("txn", number=number, records=rows, position=None)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offset, partition, value = message.offset(), message.partition(), message.value()
                assert partition is not None and value is not None
                self._acked.append((partition, NO_OFFSET if offset is None else offset, int(value)))

        try:
            producer.begin_transaction()
            for partition, value in rows:
                producer.produce(self._topic, b"%d" % value, partition=partition, on_delivery=delivered)
            if chance.random() < 0.7:
                self._persistently(lambda: producer.commit_transaction(_STEP_SECONDS))
                return COMMITTED, "its client asked for it"
        except KafkaException as error:
            if error.args[0].fatal() or not (error.args[0].txn_requires_abort() or error.args[0].retriable()):
                raise
            self.counts[f"abortable {error.args[0].name()}"] += 1
        self._persistently(lambda: producer.abort_transaction(_STEP_SECONDS))
        return ABORTED, "its client asked for it"

    def _persistently(self, step: Callable[[], None]) -> None:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                step()
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
