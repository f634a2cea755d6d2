"""The producer of a run: unique numbers over all partitions, all the time, and what was acknowledged."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Message, Producer

from tests.chaos.checker import Position

DELIVERY_TIMEOUT_MS = 120_000


class Load:
    """Sends `rate` records a second from a thread, from `start` to `stop`."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, rate: int) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 20,
                "message.timeout.ms": DELIVERY_TIMEOUT_MS,
                "reconnect.backoff.max.ms": 500,
                "log_level": 2,
            }
        )
        self._topic, self._partitions, self._rate = topic, partitions, rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.sent = 0
        self.acknowledged: dict[Position, int] = {}
        self.failures: list[str] = []

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def stop(self) -> None:
        """Sends no more, and waits for all answers."""
        self._ended.set()
        self._thread.join()
        left = self._producer.flush(DELIVERY_TIMEOUT_MS / 1000)
        if left:
            self.failures.append(f"{left} records have no answer")

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ended.is_set():
            wanted = int((time.monotonic() - began) * self._rate)
            while self.sent < wanted:
                self._producer.produce(
                    self._topic,
                    str(self.sent).encode(),
                    partition=self.sent % self._partitions,
                    on_delivery=self._on_delivery,
                )
                self.sent += 1
            self._producer.poll(0.02)

    def _on_delivery(self, error: object, message: Message) -> None:
        if error is not None:
            self.failures.append(str(error))
            return
        partition, offset, value = message.partition(), message.offset(), message.value()
        assert partition is not None and offset is not None and value is not None
        self.acknowledged[partition, offset] = int(value)
