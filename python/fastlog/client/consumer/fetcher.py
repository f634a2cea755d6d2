"""Fetches from every leader at the same time, one request per broker, into one buffer per partition.

A partition with records in its buffer is not fetched again until they are taken, so memory is bounded by
`fetch_max_bytes` per broker. Long polls use connections of their own (lane "fetch"): nothing else waits
behind them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, Final

from fastlog.client.cluster import Cluster
from fastlog.client.consumer.config import ReaderConfig
from fastlog.client.consumer.epochs import end_of_epoch
from fastlog.client.consumer.fetch_session import SESSION_ERRORS, FetchSession, Wanted
from fastlog.client.consumer.state import PartitionState
from fastlog.client.errors import BadResponse, BrokerError, ClientError, RequestTimedOut
from fastlog.client.metadata import PartitionInfo, TopicPartition
from fastlog.client.positions import BEGINNING, END, resolve
from fastlog.client.topic_cache import TopicCache
from fastlog.errors import ErrorCode
from fastlog.native import FetchedRecords
from fastlog.net.link import Link
from fastlog.wire import ApiKey
from fastlog.wire.messages.fetch import FetchRequest, FetchResponse, PartitionData
from fastlog.wire.schema import ZERO_UUID

__all__ = ["Fetcher"]

_LANE: Final = "fetch"
_BY_NAME: Final = 12
"""Last version in which topics go by name."""
_FIRST_BACKOFF: Final = 0.05
_LAST_BACKOFF: Final = 1.0
_METADATA_MAX_AGE: Final = 300.0
_LOG: Final = logging.getLogger("fastlog.client")


class Fetcher:
    """Keeps the buffers of all assigned partitions filled, while its owner asks for it."""

    def __init__(self, cluster: Cluster, config: ReaderConfig) -> None:
        self.states: dict[TopicPartition, PartitionState] = {}
        self._cluster = cluster
        self._config = config
        self._topics = TopicCache(cluster)
        self._busy: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = 0.0
        self._changed = asyncio.Event()
        self._sessions: defaultdict[int, FetchSession] = defaultdict(FetchSession)
        self._session_links: dict[int, Link] = {}
        self._first = 0
        self._timer: asyncio.TimerHandle | None = None

    async def assign(self, states: dict[TopicPartition, PartitionState]) -> None:
        """Reads these partitions instead of those before. Raises ClientError when no broker can be asked."""
        for name, state in self.states.items():
            if states.get(name) is not state:
                state.turn += 1  # who is in the middle of its records stops there
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

    def poke(self) -> None:
        """Whoever waits looks again."""
        self._changed.set()

    def fill(self) -> None:
        """Starts a fetch on every broker that leads partitions with an empty buffer and has none running."""
        self._changed.clear()
        now = asyncio.get_running_loop().time()
        if now - self._refreshed > _METADATA_MAX_AGE:
            self._refresh()
        wanted: defaultdict[int, list[tuple[PartitionState, PartitionInfo]]] = defaultdict(list)
        for state in self._in_turn():
            if state.position < 0 or not state.is_wanted:
                continue
            if state.retry_at > now:
                self._call_at(state.retry_at)
                continue
            partition = self._topics.partition(state.name)
            if partition is None:
                self._failed(state, BrokerError(ErrorCode.LEADER_NOT_AVAILABLE, api=ApiKey.METADATA))
            elif state.epoch >= 0 and partition.leader_epoch > max(state.epoch, state.checked_epoch):
                state.in_flight = True
                self._spawn(self._check_position(state, partition.leader_epoch))
            else:
                node = self._node(state, partition, now)
                if node not in self._busy:
                    wanted[node].append((state, partition))
        for node, rows in wanted.items():
            self._busy.add(node)
            for state, _ in rows:
                state.in_flight = True
            self._spawn(self._fetch(node, rows))

    def _node(self, state: PartitionState, partition: PartitionInfo, now: float) -> int:
        """The replica that the leader has pointed to lately, while that broker lives; else the leader."""
        if state.replica is not None:
            node, until = state.replica
            if now < until and node in self._cluster.brokers:
                return node
            state.replica = None
        return partition.leader

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, node: int, rows: list[tuple[PartitionState, PartitionInfo]]) -> None:
        turns = {state.name: state.turn for state, _ in rows}
        try:
            answer, is_full = await self._ask(node, rows)
            found = self._rows_of(answer)
            for state, _ in rows:
                if state.turn == turns[state.name]:
                    await self._take(state, found.get(state.name), answer, is_full=is_full)
        except ClientError as error:
            self._sessions[node].reset()
            for state, _ in rows:
                state.replica = None
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
    ) -> tuple[FetchResponse, bool]:
        config = self._config
        wanted: dict[TopicPartition, Wanted] = {}
        by_id = True
        for state, partition in rows:
            known = self._topics.known(state.name.topic)
            topic_id = ZERO_UUID if known is None else known.topic_id
            by_id = by_id and topic_id != ZERO_UUID
            wanted[state.name] = Wanted(
                topic_id, state.position, partition.leader_epoch, config.max_partition_fetch_bytes
            )
        request = FetchRequest(
            max_wait_ms=config.fetch_max_wait_ms,
            min_bytes=config.fetch_min_bytes,
            max_bytes=config.fetch_max_bytes,
            isolation_level=int(config.read_committed),
            rack_id=config.client_rack,
        )
        link = await self._cluster.link(node, lane=_LANE, timeout_ms=config.request_timeout_ms)
        session = self._sessions[node]
        if self._session_links.get(node) is not link:
            # Versions may differ, and so whether topics go by name or by id.
            session.reset()
            self._session_links[node] = link
        session.fill(request, wanted)
        is_full = session.is_full
        answer = await link.call(
            request,
            FetchResponse,
            timeout=(config.fetch_max_wait_ms + config.request_timeout_ms) / 1000,
            lowest=7 if link.versions.supports(ApiKey.FETCH, 7) else 4,
            highest=None if by_id else _BY_NAME,
        )
        code = ErrorCode.of(answer.error_code)
        if code in SESSION_ERRORS and not is_full:
            session.reset()
            return FetchResponse(), False
        if code is not ErrorCode.NONE:
            raise BrokerError(code, api=ApiKey.FETCH, answer=answer)
        session.answered(answer.session_id)
        return answer, is_full

    def _rows_of(self, answer: FetchResponse) -> dict[TopicPartition, PartitionData]:
        names = {name.topic for name in self.states}
        by_id = {topic.topic_id: topic.name for topic in map(self._topics.known, names) if topic is not None}
        return {
            TopicPartition(topic.topic or by_id.get(topic.topic_id, ""), row.partition_index): row
            for topic in answer.responses
            for row in topic.partitions
        }

    async def _take(
        self, state: PartitionState, row: PartitionData | None, answer: FetchResponse, *, is_full: bool
    ) -> None:
        if row is None:
            if not is_full:
                return  # no news
            text = f"the answer leaves partition {state.name} out"
            self._failed(state, BadResponse(text, api=ApiKey.FETCH, broker=answer.broker))
            return
        code = ErrorCode.of(row.error_code)
        if code is ErrorCode.OFFSET_OUT_OF_RANGE:
            if state.replica is not None:
                # A follower may be behind: its leader knows better.
                state.replica = None
            else:
                await self._out_of_range(state, answer)
        elif code is not ErrorCode.NONE:
            text = f"partition {state.name}: {code.text}"
            state.replica = None
            self._failed(state, BrokerError(code, text, api=ApiKey.FETCH, answer=answer))
        else:
            state.failing_since, state.failures = None, 0
            state.high_watermark = row.high_watermark
            aborted = [(entry.producer_id, entry.first_offset) for entry in row.aborted_transactions or ()]
            if row.preferred_read_replica >= 0:
                until = asyncio.get_running_loop().time() + _METADATA_MAX_AGE
                state.replica = (row.preferred_read_replica, until)
            if not row.records:
                return
            fetched = FetchedRecords(
                state.name.topic, state.name.partition, row.records, state.position, state.end, aborted
            )
            if not state.put(fetched):
                text = f"partition {state.name}: offset {state.position} came without a whole batch"
                self._failed(state, BadResponse(text, api=ApiKey.FETCH, broker=answer.broker))

    async def _out_of_range(self, state: PartitionState, answer: FetchResponse | None) -> None:
        turn, reset = state.turn, self._config.auto_offset_reset
        if reset == "none":
            text = f"partition {state.name}: offset {state.position} is not in the log"
            try:
                first = await resolve(self._cluster, {state.name: BEGINNING})
                last = await resolve(self._cluster, {state.name: END})
                text += f", which goes from {first[state.name]} to {last[state.name]}"
            except ClientError:
                pass
            error = BrokerError(ErrorCode.OFFSET_OUT_OF_RANGE, text, api=ApiKey.FETCH, answer=answer)
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

    async def _check_position(self, state: PartitionState, epoch: int) -> None:
        """Whether a new leader has the log up to the position (KIP-320); what it lost is out of range."""
        turn = state.turn
        try:
            end = await end_of_epoch(self._cluster, state.name, state.epoch, epoch, self._config)
            if state.turn != turn:
                return
            state.checked_epoch = epoch
            if end is not None and end < state.position:
                _LOG.warning(
                    "partition %s: a new leader's log ends at %d for epoch %d, before offset %d",
                    state.name,
                    end,
                    state.epoch,
                    state.position,
                )
                await self._out_of_range(state, None)
        except ClientError as error:
            self._failed(state, error)
        finally:
            state.in_flight = False
            self._changed.set()

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
