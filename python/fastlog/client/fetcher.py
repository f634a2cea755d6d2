"""Fetches from every leader at the same time, one request per broker, into one buffer per partition.

A partition with records in its buffer is not fetched again until they are taken, so memory is bounded by
`fetch_max_bytes` per broker. Long polls use connections of their own (lane "fetch"): nothing else waits
behind them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import Final, Literal

from fastlog.client.cluster import Cluster
from fastlog.client.errors import BadResponse, BrokerError, ClientError, RequestTimedOut
from fastlog.client.fetched_records import Fetched, Record, read_fetched
from fastlog.client.metadata import PartitionInfo, TopicPartition
from fastlog.client.positions import BEGINNING, END, resolve
from fastlog.client.topic_cache import TopicCache
from fastlog.errors import ConfigError, ErrorCode
from fastlog.net.link import Link
from fastlog.wire import ApiKey
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData
from fastlog.wire.schema import ZERO_UUID

__all__ = ["ConsumerConfig", "Fetcher", "PartitionState"]

_LANE: Final = "fetch"
_BY_NAME: Final = 12
"""Last version in which topics go by name."""
_FIRST_BACKOFF: Final = 0.05
_LAST_BACKOFF: Final = 1.0
_METADATA_MAX_AGE: Final = 300.0
_LOG: Final = logging.getLogger("fastlog.client")


@dataclass(frozen=True, slots=True)
class ConsumerConfig:
    """How a consumer works; names as in Kafka's consumer configuration. Sizes in bytes, times in ms."""

    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    """read_committed: only records of committed transactions, up to the first open one."""
    auto_offset_reset: Literal["earliest", "latest", "none"] = "none"
    """Where to go on when the position is not in the log (any more); "none" raises."""
    fetch_min_bytes: int = 1
    fetch_max_wait_ms: int = 500
    fetch_max_bytes: int = 16 * 1024 * 1024
    """Per request, that is, per broker. A single batch may be larger."""
    max_partition_fetch_bytes: int = 1024 * 1024
    request_timeout_ms: int = 30_000
    retry_timeout_ms: int | None = 60_000
    """How long a partition may have no reachable leader before that is an error. None: for ever."""

    def __post_init__(self) -> None:
        if self.isolation_level not in ("read_uncommitted", "read_committed"):
            raise ConfigError("isolation.level", f"{self.isolation_level!r} is not known")
        if self.auto_offset_reset not in ("earliest", "latest", "none"):
            raise ConfigError("auto.offset.reset", f"{self.auto_offset_reset!r} is not known")

    @property
    def read_committed(self) -> bool:
        """Whether only committed records are wanted."""
        return self.isolation_level == "read_committed"


class PartitionState:
    """One assigned partition: where it stands, what waits in its buffer, and what is wrong with it."""

    def __init__(self, name: TopicPartition, position: int, end: int | None) -> None:
        self.name: Final = name
        self.position = position
        """The next offset to hand out."""
        self.end = end
        """Where to stop (exclusive), or None."""
        self.high_watermark = -1
        """End of what consumers may read, as of the last answer; -1 before there is one."""
        self.error: ClientError | None = None
        self.in_flight = False
        self.retry_at = 0.0
        self.failing_since: float | None = None
        self.failures = 0
        self.turn = 0
        """Counts seeks: an answer to a question from before is of no use."""
        self._records: list[Record] = []
        self._taken = 0
        self._behind = position

    @property
    def is_done(self) -> bool:
        """Whether the end has been reached."""
        return self.end is not None and self.position >= self.end

    @property
    def has_records(self) -> bool:
        """Whether records wait to be taken."""
        return self._taken < len(self._records)

    def seek(self, position: int) -> None:
        """Drops what is buffered and goes on from `position`."""
        self.position = self._behind = position
        self._records, self._taken = [], 0
        self.error = None
        self.turn += 1

    def put(self, fetched: Fetched) -> None:
        """Takes in the answer to a fetch at `position`."""
        self._records, self._taken = fetched.records, 0
        if self.end is not None:
            self._records = [record for record in fetched.records if record.offset < self.end]
        self._behind = fetched.position
        if not self._records:
            self.position = self._behind

    def take(self, most: int) -> list[Record]:
        """At most so many records, in order."""
        taken = self._records[self._taken : self._taken + most]
        self._taken += len(taken)
        if taken:
            self.position = taken[-1].offset + 1 if self.has_records else self._behind
        return taken


