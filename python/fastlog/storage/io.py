"""Futures over the native I/O threads: submit a job, await its result, without a thread of our own.

`IoEngine` runs jobs on native threads and makes one file descriptor readable when results wait; the event
loop then fetches all of them in one call.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from fastlog.base.histogram import Histogram
from fastlog.base.tasks import Guard, Supervisor
from fastlog.errors import ErrorCode, FastlogError
from fastlog.native import (
    Chunk,
    FastlogNativeError,
    FetchedRows,
    FetchReply,
    FetchRowBuilder,
    FileResponse,
    IoEngine,
    Log,
    ProducePlan,
    Socket,
)
from fastlog.native.shapes import (
    AppendRow,
    FetchResult,
    FetchRow,
    NodeEndpoint,
    ProduceResult,
    ReplicateResult,
    ReplicateRow,
)
from fastlog.storage.room import RoomWatch

T = TypeVar("T")

_STORAGE_ERROR: Final = int(ErrorCode.KAFKA_STORAGE_ERROR)
_STORAGE_TROUBLE: Final = "storage"
LONGEST_JOB_SECONDS: Final = 30.0
"""A read or an append that takes longer than this is taken for one that never ends."""


class IoClosed(FastlogError):
    """The broker is stopping: the result of this job will not be heard of."""


class IoLoop:
    """Async face of one `IoEngine`. Made and used on one event loop; closed before the loop ends.

    `on_log_failure` is told each log that a job found to have failed for good (`Log.failure`).
    A caller that is cancelled leaves its job running; the result is dropped.
    """

    def __init__(
        self,
        engine: IoEngine,
        on_log_failure: Callable[[Log], None] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._engine = engine
        self._on_log_failure = on_log_failure
        self._guard = guard or Supervisor().guard("io-results")
        self._loop = asyncio.get_running_loop()
        self._tokens = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Sequence[Log | int]]] = {}
        # Those of them that only read.
        self._reads: set[int] = set()
        self._fileno = engine.fileno()
        self._settling: list[tuple[Log, bool, asyncio.Future[None]]] = []
        self._room: RoomWatch | None = None
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

    def set_room_hook(self, hook: Callable[[Path, bool], None]) -> None:
        """Sets who is told (directory, full): appends have found no room there, or find it again."""
        self._room = RoomWatch(self._loop.time, hook)

    def appended_at_once(self) -> None:
        """Something was appended without a job: there may be room again where there was none."""
        if self._room is not None and self._room.waiting:
            self._room.look()

    def forget(self, log: Log) -> None:
        """Nothing is appended to `log` any more: what is noted of it goes."""
        if self._room is not None:
            self._room.forget(log)

    def produce(
        self,
        plan: ProducePlan,
        targets: list[Log | int],
        leader_epochs: list[int],
        guards: dict[int, int] | None = None,
    ) -> asyncio.Future[list[ProduceResult]]:
        """Appends the rows of `plan`; the results come in row order, errors as codes in the rows. `guards`
        of transactional rows: see `IoEngine.produce`."""
        return self._submit(targets, self._engine.produce, plan, targets, leader_epochs, guards)

    def append(
        self, rows: list[AppendRow], *, timestamp_ms: int, codec: str
    ) -> asyncio.Future[list[ProduceResult]]:
        """Appends records of the broker's own, a batch for each row; results as those of `produce`."""
        logs = [row[0] for row in rows]
        return self._submit(logs, self._engine.append, rows, timestamp_ms=timestamp_ms, codec=codec)

    def replicate(self, reply: FetchReply, rows: list[ReplicateRow]) -> asyncio.Future[list[ReplicateResult]]:
        """Appends rows of a leader's answer as follower; results in the order of `rows`."""
        return self._submit([row[1] for row in rows], self._engine.replicate, reply, rows)

    def truncate(self, log: Log, offset: int, leader_epoch: int) -> asyncio.Future[int]:
        """Cuts the log of a follower, as `IoEngine.truncate` describes; the result is its end."""
        return self._submit([log], self._engine.truncate, log, offset, leader_epoch)

    def start_over(self, log: Log, offset: int, leader_epoch: int) -> asyncio.Future[int]:
        """Empties the log of a follower, which starts again at `offset`."""
        return self._submit([log], self._engine.start_over, log, offset, leader_epoch)

    def lead(self, log: Log, epoch: int) -> asyncio.Future[int]:
        """Begins a leadership at the end of the log, as `Log.lead` does; the result is its first offset."""
        return self._submit([log], self._engine.lead, log, epoch)

    def fence(self, log: Log, epoch: int) -> asyncio.Future[int]:
        """Ends older leaderships, as `Log.fence` does; the result is the end of the log."""
        return self._submit([log], self._engine.fence, log, epoch)

    def fetch(
        self,
        version: int,
        correlation_id: int,
        rows: list[FetchRow] | FetchRowBuilder,
        *,
        logs: list[Log] | None = None,
        max_bytes: int,
        min_bytes: int,
        throttle_ms: int = 0,
        error_code: int = 0,
        session_id: int = 0,
        node_endpoints: Sequence[NodeEndpoint] = (),
        hard_max_bytes: bool = False,
        from_files: bool = False,
    ) -> asyncio.Future[FetchResult]:
        """Reads rows and builds the response, as `IoEngine.fetch` describes. `logs` are those of the rows."""
        if logs is None:
            logs = (
                [] if isinstance(rows, FetchRowBuilder) else [row[11] for row in rows if row[11] is not None]
            )
        return self._submit(
            logs,
            self._engine.fetch,
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
            reads=True,
        )

    def row_builder(self) -> FetchRowBuilder:
        """For a fetch of many rows."""
        return FetchRowBuilder()

    def send(self, socket: Socket, response: FileResponse, start: int) -> asyncio.Future[int]:
        """Sends a part of a response, as `IoEngine.send` describes; the result is the position reached."""
        return self._submit((), self._engine.send, socket, response, start)

    def copy(self, response: FileResponse, start: int, most: int) -> asyncio.Future[Chunk]:
        """Reads a part of a response into memory, as `IoEngine.copy` describes."""
        return self._submit((), self._engine.copy, response, start, most)

    def flush(self, log: Log) -> asyncio.Future[int]:
        """Makes everything appended to `log` durable; the result is its recovery point."""
        return self._time_flush(self._submit([log], self._engine.flush, log))

    def commit(self, log: Log) -> asyncio.Future[int]:
        """Waits for the next group commit; the result is the end offset that it made durable."""
        return self._time_flush(self._submit([log], self._engine.commit, log))

    async def settled(
        self, log: Log, seconds: float = LONGEST_JOB_SECONDS, *, writes_only: bool = False
    ) -> None:
        """Waits until no job that was submitted touches `log` any more, whoever waits for those jobs.

        With `writes_only` reads go on. Raises TimeoutError when that takes more than `seconds`.
        """
        async with asyncio.timeout(seconds):
            # Whoever was told of a result may have submitted the next job before this is woken.
            while self._is_busy(log, writes_only):
                future: asyncio.Future[None] = self._loop.create_future()
                self._settling.append((log, writes_only, future))
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

    def _submit(
        self,
        logs: Sequence[Log | int],
        job: Callable[..., None],
        *args: Any,
        reads: bool = False,
        **kwargs: Any,
    ) -> asyncio.Future[Any]:
        """Hands a job over that touches `logs`, or only `reads` them; one that is refused leaves no wait."""
        if self._closed:
            raise IoClosed("the I/O threads have stopped")
        token = next(self._tokens)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[token] = (future, logs)
        if reads:
            self._reads.add(token)
        try:
            job(token, *args, **kwargs)
        except BaseException:
            del self._waiting[token]
            self._reads.discard(token)
            raise
        return future

    def _time_flush(self, future: asyncio.Future[int]) -> asyncio.Future[int]:
        began = self._loop.time()
        future.add_done_callback(lambda _: self.flush_seconds.observe(self._loop.time() - began))
        return future

    def _drain(self) -> None:
        for token, result in self._engine.drain():
            future, logs = self._waiting.pop(token)
            self._reads.discard(token)
            # What goes wrong over one result must not lose the others: they are handed out only once.
            try:
                self._take_notice(result, logs)
            except BaseException as error:  # noqa: BLE001 - logged and counted
                self._guard.failed(error)
            if future.done():
                continue
            if isinstance(result, FastlogNativeError):
                future.set_exception(result)
            else:
                future.set_result(result)
        if self._settling:
            self._tell_settled()

    def _take_notice(self, result: object, logs: Sequence[Log | int]) -> None:
        if isinstance(result, FastlogNativeError) or _has_storage_error(result):
            self._look_for_failures(logs)
        elif self._room is not None and self._room.waiting:
            self._room.look()

    def _is_busy(self, log: Log, writes_only: bool) -> bool:
        return any(
            log is other
            for token, (_, logs) in self._waiting.items()
            if not (writes_only and token in self._reads)
            for other in logs
        )

    def _tell_settled(self) -> None:
        waiting, self._settling = self._settling, []
        for log, writes_only, future in waiting:
            if self._is_busy(log, writes_only):
                self._settling.append((log, writes_only, future))
            elif not future.done():
                future.set_result(None)

    def _look_for_failures(self, logs: Sequence[Log | int]) -> None:
        for log in logs:
            if isinstance(log, int):
                continue
            if log.failure is not None:
                if self._on_log_failure is not None:
                    self._on_log_failure(log)
            elif self._room is not None and log.is_out_of_room:
                self._room.refused(log)


def _has_storage_error(result: object) -> bool:
    if isinstance(result, list):
        # Of a leader's append an error code, of a follower's a word.
        return any(row[0] == _STORAGE_ERROR or row[2] == _STORAGE_TROUBLE for row in result)
    if isinstance(result, tuple):
        outcomes = cast("FetchResult", result)[2]
        if isinstance(outcomes, FetchedRows):
            return outcomes.has_error(_STORAGE_ERROR)
        return any(row[1] == _STORAGE_ERROR for row in outcomes)
    return False
