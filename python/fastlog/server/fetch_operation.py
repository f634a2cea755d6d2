"""One fetch from its first look at the logs to its answer; it may wait in the purgatory in between.

attempt: look at the partitions -> nothing to read: wait
                                -> take response memory -> read -> too little: wait
                                                                -> answer
wait:    an append makes enough readable -> attempt again;  time is up -> last attempt, which answers
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.native import FileResponse
from fastlog.replication.purgatory import Operation
from fastlog.server.errors import error_code_of
from fastlog.server.fetch_rows import FetchRows, build_rows, upper_offset
from fastlog.server.partitions import leader_endpoints

if TYPE_CHECKING:
    from fastlog.native.shapes import FetchResult
    from fastlog.replication.replica import PartitionKey
    from fastlog.server.context import BrokerServices
    from fastlog.server.exchange import Exchange
    from fastlog.server.fetch_partition import FetchPartition
    from fastlog.server.fetch_sessions import FetchContext

# What a response needs besides its records: reserved so that empty answers are counted too.
_OVERHEAD: Final = 4096


class FetchOperation(Operation):
    """A fetch request of a consumer."""

    __slots__ = (
        "_broker",
        "_context",
        "_exchange",
        "_isolation",
        "_max_bytes",
        "_min_bytes",
        "_reserved",
        "_version",
        "_wait_until",
        "_waiting",
    )

    early_end = True

    def __init__(
        self,
        broker: BrokerServices,
        exchange: Exchange,
        context: FetchContext,
        *,
        isolation: int,
        max_wait_ms: int,
        min_bytes: int,
        max_bytes: int,
    ) -> None:
        super().__init__()
        self._broker = broker
        self._exchange = exchange
        self._context = context
        self._version = exchange.api_version
        self._isolation = isolation
        self._max_bytes = max(0, min(max_bytes, broker.config.fetch_max_bytes))
        self._min_bytes = min(min_bytes, self._max_bytes)
        self._wait_until = broker.loop.time() + max_wait_ms / 1000
        self._waiting: dict[PartitionKey, tuple[FetchPartition, int]] = {}
        self._reserved = 0

    def start(self) -> None:
        """The first attempt."""
        self._attempt(last=self._context.error_code != 0 or self._min_bytes <= 0)

    # -- the wait --------------------

    def is_ready(self, key: PartitionKey) -> bool:
        """Whether enough is readable by now, or something ends the wait (leadership, truncation)."""
        entry, _ = self._waiting[key]
        replica = self._broker.replicas.find(key)
        if replica is None or replica.leader_error(entry.known_epoch):
            return True
        upper = upper_offset(replica, self._isolation)
        if upper < entry.fetch_offset and replica.log.log_end_offset < entry.fetch_offset:
            return True
        if upper <= entry.fetch_offset:
            return False
        if self._min_bytes <= 1:
            return True
        return self._readable_bytes() >= self._min_bytes

    def complete(self) -> None:
        """Enough is there."""
        self._attempt(last=False)

    def expire(self) -> None:
        """Time is up: answers with what there is."""
        self._attempt(last=True)

    def _readable_bytes(self) -> int:
        total = 0
        for key, (entry, _) in self._waiting.items():
            replica = self._broker.replicas.find(key)
            if replica is not None:
                upper = upper_offset(replica, self._isolation)
                if upper > entry.fetch_offset:
                    total += min(
                        replica.log.available_bytes(entry.fetch_offset, upper), max(entry.max_bytes, 0)
                    )
        return total

    def _has_moved(self) -> bool:
        """Whether something came while the records were being read: nobody would wake this fetch for it."""
        for key, (_, upper) in self._waiting.items():
            replica = self._broker.replicas.find(key)
            if replica is None or upper_offset(replica, self._isolation) != upper:
                return True
        return False

    # -- an attempt --------------------

    def _attempt(self, *, last: bool) -> None:
        if self._exchange.is_lost:
            return
        built = build_rows(self._broker, self._context, self._version, self._isolation)
        self._waiting = built.waiting
        last = last or built.must_answer or not built.rows
        if not last and not built.readable:
            self._wait()
            return
        wanted = min(built.wanted_bytes, self._max_bytes) + _OVERHEAD
        self._broker.response_memory.take(wanted, lambda granted: self._read(built, granted, last))

    def _wait(self) -> None:
        exchange = self._exchange
        if exchange.connection.is_finishing:
            self._attempt(last=True)
            return
        exchange.operation = self
        wait_ms = (self._wait_until - self._broker.loop.time()) * 1000
        self._broker.purgatory.park(self, self._waiting, wait_ms)

    def _read(self, built: FetchRows, granted: int, last: bool) -> None:
        exchange, context = self._exchange, self._context
        self._reserved = granted
        if exchange.is_lost:
            self._give_back()
            return
        context.prepare_answer()
        error_code = context.error_code
        if not context.still_valid():
            built, error_code = FetchRows(), ErrorCode.INVALID_FETCH_SESSION_EPOCH
        try:
            future = self._broker.io.fetch(
                self._version,
                exchange.correlation_id,
                built.rows,
                max_bytes=min(self._max_bytes, granted),
                min_bytes=0 if last else self._min_bytes,
                error_code=error_code,
                session_id=context.session_id,
                from_files=True,
                node_endpoints=leader_endpoints(self._broker, exchange.connection.listener, built.leaders)
                if built.leaders
                else (),
            )
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._fail(error)
            return
        future.add_done_callback(lambda done: self._on_read(built, done))

    def _on_read(self, built: FetchRows, done: asyncio.Future[FetchResult]) -> None:
        exchange = self._exchange
        error = done.exception()
        if error is not None:
            self._fail(error)
            return
        total, chunk, outcomes = done.result()
        if exchange.is_lost:
            self._give_back()
            return
        if chunk is None:
            self._give_back()
            if self._has_moved():
                self._attempt(last=False)
            else:
                self._wait()
            return
        self._note_sent(built, outcomes)
        in_memory = chunk.memory_bytes if isinstance(chunk, FileResponse) else len(chunk)
        self._broker.metrics.fetch_bytes += total
        surplus = self._reserved - in_memory
        if surplus > 0:
            self._reserved = in_memory
            self._broker.response_memory.give_back(surplus)
        exchange.on_sent = self._give_back
        exchange.reply(chunk if isinstance(chunk, FileResponse) else memoryview(chunk))

    def _note_sent(self, built: FetchRows, outcomes: list[tuple[int, int, int]]) -> None:
        context = self._context
        keys = list(context.partitions) if context.session is not None and context.still_valid() else None
        for row, error_code, size in outcomes:
            if keys is not None:
                facts = built.rows[row]
                context.sent(keys[row], error_code, facts[4], facts[6], size)
            if error_code:
                self._broker.metrics.error(self._exchange.api_key, error_code)

    def _give_back(self) -> None:
        reserved, self._reserved = self._reserved, 0
        if reserved:
            self._broker.response_memory.give_back(reserved)

    def _fail(self, error: BaseException) -> None:
        """A fetch that failed as a whole: nothing is known of its partitions, so the connection ends."""
        self._give_back()
        if not self._exchange.is_lost:
            self._exchange.close("failed request", f"FETCH: {error_code_of(error).name}: {error}")