class Fetcher:
    """Keeps the buffers of all assigned partitions filled, while its owner asks for it."""

    def __init__(self, cluster: Cluster, config: ConsumerConfig) -> None:
        self.states: dict[TopicPartition, PartitionState] = {}
        self._cluster = cluster
        self._config = config
        self._topics = TopicCache(cluster)
        self._busy: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = 0.0
        self._changed = asyncio.Event()
        self._first = 0
        self._timer: asyncio.TimerHandle | None = None

    async def assign(self, states: dict[TopicPartition, PartitionState]) -> None:
        """Reads these partitions instead of those before. Raises ClientError when no broker can be asked."""
        self.states = states
        self._refreshed = asyncio.get_running_loop().time()
        topics = {name.topic for name in states}
        if topics:
            await self._topics.refresh(*sorted(topics), timeout_ms=self._config.request_timeout_ms)

    async def wait(self, seconds: float | None) -> bool:
        """Waits until something changes that `fill` or the owner should look at; False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def fill(self) -> None:
        """Starts a fetch on every broker that leads partitions with an empty buffer and has none running."""
        self._changed.clear()
        now = asyncio.get_running_loop().time()
        if now - self._refreshed > _METADATA_MAX_AGE:
            self._refresh()
        wanted: defaultdict[int, list[tuple[PartitionState, PartitionInfo]]] = defaultdict(list)
        for state in self._in_turn():
            if state.in_flight or state.has_records or state.is_done or state.error is not None:
                continue
            if state.retry_at > now:
                self._call_at(state.retry_at)
                continue
            partition = self._topics.partition(state.name)
            if partition is None:
                self._failed(state, BrokerError(ErrorCode.LEADER_NOT_AVAILABLE, api=ApiKey.METADATA))
            elif partition.leader not in self._busy:
                wanted[partition.leader].append((state, partition))
        for node, rows in wanted.items():
            self._busy.add(node)
            for state, _ in rows:
                state.in_flight = True
            self._spawn(node, rows)

    async def close(self) -> None:
        """Ends all requests."""
        tasks = [*self._tasks, *([self._refreshing] if self._refreshing else [])]
        for task in tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- one request --------------------

    def _in_turn(self) -> list[PartitionState]:
        """All partitions, each time another one first: brokers fill an answer from its front."""
        states = list(self.states.values())
        self._first = (self._first + 1) % max(len(states), 1)
        return states[self._first :] + states[: self._first]

    def _spawn(self, node: int, rows: list[tuple[PartitionState, PartitionInfo]]) -> None:
        task = asyncio.ensure_future(self._fetch(node, rows))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, node: int, rows: list[tuple[PartitionState, PartitionInfo]]) -> None:
        turns = {state.name: state.turn for state, _ in rows}
        try:
            link, answer = await self._ask(node, rows)
            found = self._rows_of(answer)
            for state, _ in rows:
                if state.turn == turns[state.name]:
                    await self._take(state, found.get(state.name), link.connection.address)
        except ClientError as error:
            for state, _ in rows:
                self._failed(state, error)
        except Exception as error:  # noqa: BLE001 - a defect must reach whoever polls, not vanish in a task
            for state, _ in rows:
                state.error = ClientError(ErrorCode.UNKNOWN_SERVER_ERROR, f"the consumer failed: {error!r}")
                state.error.__cause__ = error
        finally:
            for state, _ in rows:
                state.in_flight = False
            self._busy.discard(node)
            self._changed.set()

    async def _ask(
        self, node: int, rows: list[tuple[PartitionState, PartitionInfo]]
    ) -> tuple[Link, FetchResponse]:
        config = self._config
        topics: dict[str, FetchTopic] = {}
        by_id = True
        for state, _ in rows:
            name = state.name.topic
            known = self._topics.known(name)
            topic_id = ZERO_UUID if known is None else known.topic_id
            by_id = by_id and topic_id != ZERO_UUID
            topic = topics.setdefault(name, FetchTopic(topic=name, topic_id=topic_id))
            topic.partitions.append(
                FetchPartition(
                    partition=state.name.partition,
                    fetch_offset=state.position,
                    partition_max_bytes=config.max_partition_fetch_bytes,
                )
            )
        request = FetchRequest(
            max_wait_ms=config.fetch_max_wait_ms,
            min_bytes=config.fetch_min_bytes,
            max_bytes=config.fetch_max_bytes,
            isolation_level=int(config.read_committed),
            topics=list(topics.values()),
        )
        link = await self._cluster.link(node, lane=_LANE, timeout_ms=config.request_timeout_ms)
        answer = await link.call(
            request,
            FetchResponse,
            timeout=(config.fetch_max_wait_ms + config.request_timeout_ms) / 1000,
            lowest=4,
            highest=None if by_id else _BY_NAME,
        )
        if answer.error_code != ErrorCode.NONE:
            code = ErrorCode.of(answer.error_code)
            raise BrokerError(code, api=ApiKey.FETCH, broker=link.connection.address)
        return link, answer

    def _rows_of(self, answer: FetchResponse) -> dict[TopicPartition, PartitionData]:
        names = {name.topic for name in self.states}
        by_id = {topic.topic_id: topic.name for topic in map(self._topics.known, names) if topic is not None}
        return {
            TopicPartition(topic.topic or by_id.get(topic.topic_id, ""), row.partition_index): row
            for topic in answer.responses
            for row in topic.partitions
        }

    async def _take(self, state: PartitionState, row: PartitionData | None, broker: str) -> None:
        if row is None:
            text = f"the answer leaves partition {state.name} out"
            self._failed(state, BadResponse(text, api=ApiKey.FETCH, broker=broker))
            return
        code = ErrorCode.of(row.error_code)
        if code is ErrorCode.OFFSET_OUT_OF_RANGE:
            await self._out_of_range(state, broker)
        elif code is not ErrorCode.NONE:
            text = f"partition {state.name}: {code.text}"
            self._failed(state, BrokerError(code, text, api=ApiKey.FETCH, broker=broker))
        else:
            state.failing_since, state.failures = None, 0
            state.high_watermark = row.high_watermark
            aborted = [(entry.producer_id, entry.first_offset) for entry in row.aborted_transactions or ()]
            try:
                fetched = read_fetched(state.name, row.records, state.position, aborted)
            except ClientError as error:  # damage stays damage: no second try
                state.error = error
                return
            if row.records and fetched.position == state.position:
                text = f"partition {state.name}: offset {state.position} came without a whole batch"
                self._failed(state, BadResponse(text, api=ApiKey.FETCH, broker=broker))
                return
            state.put(fetched)

    async def _out_of_range(self, state: PartitionState, broker: str) -> None:
        turn, reset = state.turn, self._config.auto_offset_reset
        if reset == "none":
            text = f"partition {state.name}: offset {state.position} is not in the log"
            try:
                first = await resolve(self._cluster, {state.name: BEGINNING})
                last = await resolve(self._cluster, {state.name: END})
                text += f", which goes from {first[state.name]} to {last[state.name]}"
            except ClientError:
                pass
            error = BrokerError(ErrorCode.OFFSET_OUT_OF_RANGE, text, api=ApiKey.FETCH, broker=broker)
            if state.turn == turn:
                state.error = error
            return
        where = {state.name: BEGINNING if reset == "earliest" else END}
        found = await resolve(self._cluster, where, read_committed=self._config.read_committed)
        if state.turn == turn:
            _LOG.warning(
                "partition %s: offset %d is not in the log; going on from %d (%s)",
                state.name,
                state.position,
                found[state.name],
                reset,
            )
            state.seek(found[state.name])

    # -- failures --------------------

    def _failed(self, state: PartitionState, error: ClientError) -> None:
        """A try has failed: later again, unless it is hopeless or has taken too long."""
        now = asyncio.get_running_loop().time()
        if state.failing_since is None:
            state.failing_since = now
        limit = self._config.retry_timeout_ms
        too_long = limit is not None and now - state.failing_since > limit / 1000
        if not error.retriable:
            state.error = error
        elif too_long:
            text = f"partition {state.name}: cannot be read since {now - state.failing_since:.0f} s: {error}"
            state.error = RequestTimedOut(text, api=ApiKey.FETCH)
        else:
            if state.failures == 0:
                _LOG.info("partition %s: %s; trying again", state.name, error)
            state.retry_at = now + min(_FIRST_BACKOFF * 2**state.failures, _LAST_BACKOFF)
            state.failures = min(state.failures + 1, 10)
            self._call_at(state.retry_at)
            self._refresh()
            return
        self._changed.set()

    def _call_at(self, when: float) -> None:
        timer = self._timer
        if timer is None or timer.cancelled() or timer.when() > when or not self._is_ahead(timer):
            if timer is not None:
                timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(when + 0.001, self._changed.set)

    @staticmethod
    def _is_ahead(timer: asyncio.TimerHandle) -> bool:
        return timer.when() > asyncio.get_running_loop().time()

    def _refresh(self) -> None:
        if self._refreshing is None:
            self._refreshing = asyncio.ensure_future(self._ask_for_leaders())

    async def _ask_for_leaders(self) -> None:
        names = sorted({name.topic for name in self.states})
        self._refreshed = asyncio.get_running_loop().time()
        try:
            if names:
                await self._topics.refresh(*names, timeout_ms=self._config.request_timeout_ms)
        except ClientError as error:
            _LOG.info("metadata cannot be had: %s", error)
        finally:
            self._refreshing = None
            self._changed.set()
