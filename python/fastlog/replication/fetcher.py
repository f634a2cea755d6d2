"""One connection to one leader: it fetches for the partitions that are followed there, one request at a time.

    cut what has to be cut -> request -> answer -> append (natively) -> tell the partitions

A request names what has moved since the last one. Nothing is appended to a partition that was stopped: a row
of an answer counts only for the position it was asked for, and the log refuses older epochs by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from fastlog.errors import ErrorCode
from fastlog.native import FencedLeader, FetchReply, MalformedRequest, StorageError
from fastlog.native.shapes import FetchReplyRow, ReplicateResult
from fastlog.net.errors import ClientError
from fastlog.replication.fetch_context import FetchContext, LeaderConnection
from fastlog.replication.fetch_positions import UNHEARD, FetchPosition, FetchPositions
from fastlog.replication.fetch_session import Follower
from fastlog.replication.leader_offsets import ask_ranges
from fastlog.replication.partition import Partition, PartitionKey
from fastlog.storage.truncation import Cut, CutOutcome

_LOG: Final = logging.getLogger(__name__)
_LINGER_SECONDS: Final = 1.0
"""How long a fetcher without partitions keeps its connection: they come back with the next leader epoch."""
_FIRST_BACKOFF_SECONDS: Final = 0.01
_MOST_DOUBLINGS: Final = 20
_FOREVER_MS: Final = 2**31 - 1
_NAMED: Final = 5
"""How many partitions one line of the log names."""
_AGAIN_AT_ONCE: Final = (
    ErrorCode.FETCH_SESSION_ID_NOT_FOUND.value,
    ErrorCode.INVALID_FETCH_SESSION_EPOCH.value,
)


class Fetcher:
    """Used on the event loop only. `run` is its loop; without partitions `retire` says whether it may end."""

    def __init__(
        self, leader_id: int, index: int, context: FetchContext, retire: Callable[[Fetcher], bool]
    ) -> None:
        self.leader_id: Final = leader_id
        self.index: Final = index
        self.positions: Final = FetchPositions()
        self._context = context
        self._retire = retire
        self._connection: LeaderConnection | None = None
        self._changed = asyncio.Event()
        self._at_work: frozenset[FetchPosition] = frozenset()
        self._rested = asyncio.Event()
        self._rested.set()
        self._closing = False
        self._told: set[str] = set()

    # -- from outside --------------------

    def follow(self, partition: Partition) -> None:
        """Fetches for a partition from now on, in its present leader epoch."""
        self.positions.add(FetchPosition(partition))
        self._changed.set()

    async def stop(self, keys: Iterable[PartitionKey]) -> None:
        """Ends that for partitions; afterwards nothing of theirs is appended, cut or under way."""
        removed = [position for key in keys if (position := self.positions.remove(key)) is not None]
        while any(position in self._at_work for position in removed):
            await self._rested.wait()

    async def drain(self) -> None:
        """Begins nothing more, and returns when no log is being changed. `run` is to be cancelled then."""
        self._closing = True
        self._changed.set()
        await self._rested.wait()

    # -- the loop --------------------

    async def run(self) -> None:
        """Fetches until it is retired or cancelled."""
        # After a failure nobody knows what became of the last request.
        self.positions.session.renew()
        try:
            while not self._closing and (len(self.positions) or await self._has_work()):
                await self.step()
        finally:
            await self._disconnect()

    async def step(self) -> None:
        """One of its steps: cuts what has to be cut, or fetches once, or waits while nothing is fetched."""
        positions = self.positions
        positions.wake(self._context.monotonic())
        if positions.cutting:
            await self._cut(positions.cutting)
            return
        if positions.is_idle:
            await self._wait(positions.next_wake)
            return
        try:
            reply = await self._fetch()
        except (ClientError, MalformedRequest) as error:
            await self._lost(error)
            return
        if reply is not None:
            await self._take(reply)

    async def _has_work(self) -> bool:
        """Without partitions: whether some come before the connection is given up."""
        await self._wait(self._context.monotonic() + _LINGER_SECONDS)
        return bool(len(self.positions)) or not self._retire(self)

    async def _wait(self, until: float | None) -> None:
        """Until partitions come, or a time."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            seconds = None if until is None else max(until - self._context.monotonic(), 0)
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _lost(self, error: ClientError | MalformedRequest) -> None:
        self.positions.session.renew()
        self._context.stats.connection_failures += 1
        # Each reason once: one that a broker is down for is not always the one that it stays down for.
        reason = error.message if isinstance(error, ClientError) else str(error)
        level = logging.DEBUG if reason in self._told else logging.WARNING
        self._told.add(reason)
        _LOG.log(level, "fetching from broker %d: %s", self.leader_id, error)
        await self._disconnect()
        await self._pause()

    async def _pause(self) -> None:
        deadline = self._context.monotonic() + self._backoff
        while not self._closing and self._context.monotonic() < deadline:
            await self._wait(deadline)

    @property
    def _backoff(self) -> float:
        return self._context.settings().replica_fetch_backoff_ms / 1000

    # -- requests --------------------

    async def _fetch(self) -> FetchReply | None:
        """The answer to the next request; None when there is nothing to ask for."""
        settings, timeout = self._context.settings(), self._timeout
        connection = await self._connected()
        follower = Follower(
            self._context.node_id,
            self._context.broker_epoch(),
            min(settings.replica_fetch_wait_max_ms, self._ms_to_wake()),
            settings.replica_fetch_min_bytes,
            settings.replica_fetch_response_max_bytes,
            settings.replica_fetch_max_bytes,
        )
        request = self.positions.request(follower)
        if request is None:
            return None
        session = self.positions.session
        frame = await connection.ask(request, session.version, timeout=timeout)
        self._told.clear()
        self._context.stats.requests += 1
        return FetchReply.parse(frame, session.version, session.size)

    def _ms_to_wake(self) -> int:
        """How long the leader may wait so that what is delayed goes on in time."""
        wake = self.positions.next_wake
        if wake is None:
            return _FOREVER_MS
        # Rounded first: sums of seconds are a hair above what they should be.
        return max(1, math.ceil(round((wake - self._context.monotonic()) * 1000, 3)))

    @property
    def _timeout(self) -> float:
        """Seconds for an answer, beyond what the leader may wait."""
        settings = self._context.settings()
        return (settings.replica_socket_timeout_ms + settings.replica_fetch_wait_max_ms) / 1000

    async def _connected(self) -> LeaderConnection:
        if self._connection is None or not self._connection.is_open or self._connection.is_due:
            await self._disconnect()
            address = self._context.address_of(self.leader_id)
            if address is None:
                raise ClientError(
                    ErrorCode.BROKER_NOT_AVAILABLE, f"broker {self.leader_id} has no known address"
                )
            client_id = f"broker-{self._context.node_id}-fetcher-{self.index}"
            seconds = self._context.settings().replica_socket_timeout_ms / 1000
            self._connection = await self._context.connect(*address, client_id, seconds)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # -- answers --------------------

    async def _take(self, reply: FetchReply) -> None:
        if not self.positions.session.answered(reply.session_id, reply.error_code):
            if reply.error_code not in _AGAIN_AT_ONCE:
                error = ErrorCode.of(reply.error_code).name
                _LOG.warning("broker %d refuses a fetch as a whole: %s", self.leader_id, error)
                await self._pause()
            return
        verdicts = self.positions.sort(reply.rows)
        for code, some in _by_code(verdicts.failed):
            self._fail(ErrorCode.of(code).name, *some)
        for code, some in _by_code(verdicts.delayed):
            if code in UNHEARD:
                self._wait_for_leader(ErrorCode.of(code).name, *some)
            else:
                self._delay(ErrorCode.of(code).name, *some)
        for position, (epoch, end_offset) in verdicts.diverged:
            position.diverged(epoch, end_offset)
            self.positions.go_on(position)
        await self._append(reply, verdicts.append)
        if verdicts.out_of_range:
            await self._find_range(verdicts.out_of_range)

    async def _append(self, reply: FetchReply, rows: list[tuple[int, FetchPosition, FetchReplyRow]]) -> None:
        """Takes over records and log starts natively, then tells the partitions, of watermarks too."""
        changing = []
        for entry in rows:
            _, position, (*_, log_start, _, _, size) = entry
            if size or log_start > position.log_start:
                changing.append(entry)
            else:
                self._tell(position, self._followed, entry[2])
        if not changing or self._closing:
            return
        with self._working([position for _, position, _ in changing]):
            results = await self._context.io.replicate(
                reply,
                [
                    (index, position.log, position.leader_epoch, position.offset)
                    for index, position, _ in changing
                ],
            )
            for (_, position, row), result in zip(changing, results, strict=True):
                self._tell(position, self._replicated, row, result)
            await self._commit([position for _, position, _ in changing])

    def _tell(self, position: FetchPosition, action: Callable[..., object], *args: Any) -> None:
        """A defect that one partition meets must not keep the others waiting: it is given up."""
        try:
            action(position, *args)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is logged and the others go on
            _LOG.exception("%s-%d met a defect", *position.key)
            self._fail(f"{type(error).__name__}: {error}", position)

    def _replicated(self, position: FetchPosition, row: FetchReplyRow, result: ReplicateResult) -> None:
        end_offset, log_start, trouble, words = result
        has_moved = end_offset != position.offset or log_start != position.log_start
        self._context.stats.bytes += row[8]
        if has_moved:
            self._context.note_write(position.key)
        if not self.positions.is_current(position):
            return
        start_moved = log_start != position.log_start
        position.arrived()
        if trouble is None or has_moved:
            self._followed(position, row)
        if start_moved:
            position.partition.on_log_cut()
        if trouble is None:
            self.positions.go_on(position)
            self._throttle(position, row[8])
        elif trouble == "order":
            self._fail(words or trouble, position)
        elif trouble == "storage":
            self._stumble(position, words or trouble)
        else:
            self._context.stats.damaged += trouble == "damaged"
            self._delay(words or trouble, position)

    def _followed(self, position: FetchPosition, row: FetchReplyRow) -> None:
        if self.positions.is_current(position):
            position.lag = max(0, row[4] - position.offset)
            position.partition.on_followed(position.offset, row[4])

    def _throttle(self, position: FetchPosition, size: int) -> None:
        throttle = self._context.throttle
        if throttle is None or not size or not throttle.covers(position.key):
            return
        pause = throttle.took(size)
        if pause > 0 and position.lag:
            self.positions.delay(position, self._context.monotonic() + pause)

    async def _commit(self, positions: Sequence[FetchPosition]) -> None:
        """In fsync mode: what the next request says that is here is on the disk."""
        due = [
            position
            for position in positions
            if position.partition.waits_for_disk and self.positions.is_current(position)
        ]
        commits = (self._context.io.commit(position.log) for position in due)
        for position, outcome in zip(
            due, await asyncio.gather(*commits, return_exceptions=True), strict=True
        ):
            if isinstance(outcome, StorageError):
                self._stumble(position, str(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                position.partition.on_flushed(outcome)

    # -- logs that are not the leader's --------------------

    async def _find_range(self, positions: Sequence[FetchPosition]) -> None:
        """The leader has nothing where these logs end: asks where its own begin and end."""
        try:
            connection = await self._connected()
            ranges = await ask_ranges(connection, self._context.node_id, positions, self._timeout)
        except ClientError as error:
            await self._lost(error)
            return
        for position, found in zip(positions, ranges, strict=True):
            if not self.positions.is_current(position):
                continue
            if isinstance(found, int):
                if found == ErrorCode.FENCED_LEADER_EPOCH:
                    self._fail(ErrorCode.of(found).name, position)
                else:
                    self._delay(ErrorCode.of(found).name, position)
                continue
            position.out_of_range(*found)
            if position.cut_to is None:
                self._delay("OFFSET_OUT_OF_RANGE", position)
            else:
                self.positions.go_on(position)

    async def _cut(self, positions: Sequence[FetchPosition]) -> None:
        if self._closing:
            return
        cuts = []
        for position in positions:
            offset = 0 if position.cut_to is None else position.cut_to
            if offset < position.partition.high_watermark:
                _LOG.warning(
                    "%s-%d is cut to %d, below its high watermark %d: it was led by a replica out of sync",
                    *(*position.key, offset, position.partition.high_watermark),
                )
            else:
                _LOG.info("%s-%d is cut from %d to %d", *position.key, position.offset, offset)
            cuts.append(Cut(position.key, position.log, offset, position.leader_epoch, position.start_over))
        with self._working(positions):
            fallen = []
            for position, outcome in zip(positions, await self._context.truncations.cut(cuts), strict=True):
                self._context.note_write(position.key)
                if self.positions.is_current(position) and self._was_cut(position, outcome):
                    fallen.append(position.key)
            if fallen:
                await self._context.keep_watermarks(fallen)

    def _was_cut(self, position: FetchPosition, outcome: CutOutcome) -> bool:
        """Whether the high watermark fell with the log."""
        if not isinstance(outcome, int):
            if isinstance(outcome, FencedLeader | TimeoutError):
                self._delay(str(outcome) or "the log does not come to rest", position)
            else:
                self._stumble(position, str(outcome))
            return False
        self._context.stats.truncations += 1
        position.arrived()
        before = position.partition.high_watermark
        position.partition.on_followed(position.offset, before)
        position.partition.on_log_cut()
        self.positions.go_on(position)
        return position.partition.high_watermark < before

    # -- troubles --------------------

    def _wait_for_leader(self, why: str, *positions: FetchPosition) -> None:
        """The leader has not heard of its leadership: it is asked again at once, then less and less often."""
        now, longest = self._context.monotonic(), self._backoff
        long = []
        for position in positions:
            pause = _FIRST_BACKOFF_SECONDS * 2 ** min(position.unheard, _MOST_DOUBLINGS)
            if pause < longest:
                position.unheard += 1
                self.positions.delay(position, now + pause)
            else:
                long.append(position)
        if long:
            self._delay(why, *long)

    def _delay(self, why: str, *positions: FetchPosition) -> None:
        _LOG.info("not fetched from broker %d now: %s: %s", self.leader_id, why, _named(positions))
        until = self._context.monotonic() + self._backoff
        for position in positions:
            self.positions.delay(position, until)

    def _stumble(self, position: FetchPosition, why: str) -> None:
        """The disk: what passes is tried again."""
        if position.log.failure is None:
            _LOG.warning("%s-%d cannot take over records now: %s", *position.key, why)
            self.positions.delay(position, self._context.monotonic() + self._backoff)
        else:
            self._fail(why, position)

    def _fail(self, why: str, *positions: FetchPosition) -> None:
        # A leader often hears of its new epoch before its followers do, who will hear of it, too.
        level = logging.INFO if why == ErrorCode.FENCED_LEADER_EPOCH.name else logging.ERROR
        _LOG.log(level, "not followed any more in this epoch: %s: %s", why, _named(positions))
        for position in positions:
            if self.positions.is_current(position):
                self.positions.remove(position.key)
                self._context.stats.failed[position.key] = why

    @contextlib.contextmanager
    def _working(self, positions: Sequence[FetchPosition]) -> Iterator[None]:
        """While logs of these are being changed."""
        self._at_work = frozenset(positions)
        self._rested.clear()
        try:
            yield
        finally:
            self._at_work = frozenset()
            self._rested.set()


def _by_code(verdicts: Iterable[tuple[FetchPosition, int]]) -> Iterable[tuple[int, list[FetchPosition]]]:
    codes: dict[int, list[FetchPosition]] = {}
    for position, code in verdicts:
        codes.setdefault(code, []).append(position)
    return codes.items()


def _named(positions: Sequence[FetchPosition]) -> str:
    """For the log: thousands of partitions may change their leader at once."""
    names = [
        f"{topic}-{partition} in epoch {position.leader_epoch}"
        for position in positions[:_NAMED]
        for topic, partition in (position.key,)
    ]
    rest = len(positions) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")
