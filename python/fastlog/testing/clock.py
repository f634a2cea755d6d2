"""The clock of brokers under test, as a test moves it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["BrokerClock"]

_MS = timedelta(milliseconds=1)


class BrokerClock:
    """The time of a broker's data. It goes on as time does, and further when it is told to.

    `kafka_broker.clock.advance(days=8)` returns when what had waited for that moment is done: retention and
    compaction, sessions and time-outs of groups and their offsets, transactions that were open for too long,
    ids that nobody uses. Clients live in the time of the machine: a consumer that is alive is
    out of its group after a move beyond its session time-out, as if it had hung for so long, and records that
    are written afterwards have the client's time unless the topic has `message.timestamp.type=LogAppendTime`.
    """

    def __init__(self, move: Callable[[int], bool]) -> None:
        self._move = move
        self._ahead_ms = 0

    @property
    def ahead(self) -> timedelta:
        """By how much it is ahead of the machine's."""
        return self._ahead_ms * _MS

    @property
    def ahead_ms(self) -> int:
        """The same in milliseconds."""
        return self._ahead_ms

    def now_ms(self) -> int:
        """Its time in milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000 + self._ahead_ms

    def now(self) -> datetime:
        """Its time, in UTC."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    def advance(
        self,
        by: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> None:
        """Moves on by the sum of these, and waits for what is due then.

        A broker that does not run starts at that time. Raises ValueError for a step back, RuntimeError when
        the broker is frozen, and TimeoutError when it does not get through with what is due (20 seconds); it
        goes on with that.
        """
        more = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
        step = (by + more) // _MS
        if step < 0:
            raise ValueError("time does not go back")
        in_time = self._move(step)
        self._ahead_ms += step
        if not in_time:
            raise TimeoutError("the broker has not done yet what became due")
