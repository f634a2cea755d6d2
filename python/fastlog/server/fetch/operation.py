"""One fetch from its first look at the logs to its answer; it may wait in the purgatory in between.

attempt: look at the partitions that are due -> nothing to read: wait
                                             -> take response memory -> read -> too little: wait
                                                                             -> answer
wait:    a partition moves, enough is readable -> attempt again;  time is up -> last attempt, which answers

`FetchInterest` says which partitions are due, and which have moved. A look at many takes several turns of the
event loop, and a read takes its time: what moves meanwhile is found when the operation is about to wait.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError, FileResponse
from fastlog.replication.purgatory import Operation
from fastlog.server.fetch.rows import (
    PARTITIONS_PER_STEP,
    FetchRows,
    FetchTerms,
    build_rows,
    build_rows_in_steps,
    divergence,
    is_held,
    problem,
    readable_end,
)
from fastlog.server.requests.error_answers import error_code_of
from fastlog.server.requests.replica_lookup import leader_endpoints
from fastlog.server.requests.turns import Abandoned, Pace
from fastlog.wire import encode_response
from fastlog.wire.messages.fetch import FetchResponse

if TYPE_CHECKING:
    from fastlog.native import Chunk, FetchedRows
    from fastlog.native.shapes import FetchResult
    from fastlog.replication.partition import PartitionKey
    from fastlog.server.fetch.fetch_context import FetchContext
    from fastlog.server.fetch.fetched_partition import FetchPartition
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.requests.context import BrokerServices

_LOG: Final = logging.getLogger(__name__)
# What a response needs besides its records: reserved so that empty answers are counted too.
_OVERHEAD: Final = 4096
_LENGTH_PREFIX: Final = 4


class FetchOperation(Operation):
    """A fetch request of a consumer or a follower."""

    __slots__ = (
        "_broker",
        "_context",
        "_exchange",
        "_has_looked",
        "_max_bytes",
        "_min_bytes",
        "_readable",
        "_readable_bytes",
        "_reading",
        "_reserved",
        "_room",
        "_terms",
        "_wait_until",
        "_wants_more",
    )

    early_end = True

    def __init__(
        self,
        broker: BrokerServices,
        exchange: Exchange,
        context: FetchContext,
        *,
        terms: FetchTerms,
        max_wait_ms: int,
        min_bytes: int,
        max_bytes: int,
    ) -> None:
        super().__init__()
        self._broker = broker
        self._exchange = exchange
        self._context = context
        self._terms = terms
        self._max_bytes = max(0, min(max_bytes, broker.config.fetch_max_bytes))
        if exchange.meter is not None and not terms.is_follower:
            self._max_bytes = min(self._max_bytes, exchange.meter.most_fetched())
        self._min_bytes = min(min_bytes, self._max_bytes)
        self._wait_until = broker.loop.time() + max_wait_ms / 1000
        expires_at = exchange.session.expires_at
        if expires_at is not None:
            # What is written later is not for who has not shown again by then who it is.
            self._wait_until = min(self._wait_until, expires_at)
        self._has_looked = False
        # Whether it may wait although something is readable.
        self._wants_more = self._min_bytes > 1
        # What is readable while it waits, by partition as far as there is any, and in all.
        self._readable: dict[FetchPartition, int] = {}
        self._readable_bytes = 0
        self._reserved = 0
        self._room = 0
        """Its place among those who wait for response memory."""
        self._reading = False

    def start(self) -> None:
        """The first attempt."""
        self._context.read_as(self._terms, self._broker.replicas.now_ms() if self._terms.is_follower else 0)
        self._attempt(last=self._min_bytes <= 0)

    # -- the wait --------------------

    def is_ready(self, key: PartitionKey) -> bool:
        """Whether enough is readable by now, or something ends the wait (leadership, truncation)."""
        moved = self._context.partitions.take_moved()
        return any(self._ends_wait(entry) for entry in moved)

    def _ends_wait(self, entry: FetchPartition) -> bool:
        """Whether the next attempt is to come now that this partition has moved."""
        replica = None if entry.found is None else self._broker.replicas.find(entry.found)
        if replica is None or problem(replica, entry, self._terms):
            return True
        upper = readable_end(replica, self._terms)
        readable = upper > entry.fetch_offset and not is_held(self._broker, replica, self._terms.replica)
        if readable and self._min_bytes <= 1:
            return True
        try:
            if divergence(replica, entry) is not None:
                return True
            if not readable:
                return False
            # In an older segment nothing is added: the bytes that are left there are the answer, as in Kafka.
            if replica.log.spans_segments(entry.fetch_offset, upper):
                return True
            size = replica.log.available_bytes(entry.fetch_offset, upper)
            if size is None:
                # Only the disk knows: the next attempt asks it, on an I/O thread.
                return True
            self._count_readable(entry, size)
        except FastlogNativeError:
            # The next attempt tells which partition it is.
            return True
        return self._readable_bytes >= self._min_bytes

    def complete(self) -> None:
        """Enough is there."""
        self._attempt(last=False)

    def expire(self) -> None:
        """Time is up: answers with what there is."""
        self._attempt(last=True)

    def failed(self, error: BaseException) -> None:
        """The wait ended in a defect."""
        self._fail(error)

    def _count_readable(self, entry: FetchPartition, size: int) -> None:
        size = min(size, max(entry.max_bytes, 0))
        self._readable_bytes += size - self._readable.get(entry, 0)
        self._readable[entry] = size

    # -- an attempt --------------------

    def _attempt(self, *, last: bool) -> None:
        try:
            self._look(last)
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._fail(error)

    def _look(self, last: bool) -> None:
        context = self._context
        if self._exchange.is_lost:
            context.end()
            return
        if context.answer_error:
            # There is nothing to look at.
            self._decide(FetchRows(), last=True)
            return
        due = context.due()
        if len(due) > PARTITIONS_PER_STEP:
            self._broker.turns.start(self._attempt_in_turns(last))
            return
        built = build_rows(self._broker, context, due, self._terms, watch_readable=self._wants_more)
        self._decide(built, last)

    async def _attempt_in_turns(self, last: bool) -> None:
        try:
            # One record may have woken thousands.
            pace = Pace(self._broker.turns, self._exchange, at_once=not self.waited)
            steps = build_rows_in_steps(
                self._broker, self._context, self._terms, watch_readable=self._wants_more
            )
            await pace.pause()
            built = await pace.run(steps)
            # Partitions that move all the time must not keep the answer from going out.
            self._decide(built, last or self._broker.loop.time() >= self._wait_until)
        except Abandoned:
            self._abandon()
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._fail(error)

    def _decide(self, built: FetchRows, last: bool) -> None:
        """Reads, or waits when there is nothing to read."""
        if self._terms.may is not None:
            self._terms.may.tell()
        # One that it waited for and that is gone now is news; one that was never there is not.
        gone, self._has_looked = built.gone and self._has_looked, True
        last = last or built.must_answer or gone or not built.waits
        if not last and not built.readable:
            self._wait_unless_moved({})
            return
        wanted = min(built.wanted_bytes, self._max_bytes) + _OVERHEAD
        # From here on memory may be held, or waited for: whatever ends the exchange ends that.
        self._exchange.on_sent = self._end
        memory = self._broker.response_memory
        self._room = memory.take(wanted, lambda granted: self._read(built, granted, last))

    def _wait_unless_moved(self, readable: dict[FetchPartition, int]) -> None:
        """Waits for more than the bytes that are readable by now."""
        context = self._context
        if context.partitions.moved and context.still_valid():
            # Nobody would wake this fetch for that; what moves all the time must not keep the answer back.
            self._attempt(last=self._broker.loop.time() >= self._wait_until)
        else:
            self._wait(readable)

    def _wait(self, readable: dict[FetchPartition, int]) -> None:
        exchange = self._exchange
        if exchange.is_finishing:
            self._attempt(last=True)
            return
        if not self._context.hold(self._end_wait, self._nudge):
            self._attempt(last=True)
            return
        exchange.operation = self
        exchange.on_sent = self._end
        exchange.release()
        self._readable = readable
        self._readable_bytes = sum(readable.values())
        wait_ms = (self._wait_until - self._broker.loop.time()) * 1000
        # It is nudged by what it fetches: there may be thousands of partitions, and most of them never move.
        self._broker.purgatory.park(self, (), wait_ms)

    def _nudge(self, key: PartitionKey) -> None:
        self._broker.purgatory.nudge(self, key)

    def _end_wait(self) -> None:
        self._broker.purgatory.end_early(self)

    def _read(self, built: FetchRows, granted: int, last: bool) -> None:
        self._reserved = granted
        self._reading = True
        try:
            self._submit(built, last)
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._fail(error)

    def _submit(self, built: FetchRows, last: bool) -> None:
        exchange, context = self._exchange, self._context
        if exchange.is_lost:
            self._reading = False
            self._end()
            return
        context.prepare_answer()
        error_code = context.answer_error
        if error_code:
            built = FetchRows()
        future = self._broker.io.fetch(
            self._terms.version,
            exchange.correlation_id,
            built.rows if built.builder is None else built.builder,
            logs=built.logs,
            max_bytes=min(self._max_bytes, self._reserved),
            min_bytes=0 if last else self._min_bytes,
            error_code=error_code,
            session_id=context.session_id,
            from_files=True,
            node_endpoints=leader_endpoints(self._broker, exchange.session.listener.name, built.leaders)
            if built.leaders
            else (),
        )
        future.add_done_callback(lambda done: self._on_read(built, error_code, done))

    def _on_read(self, built: FetchRows, error_code: int, done: asyncio.Future[FetchResult]) -> None:
        try:
            total, chunk, outcomes = done.result()
            if chunk is not None and self._exchange.meter is not None and self._is_throttled(len(chunk)):
                return
            if not isinstance(outcomes, list):
                self._broker.turns.start(self._take_in_turns(built, error_code, total, chunk, outcomes))
                return
            self._reading = False
            if chunk is not None and not self._exchange.is_lost:
                self._note_sent(built, outcomes)
            self._take_in(error_code, total, chunk, _readable(built, outcomes) if chunk is None else {})
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._fail(error)

    def _is_throttled(self, size: int) -> bool:
        """Whether the client has to wait: what was read is dropped, and the answer has nothing (KIP-219).

        A session is not begun with it, and one that there is has told nothing: all of it comes later.
        """
        exchange, context = self._exchange, self._context
        if exchange.is_lost or exchange.meter is None or self._terms.is_follower:
            return False
        wait = exchange.meter.fetched(size - _LENGTH_PREFIX, self.waited)
        if not wait:
            return False
        self._reading = False
        context.take_back_answer()
        answer = FetchResponse(
            throttle_time_ms=wait, error_code=int(context.answer_error), session_id=context.session_id
        )
        exchange.throttle(wait)
        encoded = encode_response(answer, self._terms.version, exchange.correlation_id)
        context.end()
        exchange.reply(encoded)
        return True

    async def _take_in_turns(
        self,
        built: FetchRows,
        error_code: int,
        total: int,
        chunk: Chunk | FileResponse | None,
        outcomes: FetchedRows,
    ) -> None:
        """Until it is over the memory of the answer is not given back (`_reading`)."""
        readable: dict[FetchPartition, int] = {}
        try:
            pace = Pace(self._broker.turns, self._exchange)
            for start in range(0, len(outcomes), PARTITIONS_PER_STEP):
                await pace.pause()
                some = outcomes.part(start, start + PARTITIONS_PER_STEP)
                if chunk is None:
                    readable |= _readable(built, some)
                else:
                    self._note_sent(built, some)
            if chunk is not None:
                await pace.run(self._context.end_in_steps())
            self._reading = False
            self._take_in(error_code, total, chunk, readable)
        except Abandoned:
            self._abandon()
        except Exception as error:  # noqa: BLE001 - the connection must not hang
            self._fail(error)

    def _take_in(
        self,
        error_code: int,
        total: int,
        chunk: Chunk | FileResponse | None,
        readable: dict[FetchPartition, int],
    ) -> None:
        """Answers with what was read, or waits when that is too little."""
        exchange = self._exchange
        if exchange.is_lost:
            self._give_back()
            return
        if chunk is None:
            self._give_back()
            if not self._wants_more:
                # Nothing of what seemed to be readable was: it has not been watched.
                self._wants_more = True
                self._attempt(last=False)
                return
            self._wait_unless_moved(readable)
            return
        if error_code:
            self._broker.metrics.error(exchange.api_key, int(error_code))
        in_memory = chunk.memory_bytes if isinstance(chunk, FileResponse) else len(chunk)
        self._broker.metrics.fetch_bytes += total
        surplus = self._reserved - in_memory
        if surplus > 0:
            self._reserved = in_memory
            self._broker.response_memory.give_back(surplus)
        self._context.end()
        exchange.reply(chunk if isinstance(chunk, FileResponse) else memoryview(chunk))

    def _note_sent(self, built: FetchRows, outcomes: list[tuple[int, int, int]]) -> None:
        context = self._context
        if self._terms.is_follower:
            self._count_throttled(built, outcomes)
        notes = context.session is not None and context.still_valid()
        for row, error_code, size in outcomes:
            if notes:
                facts = built.rows[row]
                context.sent(built.entries[row], error_code, facts[4], facts[6], size)
            if error_code:
                self._broker.metrics.error(self._exchange.api_key, error_code)

    def _count_throttled(self, built: FetchRows, outcomes: list[tuple[int, int, int]]) -> None:
        """What a follower gets of throttled partitions counts, whether it is in sync or not."""
        throttle = self._broker.replicas.leader_throttle
        if throttle is None:
            return
        size = sum(
            size
            for row, _, size in outcomes
            if size and throttle.covers((built.rows[row][0], built.rows[row][2]))
        )
        if size:
            throttle.sent(size)

    def _abandon(self) -> None:
        self._reading = False
        self._end()
        if not self._exchange.is_lost:
            self._exchange.close("shutdown")

    def _end(self) -> None:
        """The answer is sent, or nobody waits for it any more."""
        self._broker.response_memory.forget(self._room)
        self._context.end()
        if not self._reading:
            # Otherwise the I/O thread still fills its memory, which goes back when it is done.
            self._give_back()

    def _give_back(self) -> None:
        self._reading = False
        self._context.release()
        reserved, self._reserved = self._reserved, 0
        if reserved:
            self._broker.response_memory.give_back(reserved)

    def _fail(self, error: BaseException) -> None:
        """A fetch that failed as a whole: nothing is known of its partitions, so the connection ends."""
        self._broker.purgatory.cancel(self)
        self._reading = False
        self._end()
        code = error_code_of(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            _LOG.error("a fetch failed", exc_info=error)
        if not self._exchange.is_lost:
            self._exchange.close("failed request", f"FETCH: {code.name}: {error}")


def _readable(built: FetchRows, outcomes: list[tuple[int, int, int]]) -> dict[FetchPartition, int]:
    """The bytes that were found, by partition as far as there are any."""
    return {built.entries[row]: size for row, _, size in outcomes if size}
