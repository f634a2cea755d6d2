"""Numbers that go into a topic at a steady rate, beside what a test does meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Producer

from tests.compat.exactly_once import Committed
from tests.harness.waiting import wait_until

_STEP: Final = 100


class Feeder:
    """Sends "0", "1", ... each once, over kills of the broker, `rate` a second.

    Leaving the context waits for all of them. `begin` is the first number.
    """

    def __init__(
        self, bootstrap: str, topic: str, count: int, *, rate: int, begin: int = 0, keyed: bool = False
    ) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 2}
        )
        self._topic, self._numbers, self._rate, self._keyed = topic, range(begin, count), rate, keyed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._left = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._ending.set()
        self._thread.join(120)
        assert error is not None or self._left == 0, f"{self._left} of {self._topic} were not taken"

    def _feed(self) -> None:
        for first in range(0, len(self._numbers), _STEP):
            for number in self._numbers[first : first + _STEP]:
                key = b"%d" % (number % 100) if self._keyed else None
                self._producer.produce(self._topic, b"%d" % number, key=key)
            self._producer.poll(0)
            if self._ending.wait(_STEP / self._rate):
                return
        self._left = self._producer.flush(90)


class Output:
    """The different values that have come out of a tool."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._committed = Committed(bootstrap, topic, partitions)

    def different(self) -> int:
        """How many there are so far."""
        self._committed.follow()
        return len(set(self._values()))

    def _values(self) -> Sequence[str]:
        return [(value or b"").decode() for part in self._committed.found for _, value in part]

    def wait(self, count: int, progress: Callable[[], str], *, seconds: float = 240) -> None:
        """Until there are so many."""
        wait_until(
            lambda: self.different() >= count,
            lambda: f"{count - self.different()} missing of {count}\n{progress()}",
            seconds=seconds,
            pause=0.02,
        )

    def close(self) -> list[str]:
        """All of them, and again where they are there again."""
        self._committed.close()
        return list(self._values())


def numbers(count: int) -> list[str]:
    """What a `Feeder` sends."""
    return [str(number) for number in range(count)]
