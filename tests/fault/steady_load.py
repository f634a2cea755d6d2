"""A producer that goes on while its broker dies again and again."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Message, Producer


class SteadyLoad(threading.Thread, ABC):
    """An idempotent producer that never stops, and tries long enough for every record to get through.

    `count` is how many records were acknowledged, `failures` holds what was not as it should be.
    """

    def __init__(self, bootstrap: str, topic: str, **settings: str | int) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                # Back at once: pauses double up to a second otherwise, and the broker is down all the time.
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 20,
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 20,
                "topic.metadata.refresh.fast.interval.ms": 20,
                "linger.ms": 2,
                "log_level": 2,
                **{name.replace("_", "."): value for name, value in settings.items()},
            }
        )
        self._topic = topic
        self._enough = threading.Event()
        self._paused = threading.Event()
        self._idle = threading.Event()
        self.count = 0
        self.failures: list[object] = []

    @abstractmethod
    def next_record(self) -> tuple[int, bytes | None, bytes | None]:
        """(partition, key, value) of the record that is sent next."""

    @abstractmethod
    def acknowledged_one(self, message: Message) -> None:
        """A record was acknowledged."""

    def run(self) -> None:
        """Sends until told to stop, then waits for every answer."""
        while not self._enough.is_set():
            if self._paused.is_set():
                self._producer.poll(0.01)
                if not len(self._producer):
                    self._idle.set()
                continue
            partition, key, value = self.next_record()
            while not self._accepted(partition, key, value):
                self._producer.poll(0.01)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0

    def _accepted(self, partition: int, key: bytes | None, value: bytes | None) -> bool:
        try:
            self._producer.produce(self._topic, value, key, partition=partition, on_delivery=self._delivered)
        except BufferError:
            return False
        return True

    def _delivered(self, error: object, message: Message) -> None:
        if error is not None:
            self.failures.append(error)
            return
        self.acknowledged_one(message)
        self.count += 1

    def wait_for_progress(self, records: int = 1) -> None:
        """Returns when so many more records have been acknowledged: the broker is under load."""
        wanted = self.count + records
        deadline = time.monotonic() + 60
        while self.count < wanted:
            assert time.monotonic() < deadline, "nothing was acknowledged for a minute"
            time.sleep(0.005)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Every record is acknowledged, or has failed, and none is sent."""
        self._idle.clear()
        self._paused.set()
        assert self._idle.wait(60), "records are on their way for a minute"
        yield
        self._paused.clear()

    def stop(self) -> None:
        """Ends the load; every record is acknowledged or has failed afterwards."""
        self._enough.set()
        self.join(timeout=90)
        assert not self.is_alive()
