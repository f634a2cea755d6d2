"""Signals that are heard although the event loop hangs, and an end that comes although a stop does not.

The interpreter writes the number of a signal into a pipe the moment it comes, whatever its threads do. One
of ours reads it: it hands the signal to the event loop, and from the first one that ends the run it watches
that the loop goes on turning. The stop itself bounds what it waits for (`fastlog.base.ending`); this here is
for a loop that turns no more, and for an interpreter that cannot end because a thread never comes back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final

from fastlog.cli.exit_codes import ExitCode

__all__ = ["Signals"]

_LOG: Final = logging.getLogger("fastlog.broker")
HANG_SECONDS: Final = 10.0
"""How long the event loop may stand still in a stop."""
LEAVE_SECONDS: Final = 5.0
"""How long the interpreter may take to end when the stop is over."""
_TICK_SECONDS: Final = 0.5


class Signals:
    """Made on the event loop, in the main thread. `handlers` are called on the loop.

    A signal of `ending` ends the run: the first one through its handler, the second at once.
    """

    def __init__(
        self, handlers: Mapping[signal.Signals, Callable[[], None]], ending: frozenset[signal.Signals]
    ) -> None:
        self._handlers = handlers
        self._ending = ending
        self._loop = asyncio.get_running_loop()
        self._asked = threading.Event()
        self._over = threading.Event()
        self._turns = 0
        self._code: int = ExitCode.UNCLEAN
        self._reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in handlers:
            signal.signal(number, _noted)
            signal.siginterrupt(number, False)
        threading.Thread(target=self._read, name="fastlog-signals", daemon=True).start()

    def end(self, code: int) -> None:
        """The stop is over, the process ends with `code`: by itself, or else by force."""
        self._code = code
        self._over.set()
        self._watch()

    def _read(self) -> None:
        while True:
            for number in os.read(self._reading, 16):
                self._on_signal(signal.Signals(number))

    def _on_signal(self, number: signal.Signals) -> None:
        handler = self._handlers.get(number)
        if handler is None:
            return
        if number in self._ending:
            if self._asked.is_set():
                _LOG.warning("%s again: ends at once, without flushing", number.name)
                _leave(128 + number)
            self._watch()
        self._call(handler)

    def _call(self, handler: Callable[[], None]) -> bool:
        """Has the loop call it. False when the loop is closed: the process is on its way out then."""
        try:
            self._loop.call_soon_threadsafe(handler)
        except RuntimeError:
            return False
        return True

    def _watch(self) -> None:
        if not self._asked.is_set():
            self._asked.set()
            threading.Thread(target=self._wait_for_the_end, name="fastlog-last-resort", daemon=True).start()

    def _turn(self) -> None:
        self._turns += 1

    def _wait_for_the_end(self) -> None:
        """Counts its own ticks: time in which the whole process was stopped is nobody's fault."""
        still, seen = 0, -1
        while not self._over.wait(_TICK_SECONDS):
            still = still + 1 if self._turns == seen else 0
            seen = self._turns
            if still * _TICK_SECONDS > HANG_SECONDS:
                _LOG.critical(
                    "the event loop has stood still for %.0f s: ends without flushing", HANG_SECONDS
                )
                _leave(ExitCode.UNCLEAN)
            if not still and not self._call(self._turn):
                break
        threading.Event().wait(LEAVE_SECONDS)
        _LOG.warning("a thread does not come back, the process ends without it")
        _leave(self._code)


def _noted(number: int, frame: object) -> None:
    """In place of what the signal would do by itself; the pipe has its number already."""


def _leave(code: int) -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(code)
