"""A broker under test as a process of its own: it can be killed, frozen, thawed and started again."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastlog.testing.broker import KafkaBroker
from fastlog.testing.child import Child, ChildDied, tail
from fastlog.testing.settings import broker_arguments

__all__ = ["BrokerProcess"]

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 40.0
_MOVE_SECONDS: Final = 40.0


class BrokerProcess(KafkaBroker):
    """`fastlog-broker` as it is. It ends with the process that made it, also when that one is killed.

    All of it may be used from any thread, one at a time.
    """

    def __init__(self, directory: Path, settings: Mapping[str, object] | None = None) -> None:
        super().__init__(directory, settings)
        self._child: Child | None = None
        self._starting: tuple[Child, int] | None = None
        self._is_frozen = False

    @property
    def pid(self) -> int:
        """The number of its process. Raises RuntimeError when it does not run."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self._child is not None and self._child.is_alive

    @property
    def is_frozen(self) -> bool:
        """Whether it was frozen and not thawed since."""
        return self._is_frozen and self.is_running

    @property
    def data_dir(self) -> Path:
        """Where its logs are."""
        return self.directory / "data"

    @property
    def log_file(self) -> Path:
        """What it says."""
        return self.directory / "broker.log"

    @property
    def log_text(self) -> str:
        """All that it has said, in all its lives."""
        return tail(self.log_file, None)

    def start(self) -> None:
        """See `KafkaBroker.start`."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Begins to start it; `wait_ready` returns when it serves. Several may be launched at a time."""
        if self.is_running:
            raise RuntimeError("the broker runs already")
        self._let_go()
        self.directory.mkdir(parents=True, exist_ok=True)
        child = self._child = Child()
        arguments = broker_arguments(self._all_settings(self.data_dir))
        number = child.send(
            "broker", arguments=arguments, log=str(self.log_file), ahead_ms=self.clock.ahead_ms
        )
        self._starting = child, number

    def wait_ready(self, timeout: float = _START_SECONDS) -> None:
        """Returns when a launched broker serves clients. Raises RuntimeError when it does not."""
        if self._starting is None:
            raise RuntimeError("the broker was not launched")
        child, number = self._starting
        self._starting = None
        try:
            child.wait(number, timeout)
        except (ChildDied, TimeoutError) as error:
            self._end()
            raise RuntimeError(f"the broker did not start: {error}\n{tail(self.log_file)}") from None

    def stop(self, timeout: float = _STOP_SECONDS) -> bool:
        """SIGTERM, and waits for the end; whether its logs are marked clean. A frozen one is thawed."""
        child = self._running()
        self.thaw()
        code = child.end(signal.SIGTERM, timeout)
        self._child = None
        return code == 0

    def kill(self) -> None:
        """kill -9: nothing is flushed, nobody is told. Its data is what a crash leaves."""
        self._running().end()
        self._child = None
        self._is_frozen = False

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing is answered, as on a machine that hangs."""
        self._running().deliver(signal.SIGSTOP)
        self._is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was. Nothing for one that is not frozen."""
        if self._is_frozen:
            self._running().deliver(signal.SIGCONT)
            self._is_frozen = False

    def _move_clock(self, milliseconds: int) -> bool:
        if self._is_frozen:
            raise RuntimeError("the broker is frozen, and its clock with it")
        if not self.is_running:
            # As if it had been switched off for so long: its next start is at that time.
            return True
        answer = self._running().ask("advance", _MOVE_SECONDS, milliseconds=milliseconds)
        if "failed" in answer:
            raise RuntimeError(f"the broker's clock could not be moved: {answer['failed']}")
        return bool(answer["done"])

    def _running(self) -> Child:
        if self._child is None or not self._child.is_alive:
            raise RuntimeError("the broker does not run")
        return self._child

    def _end(self) -> None:
        self._let_go()
        self._is_frozen = False

    def _let_go(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
