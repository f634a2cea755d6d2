"""The event loop behind a client that is not asynchronous: on a thread of its own, one for each client."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")

_STOP_SECONDS: Final = 5.0


class LoopThread:
    """A daemon thread that runs an event loop until `stop`. `what` names the client in error texts."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pid = os.getpid()
        self.loop: Final = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"fastlog {what}", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Runs a coroutine there and waits for it. Raises TimeoutError, and what it raises.

        RuntimeError in a child of a fork, when the thread has ended, and in the thread itself.
        """
        try:
            self.check()
            if self.is_here:
                raise RuntimeError(f"this would have the {self._what} wait for itself")
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            raise RuntimeError(f"the {self._what} was closed") from None
        except BaseException:
            future.cancel()
            raise

    def check(self) -> None:
        """Raises RuntimeError in a child of a fork, and when the thread has ended."""
        if os.getpid() != self._pid:
            raise RuntimeError(f"the {self._what} was made before a fork: make another one in this process")
        if self.loop.is_closed():
            raise RuntimeError(f"the {self._what} is closed")

    @property
    def is_here(self) -> bool:
        """Whether this is the thread."""
        return threading.get_ident() == self._thread.ident

    def stop(self) -> None:
        """Ends the thread. May be called more than once, from any thread."""
        if os.getpid() != self._pid or self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        if not self.is_here:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
