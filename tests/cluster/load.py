"""Idempotent producers with acks=all and a reader, which write down what they do, whatever happens."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from tests.chaos import truth
from tests.cluster.history import NO_OFFSET, LogHistory, Row, Writer, read_log_history
from tests.harness.waiting import wait_until

_DELIVERY_SECONDS: Final = 120
_PRODUCERS: Final = 2
_LOST_PLACE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})
_LEAP: Final = 10**9
"""Values of producer N begin at N times this."""
_NEVER_SENT: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._PURGE_QUEUE})
"""Errors after which a record is not in the log for sure."""


@contextmanager
def _log(path: Path) -> Iterator[logging.Logger]:
    """What a client says, in a file, which is closed at the end, whatever the client says after it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.Logger(path.stem)
    logger.addHandler(logging.NullHandler())
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        handler.close()


class Load:
    """Producers and a reader of one topic, in threads, from entering the context until `finish`."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        partitions: int,
        directory: Path,
        *,
        rate: int = 1000,
        idempotent: bool = True,
    ) -> None:
        self._bootstrap, self._topic, self._partitions = bootstrap, topic, partitions
        self._files = [directory / f"producer-{number}.jsonl" for number in range(_PRODUCERS)]
        self._reads = directory / "reader.jsonl"
        self._rate = rate / _PRODUCERS
        self._idempotent = idempotent
        self._ended, self._closed = threading.Event(), threading.Event()
        self._least = 0
        self._failures: list[BaseException] = []
        self._counts = [0] * _PRODUCERS
        self._read_to: dict[int, int] = {}
        self._lost = False
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._produce, number), name=f"producer {number}")
            for number in range(_PRODUCERS)
        ]
        self._reader = threading.Thread(target=self._guarded, args=(self._read, 0), name="reader")

    def __enter__(self) -> Load:
        for thread in (*self._threads, self._reader):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._closed.set()
        for thread in (*self._threads, self._reader):
            thread.join()

    @property
    def acked(self) -> int:
        """How many records have been acknowledged so far."""
        return sum(self._counts)

    def wait_for_acks(self, count: int, *, seconds: float = 60) -> None:
        """Returns when so many more records are acknowledged: the cluster takes writes."""
        wanted, deadline = self.acked + count, time.monotonic() + seconds
        while self.acked < wanted:
            assert time.monotonic() < deadline, f"{self.acked} of {wanted} records after {seconds} s"
            assert not self._failures, self._failures
            time.sleep(0.05)

    def finish(self, *, at_least: int = 0) -> LogHistory:
        """Sends until it has sent so many, waits for all answers, and reads the topic from end to end."""
        self._least = at_least // _PRODUCERS
        self._ended.set()
        for thread in self._threads:
            thread.join()
        final = truth.read_values(self._bootstrap, self._topic, self._partitions)
        ends = dict(sorted(final))
        wait_until(
            lambda: self._failures or self._lost or self._read_to == ends,
            lambda: f"the reader does not come to the ends {ends}: it is at {self._read_to}",
            seconds=60,
        )
        self._closed.set()
        self._reader.join()
        assert not self._failures, self._failures
        rows = ((partition, offset, value) for (partition, offset), value in final.items())
        return read_log_history([*self._files, self._reads], rows)

    def _guarded(self, work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told by `finish`, in the thread of the test
            self._failures.append(error)

    def _produce(self, number: int) -> None:
        path = self._files[number]
        with _log(path.with_suffix(".log")) as log, Writer(path) as writer:
            self._send(number, writer, log)

    def _send(self, number: int, writer: Writer, log: logging.Logger) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "enable.idempotence": self._idempotent,
                "acks": "all",
                "linger.ms": 20,
                "message.timeout.ms": _DELIVERY_SECONDS * 1000,
                "reconnect.backoff.max.ms": 500,
                "retry.backoff.ms": 50,
                "topic.metadata.refresh.fast.interval.ms": 100,
                # How long it believes a broker that has just started, and knows of no topic yet.
                "topic.metadata.refresh.interval.ms": 1000,
                # When it gives up the epoch that it has, and why.
                "debug": "eos",
                "log_level": 7,
            },
            logger=log,
        )
        acked: deque[Row] = deque()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                acked.append(_acked(message))
            else:
                # It has no offset, of course.
                fields = {"partition": message.partition(), "value": int(message.value() or b"")}
                writer.write("failed", **fields, error=error.name(), sure=error.code() in _NEVER_SENT)

        began, count = time.monotonic(), 0
        while not self._ended.is_set() or count < self._least:
            due = int((time.monotonic() - began) * self._rate)
            if self._ended.is_set():
                due = max(due, min(self._least, count + 500))
            rows = []
            try:
                while count < due and len(producer) < 50_000:
                    partition, value = count % self._partitions, number * _LEAP + count
                    text = b"%d" % value
                    producer.produce(self._topic, text, partition=partition, on_delivery=delivered)
                    rows.append((partition, value))
                    count += 1
                producer.poll(0.02)
            except KafkaException as error:
                writer.write("fatal", error=error.args[0].str())
                break
            finally:
                writer.records("sent", rows)
            self._write_acks(writer, number, acked)
        left = self._flush(producer, writer)
        self._write_acks(writer, number, acked)
        assert left == 0, f"{left} records have no answer"

    @staticmethod
    def _flush(producer: Producer, writer: Writer) -> int:
        """Waits for all answers; says how many did not come.

        An idempotent producer gives up for good when the log does not go on where it was: it raises that
        once, be it here, and then answers what it still has with an error.
        """
        try:
            return producer.flush(_DELIVERY_SECONDS + 10)
        except KafkaException as error:
            writer.write("fatal", error=error.args[0].str())
            return producer.flush(_DELIVERY_SECONDS + 10)

    def _write_acks(self, writer: Writer, number: int, acked: deque[Row]) -> None:
        self._counts[number] += len(acked)
        writer.records("acked", list(acked))
        acked.clear()

    def _read(self, _: int) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "reader-of-the-load",
                "enable.auto.commit": False,
                # It reads on where it is, or says that it cannot.
                "auto.offset.reset": "error",
                "reconnect.backoff.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 1000,
                "log_level": 0,
            }
        )
        partitions = [*range(self._partitions)]
        try:
            with Writer(self._reads) as writer:
                consumer.assign([TopicPartition(self._topic, index, 0) for index in partitions])
                writer.write("begun", partitions=partitions)
                while not self._closed.is_set():
                    rows = []
                    for message in consumer.consume(1000, 0.2):
                        if (error := message.error()) is None:
                            rows.append(row_of(message))
                        elif error.code() in _LOST_PLACE:
                            writer.write("lost", error=str(error))
                            self._lost = True
                    writer.records("read", rows)
                    self._read_to.update((row[0], row[1]) for row in rows)
        finally:
            consumer.close()


def row_of(message: Message) -> Row:
    """Partition, offset and value, which is a number."""
    offset = message.offset()
    assert offset is not None
    return _row(message, offset)


def _acked(message: Message) -> Row:
    """The same of a record that is acknowledged, be it without a place."""
    offset = message.offset()
    return _row(message, NO_OFFSET if offset is None else offset)


def _row(message: Message, offset: int) -> Row:
    partition, value = message.partition(), message.value()
    assert partition is not None
    assert value is not None
    return partition, offset, int(value)
