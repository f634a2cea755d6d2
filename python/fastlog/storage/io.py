"""Futures over the native I/O threads: submit a job, await its result, without a thread of our own.

`IoEngine` runs jobs on native threads and makes one file descriptor readable when results wait; the event
loop then fetches all of them in one call.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

from fastlog.errors import ErrorCode, FastlogError
from fastlog.histogram import Histogram
from fastlog.native import FastlogNativeError, FileResponse, IoEngine, Log, ProducePlan, Socket
from fastlog.native.shapes import FetchResult, FetchRow, NodeEndpoint, ProduceResult

T = TypeVar("T")

_STORAGE_ERROR: Final = int(ErrorCode.KAFKA_STORAGE_ERROR)


class IoClosed(FastlogError):
    """The broker is stopping: the result of this job will not be heard of."""


class IoLoop:
    """Async face of one `IoEngine`. Made and used on one event loop; closed before the loop ends.

    `on_log_failure` is told each log that a job found to have failed for good (`Log.failure`).
    A caller that is cancelled leaves its job running; the result is dropped.
    """

    def __init__(self, engine: IoEngine, on_log_failure: Callable[[Log], None] | None = None) -> None:
        self._engine = engine
        self._on_log_failure = on_log_failure
        self._loop = asyncio.get_running_loop()
        self._tokens = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Sequence[Log | int]]] = {}
        self._fileno = engine.fileno()
        self._settling: list[tuple[Log, asyncio.Future[None]]] = []
        self._closed = False
        self.flush_seconds: Final = Histogram()
        """Times of flushes and group commits, from the request to the result on the loop."""
        self._loop.add_reader(self._fileno, self._drain)

    @property
    def pending(self) -> int:
        """Jobs whose results have not come yet."""
        return len(self._waiting)

    def set_failure_hook(self, hook: Callable[[Log], None]) -> None:
        """Sets who is told of failed logs."""
        self._on_log_failure = hook

    def produce(
        self, plan: ProducePlan, targets: list[Log | int], leader_epochs: list[int]
    ) -> asyncio.Future[list[ProduceResult]]:
        """Appends the rows of `plan`; the results come in row order, errors as codes in the rows."""
        token, future = self._expect(targets)
        self._engine.produce(token, plan, targets, leader_epochs)
        return future

    def fetch(
        self,
        version: int,
        correlation_id: int,
        rows: list[FetchRow],
        *,
        max_bytes: int,
        min_bytes: int,
        throttle_ms: int = 0,
        error_code: int = 0,
        session_id: int = 0,
        node_endpoints: Sequence[NodeEndpoint] = (),
        hard_max_bytes: bool = False,
        from_files: bool = False,
    ) -> asyncio.Future[FetchResult]:
        """Reads rows and builds the response, as `IoEngine.fetch` describes."""
        token, future = self._expect([row[11] for row in rows if row[11] is not None])
        self._engine.fetch(
            token,
            version,
            correlation_id,
            rows,
            max_bytes=max_bytes,
            min_bytes=min_bytes,
            throttle_ms=throttle_ms,
            error_code=error_code,
            session_id=session_id,
            node_endpoints=list(node_endpoints),
            hard_max_bytes=hard_max_bytes,
            from_files=from_files,
        )
        return future

    def send(self, socket: Socket, response: FileResponse, start: int) -> asyncio.Future[int]:
        """Sends a part of a response, as `IoEngine.send` describes; the result is the position reached."""
        token, future = self._expect(())
        self._engine.send(token, socket, response, start)
        return future

    def flush(self, log: Log) -> asyncio.Future[int]:
        """Makes everything appended to `log` durable; the result is its recovery point."""
        token, future = self._expect([log])
        self._engine.flush(token, log)
        self._time_flush(future)
        return future

    def commit(self, log: Log) -> asyncio.Future[int]:
        """Waits for the next group commit; the result is the end offset that it made durable."""
        token, future = self._expect([log])
        self._engine.commit(token, log)
        self._time_flush(future)
        return future

    async def settled(self, log: Log) -> None:
        """Waits until no job that was submitted touches `log` any more, whoever waits for those jobs."""
        if self._is_busy(log):
            future: asyncio.Future[None] = self._loop.create_future()
            self._settling.append((log, future))
            await future

    async def close(self) -> None:
        """Lets submitted jobs finish, hands out their results, and stops the threads."""
        if self._closed:
            return
        self._closed = True
        # The engine joins its threads here: a thread of our own waits for that, the loop does not.
        await asyncio.to_thread(self._engine.close)
        self._drain()
        self._loop.remove_reader(self._fileno)
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(IoClosed("the I/O threads have stopped"))
        self._waiting.clear()
        self._tell_settled()

    def _expect(self, logs: Sequence[Log | int]) -> tuple[int, asyncio.Future[Any]]:
        if self._closed:
            raise IoClosed("the I/O threads have stopped")
        token = next(self._tokens)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[token] = (future, logs)
        return token, future

    def _time_flush(self, future: asyncio.Future[int]) -> None:
        began = self._loop.time()
        future.add_done_callback(lambda _: self.flush_seconds.observe(self._loop.time() - began))

    def _drain(self) -> None:
        for token, result in self._engine.drain():
            future, logs = self._waiting.pop(token)
            if isinstance(result, FastlogNativeError):
                self._look_for_failures(logs)
                if not future.done():
                    future.set_exception(result)
                continue
            if _has_storage_error(result):
                self._look_for_failures(logs)
            if not future.done():
                future.set_result(result)
        if self._settling:
            self._tell_settled()

    def _is_busy(self, log: Log) -> bool:
        return any(log is other for _, logs in self._waiting.values() for other in logs)

    def _tell_settled(self) -> None:
        waiting, self._settling = self._settling, []
        for log, future in waiting:
            if self._is_busy(log):
                self._settling.append((log, future))
            elif not future.done():
                future.set_result(None)

    def _look_for_failures(self, logs: Sequence[Log | int]) -> None:
        if self._on_log_failure is None:
            return
        for log in logs:
            if not isinstance(log, int) and log.failure is not None:
                self._on_log_failure(log)


def _has_storage_error(result: object) -> bool:
    if isinstance(result, list):
        return any(row[0] == _STORAGE_ERROR for row in cast("list[ProduceResult]", result))
    if isinstance(result, tuple):
        return any(row[1] == _STORAGE_ERROR for row in cast("FetchResult", result)[2])
    return False
