"""Runs changes one at a time, each to its end, and comes back to what met an obstacle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from fastlog.base.tasks import Guard, Supervisor
from fastlog.coordination.store import StoreError
from fastlog.errors import ErrorCode, KafkaError

RETRY_SECONDS: Final = 15.0

T = TypeVar("T")


class SerialChanges:
    """A queue of changes. A caller that is cancelled while it waits does not stop its change half way."""

    def __init__(self, guard: Guard | None = None) -> None:
        self._guard = guard or Supervisor().guard("topic-changes")
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._retry: tuple[asyncio.TimerHandle, Callable[[], Coroutine[Any, Any, object]]] | None = None
        self._closed = False

    async def run(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs `change` after those before it. A StoreError becomes KafkaError(KAFKA_STORAGE_ERROR)."""

        async def in_turn() -> T:
            async with self._lock:
                try:
                    return await change()
                except StoreError as error:
                    raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error

        return await asyncio.shield(self._start(in_turn()))

    def retry_later(self, action: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Starts `action` after a while, unless one is waiting already."""
        if self._retry is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RETRY_SECONDS, self._start_retry, action), action

    async def close(self) -> None:
        """Waits for changes that are under way. What waits to be tried again is tried a last time."""
        self._closed = True
        if self._retry is not None:
            timer, action = self._retry
            timer.cancel()
            self._start_retry(action)
        while self._running:
            await asyncio.wait(self._running)

    def _start_retry(self, action: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._retry = None

        def look(task: asyncio.Task[object]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                # `action` itself asks to be tried again for what it expects.
                self._guard.failed(error)
                self.retry_later(action)

        self._start(action()).add_done_callback(look)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # When the caller is gone nobody else looks at the outcome.
            task.exception()
