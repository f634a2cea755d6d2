"""A broker under test in a thread of this process: a few milliseconds for suites of many small tests."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.testing.broker import KafkaBroker

if TYPE_CHECKING:
    from fastlog.client.loop_thread import LoopThread
    from fastlog.native.moving_clock import MovingClock
    from fastlog.server.broker import Broker

__all__ = ["BrokerThread"]

_SECONDS: Final = 60.0


class BrokerThread(KafkaBroker):
    """The same broker, without a process: it shares the interpreter's lock with the tests.

    So it cannot be killed or frozen; what the tests' process does by itself (an alarm, a fork) is its lot,
    too. What it logs is in the log of the tests.
    """

    def __init__(self, directory: Path, settings: Mapping[str, object] | None = None) -> None:
        super().__init__(directory, settings)
        self._thread: LoopThread | None = None
        self._broker: Broker | None = None
        self._time: MovingClock | None = None
        self._lines: list[str] = []
        self._lost: list[str] = []

    @property
    def is_running(self) -> bool:
        """Whether it serves clients."""
        return self._broker is not None

    @property
    def log_text(self) -> str:
        """Why it has failed, if it has: lines are in the log of the tests (`caplog`)."""
        return "\n".join(self._lost)

    def start(self) -> None:
        """See `KafkaBroker.start`."""
        from fastlog.client.loop_thread import LoopThread
        from fastlog.config import BrokerConfig, Flag, load_settings
        from fastlog.native.moving_clock import MovingClock
        from fastlog.server.broker import Broker

        if self._broker is not None:
            raise RuntimeError("the broker runs already")
        settings = self._all_settings(self.directory / "data")
        config = BrokerConfig.from_settings(
            load_settings(flags=[Flag(name, text) for name, text in settings.items()])
        )
        clock = MovingClock(self.clock.ahead_ms)
        thread = LoopThread("broker under test")
        broker = Broker(config, clock, on_all_directories_failed=self._lost.append)
        try:
            thread.run(broker.start(), _SECONDS)
        except BaseException as error:
            thread.stop()
            if isinstance(error, Exception):
                raise RuntimeError(f"the broker did not start: {error}") from error
            raise
        self._thread, self._broker, self._time = thread, broker, clock

    def stop(self) -> bool:
        """See `KafkaBroker.stop`."""
        thread, broker = self._thread, self._broker
        if thread is None or broker is None:
            raise RuntimeError("the broker does not run")
        self._thread = self._broker = self._time = None
        try:
            return thread.run(broker.stop(), _SECONDS)
        finally:
            thread.stop()

    def kill(self) -> None:
        """Raises RuntimeError: the tests would be killed with it."""
        raise RuntimeError("a broker in a thread cannot be killed: use kafka_broker, which is a process")

    freeze = thaw = kill

    def _end(self) -> None:
        if self._broker is not None:
            self.stop()

    def _move_clock(self, milliseconds: int) -> bool:
        from fastlog.testing.moved import move

        if self._thread is None or self._broker is None or self._time is None:
            # As if it had been switched off for so long: its next start is at that time.
            return True
        return self._thread.run(move(self._broker, self._time, milliseconds), _SECONDS)


logging.getLogger("fastlog").addHandler(logging.NullHandler())
