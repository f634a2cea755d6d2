"""The one thread in which this process runs what is asynchronous about tests: proxies, fixtures' requests."""

from __future__ import annotations

import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastlog.client.loop_thread import LoopThread

__all__ = ["close", "run", "thread"]

T = TypeVar("T")

_lock = threading.Lock()
_running: tuple[int, LoopThread] | None = None


def thread() -> LoopThread:
    """The thread of this process; made when there is none yet, and anew in a child of a fork."""
    global _running
    with _lock:
        if _running is None or _running[0] != os.getpid() or _running[1].loop.is_closed():
            _running = os.getpid(), LoopThread("helper of tests")
        return _running[1]


def run(work: Coroutine[Any, Any, T], timeout: float | None = 60) -> T:
    """Runs a coroutine there and waits for it: also where an event loop runs already, as in async tests."""
    return thread().run(work, timeout)


def close() -> None:
    """Ends the thread; the next call of `run` starts another one."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is not None and running[0] == os.getpid():
        running[1].stop()
