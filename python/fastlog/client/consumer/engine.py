"""What Consumer and AsyncConsumer have in common: what is read, where it goes on, and what is committed."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from fastlog.client.cluster import Cluster
from fastlog.client.columns import DEFAULT_MAX_BYTES, RecordColumns
from fastlog.client.consumer.config import ConsumerConfig
from fastlog.client.consumer.fetcher import Fetcher
from fastlog.client.consumer.iteration import one_by_one, rewind
from fastlog.client.consumer.listener import CallListener
from fastlog.client.consumer.membership import Membership, make_membership
from fastlog.client.consumer.offsets import commit_offsets, committed_offsets
from fastlog.client.consumer.records import CorruptBatch
from fastlog.client.consumer.state import PartitionState
from fastlog.client.deadline import Deadline
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition, as_partition
from fastlog.client.offset_values import GroupMetadata, OffsetAndMetadata
from fastlog.client.positions import BEGINNING, END, Position, resolve
from fastlog.errors import ErrorCode
from fastlog.native import Record, TableBuilder, TablePool

__all__ = ["CLOSE_SECONDS", "ConsumerEngine", "Polled"]

Polled = dict[TopicPartition, list[Record]]

_LOG: Final = logging.getLogger("fastlog.client")
_ALL_ROWS: Final = 1 << 62
CLOSE_SECONDS: Final = 10.0
"""How long `close` waits for a group."""


class ConsumerEngine:
    """The engine of one consumer, on one event loop. Opens its cluster when it is asked for something."""

    def __init__(self, config: ConsumerConfig, call: CallListener) -> None:
        self.config: Final = config
        self._cluster: Final = Cluster.of(config)
        self._call = call
        self._fetcher: Final = Fetcher(self._cluster, config.reader())
        self._membership: Membership | None = None
        self._opening: asyncio.Task[None] | None = None
        self._attending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._closing = False
        self._first = -1
        self._tables: Final = TablePool()
        self._committed_at = time.monotonic()
        self._committing: asyncio.Task[None] | None = None

    # -- life --------------------

    async def opened(self) -> None:
        """Returns when the cluster can be asked; the first caller opens it. Raises ClientError."""
        if self._closed:
            raise RuntimeError("the consumer is closed")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("the consumer belongs to another event loop")
        if self._opening is None or (self._opening.done() and _has_failed(self._opening)):
            self._opening = asyncio.ensure_future(self._cluster.open())
        await asyncio.shield(self._opening)

    async def close(
        self,
        *,
        commit: bool = True,
        tell: bool = True,
        timeout: float | None = CLOSE_SECONDS,  # noqa: ASYNC109 - what it bounds is not all of it
    ) -> None:
        """Commits (with auto commit), leaves the group, ends all requests. May be called more than once.

        `tell`: the listener hears of it. After `timeout` seconds (None: no limit) brokers that do not answer
        are not waited for any more.
        """
        if self._closing:
            return
        self._closing = True
        if self._loop is not None and self._loop.is_closed():
            self._closed = True  # its sockets and tasks went with it
            return
        running = [task for task in (self._attending, self._opening) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        try:
            async with asyncio.timeout(timeout):
                await self._say_goodbye(commit=commit, tell=tell)
        except TimeoutError:
            _LOG.warning("a consumer was closed without an answer from its group within %s s", timeout)
        finally:
            self._closed = True
            if self._committing is not None:
                self._committing.cancel()
                await asyncio.gather(self._committing, return_exceptions=True)
            try:
                if self._membership is not None:
                    await self._membership.close(leave=False)
            finally:
                await self._fetcher.close()
                await self._cluster.close()

    async def _say_goodbye(self, *, commit: bool, tell: bool) -> None:
        failure: Exception | None = None
        if self._committing is not None:
            await asyncio.wait({self._committing})
        try:
            if commit:
                await self.commit_before()
            if tell and self._membership is not None and self.owned:
                await self._call("revoked", self.owned)
        except Exception as error:  # noqa: BLE001 - of the listener; the group is left all the same
            failure = error
        if self._membership is not None:
            await self._membership.close(leave=True)
        if failure is not None:
            raise failure

    # -- what is read --------------------

    async def assign(self, names: Collection[TopicPartition]) -> None:
        """Reads these, without sharing them out in a group."""
        if self._membership is not None:
            raise RuntimeError("the consumer is subscribed: unsubscribe before you assign")
        await self.opened()
        await self.take_over(frozenset(map(as_partition, names)))

    async def subscribe(self, topics: frozenset[str], pattern: re.Pattern[str] | None) -> None:
        """Shares topics out in the group; it is joined in the next poll."""
        if self.config.group_id is None:
            raise RuntimeError("to subscribe needs a group_id; assign() does not")
        await self.opened()
        if self._membership is None:
            if self._fetcher.states:
                raise RuntimeError("partitions are assigned: unsubscribe before you subscribe")
            self._membership = make_membership(self._cluster, self.config, self, self._call)
        self._membership.subscribe(topics, pattern)
        self.poke()

    async def unsubscribe(self) -> None:
        """Reads nothing any more, and leaves the group."""
        await self.commit_before()
        if self._attending is not None:
            self._attending.cancel()
            await asyncio.gather(self._attending, return_exceptions=True)
            self._attending = None
        if self._membership is not None:
            owned = self.owned
            if owned:
                await self._call("revoked", owned)
            await self._membership.close(leave=True)
            self._membership = None
        await self.take_over(frozenset())

    @property
    def owned(self) -> frozenset[TopicPartition]:
        """The partitions that are read."""
        return frozenset(self._fetcher.states)

    def state(self, name: TopicPartition) -> PartitionState:
        """One of them. Raises ValueError when it is not read."""
        partition = as_partition(name)
        try:
            return self._fetcher.states[partition]
        except KeyError:
            text = f"partition {partition} is not assigned to this consumer"
            raise ValueError(text + self._when_assigned) from None

    @property
    def all_owned(self) -> frozenset[TopicPartition]:
        """The partitions that are read. Raises ValueError when there are none."""
        if not self._fetcher.states:
            raise ValueError(f"no partition is assigned to this consumer{self._when_assigned}")
        return self.owned

    @property
    def _when_assigned(self) -> str:
        if self._membership is None or self._fetcher.states:
            return ""
        return "; those of a subscription come in polls, and on_assigned of a RebalanceListener hears of them"

    async def take_over(self, names: frozenset[TopicPartition]) -> None:
        """Reads exactly these from now on; new ones from where the group is, or by `auto_offset_reset`."""
        before = self._fetcher.states
        after = {name: before.get(name) or PartitionState(name, -1, None) for name in sorted(names)}
        await self._fetcher.assign(after)
        await self._find_positions()

    async def find(self, name: TopicPartition) -> int:
        """The next offset of a partition; waits for the first answer."""
        state = self.state(name)
        if state.position < 0:
            await self._find_positions()
        return state.next_offset

    async def _find_positions(self) -> None:
        missing = [name for name, state in self._fetcher.states.items() if state.position < 0]
        if not missing:
            return
        found: Mapping[TopicPartition, OffsetAndMetadata | None] = {}
        if self.config.group_id is not None:
            found = await self.committed(missing)
        resets: dict[TopicPartition, Position] = {}
        for name in missing:
            state = self._fetcher.states.get(name)
            row = found.get(name)
            if state is None or state.position >= 0:
                continue
            if row is not None:
                state.seek(row.offset, row.leader_epoch)
            elif self.config.auto_offset_reset == "none":
                text = f"partition {name}: the group {self.config.group_id!r} has committed no offset"
                state.error = ClientError(ErrorCode.OFFSET_OUT_OF_RANGE, text)
            else:
                resets[name] = BEGINNING if self.config.auto_offset_reset == "earliest" else END
        if resets:
            stable = self.config.isolation_level == "read_committed"
            for name, offset in (await resolve(self._cluster, resets, read_committed=stable)).items():
                state = self._fetcher.states.get(name)
                if state is not None and state.position < 0:
                    state.seek(offset)

    async def seek(self, name: TopicPartition, position: Position | int) -> None:
        """Goes on from there, and forgets an error of that partition."""
        state = self.state(name)
        if isinstance(position, int):
            if position < 0:
                raise ValueError(f"the offset is negative: {position}")
            state.seek(position)
        else:
            stable = self.config.isolation_level == "read_committed"
            found = await resolve(self._cluster, {state.name: position}, read_committed=stable)
            state.seek(found[state.name])
        self.poke()

    def poke(self) -> None:
        """A poll that waits looks again."""
        self._fetcher.poke()

    # -- records --------------------

    async def poll(self, timeout_ms: float | None, most: int | None) -> Polled:
        """Records that have come, by partition; waits for some for at most `timeout_ms` (None: no limit).

        Raises the error of a partition that cannot go on, of the group, and what a listener raises.
        """
        most = self.config.max_poll_records if most is None else most
        if most < 1:
            raise ValueError(f"a poll for {most} records")
        taken: Polled = {}

        def take() -> bool:
            self._take(most, taken)
            return bool(taken)

        await self._poll(timeout_ms, take)
        return taken

    async def poll_columns(
        self, timeout_ms: float | None, most: int | None, most_bytes: int | None
    ) -> RecordColumns:
        """The same as columns: all that has come, unless told how many or how much at most."""
        rows = _ALL_ROWS if most is None else most
        size = DEFAULT_MAX_BYTES if most_bytes is None else most_bytes
        if rows < 1 or size < 1:
            raise ValueError(f"a poll for {most} records and {most_bytes} bytes")
        builder = TableBuilder(self._tables)
        damage: list[CorruptBatch] = []

        def take() -> bool:
            for state in self._turn():
                if len(builder) >= rows or builder.size >= size:
                    break
                if state.take_into(builder, rows - len(builder), size) and isinstance(
                    state.error, CorruptBatch
                ):
                    damage.append(state.error)
            return len(builder) > 0

        await self._poll(timeout_ms, take)
        return RecordColumns.of(builder, damage[0] if damage else None)

    async def _poll(self, timeout_ms: float | None, take: Callable[[], bool]) -> None:
        """Until `take` has taken something, or the time is over."""
        await self.opened()
        deadline = None if timeout_ms is None else Deadline.after(timeout_ms / 1000)
        rewind(self._fetcher.states)
        self._commit_at_times()
        while True:
            if self._membership is not None:
                self._membership.polled()
                if not await self._attend(deadline):
                    return
            if await self._ready(take):
                return
            if not await self._fetcher.wait(self._patience(deadline)) and deadline and deadline.passed:
                return

    async def _ready(self, take: Callable[[], bool]) -> bool:
        """Takes what has come. Raises the error of a partition, when there is nothing else."""
        fetcher = self._fetcher
        while True:
            fetcher.fill()
            had_some = any(state.has_records for state in fetcher.states.values())
            if take():
                # Fetch on while the caller works on these.
                fetcher.fill()
                return True
            for state in fetcher.states.values():
                if state.error is not None and not state.paused:
                    raise state.error.with_traceback(None)
            if not had_some or all(state.paused for state in fetcher.states.values() if state.has_records):
                return False
            # What was fetched was all below the position.
            await asyncio.sleep(0)

    def each(self, polled: Polled) -> Iterator[Record]:
        """What a poll has given, one record after the other: a commit means those that were handed out."""
        return one_by_one(self._fetcher, polled)

    def _patience(self, deadline: Deadline | None) -> float | None:
        if deadline is not None:
            return deadline.remaining
        # So that the group sees that somebody polls.
        return None if self._membership is None else min(1.0, self.config.max_poll_interval_ms / 3000)

    def _turn(self) -> list[PartitionState]:
        """All partitions, another one first each time: none starves behind a full one."""
        states = list(self._fetcher.states.values())
        self._first = (self._first + 1) % max(len(states), 1)
        return states[self._first :] + states[: self._first]

    def _take(self, most: int, taken: Polled) -> None:
        for state in self._turn():
            if most <= 0:
                break
            records = state.take(most)
            if records:
                taken[state.name] = records
                most -= len(records)

    async def _attend(self, deadline: Deadline | None) -> bool:
        """Whether the member is settled in its group, in time. What is not done goes on in the next poll."""
        membership = self._membership
        assert membership is not None  # noqa: S101
        if self._attending is None:
            if membership.is_settled:
                return True
            self._attending = asyncio.ensure_future(membership.attend())
        left = None if deadline is None else deadline.remaining
        done, _ = await asyncio.wait({self._attending}, timeout=left)
        if not done:
            return False
        task, self._attending = self._attending, None
        task.result()
        return True

    # -- offsets --------------------

    @property
    def group(self) -> GroupMetadata:
        """Who commits. Raises RuntimeError without a group."""
        if self.config.group_id is None:
            raise RuntimeError("to commit needs a group_id")
        if self._membership is not None:
            return self._membership.metadata
        return GroupMetadata(self.config.group_id)

    def positions(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """What a commit would say: the next offset of each partition that has one."""
        return {
            name: OffsetAndMetadata(
                state.next_offset, "", state.epoch if state.unread is None else state.unread.leader_epoch
            )
            for name, state in self._fetcher.states.items()
            if state.position >= 0
        }

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata] | None) -> None:
        """Commits these, or what was handed out. Raises ClientError."""
        await self.opened()
        await self._commit(self.positions() if offsets is None else offsets)

    async def _commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        await commit_offsets(
            self._cluster,
            self.group,
            offsets,
            newer=self._is_newer,
            timeout_ms=self.config.default_api_timeout_ms,
        )
        for name, row in offsets.items():
            state = self._fetcher.states.get(name)
            if state is not None:
                state.committed = row.offset

    async def committed(
        self, names: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """What the group has committed. Raises ClientError."""
        await self.opened()
        return await committed_offsets(
            self._cluster,
            self.group,
            [as_partition(name) for name in names],
            newer=self._is_newer,
            stable=self.config.isolation_level == "read_committed",
            timeout_ms=self.config.default_api_timeout_ms,
        )

    @property
    def _is_newer(self) -> bool:
        return self._membership is not None and self._membership.newer

    @property
    def _commits_by_itself(self) -> bool:
        return self.config.enable_auto_commit and self.config.group_id is not None

    def _uncommitted(self) -> dict[TopicPartition, OffsetAndMetadata]:
        states = self._fetcher.states
        return {name: row for name, row in self.positions().items() if states[name].committed != row.offset}

    def _commit_at_times(self) -> None:
        """What earlier polls have handed out, when it is time; beside the poll."""
        now = time.monotonic()
        if (
            not self._commits_by_itself
            or now - self._committed_at < self.config.auto_commit_interval_ms / 1000
            or (self._committing is not None and not self._committing.done())
        ):
            return
        self._committed_at = now
        rows = self._uncommitted()
        if rows:
            self._committing = asyncio.ensure_future(self._commit_quietly(rows))

    async def commit_before(self) -> None:
        """Before partitions go: what was handed out of them, with auto commit."""
        if self._commits_by_itself and self._opening is not None:
            await self._commit_quietly(self._uncommitted())

    async def _commit_quietly(self, rows: dict[TopicPartition, OffsetAndMetadata]) -> None:
        try:
            await self._commit(rows)
        except ClientError as error:
            _LOG.warning("group %s: auto commit failed: %s", self.config.group_id, error)

    @property
    def cluster(self) -> Cluster:
        """Whom else to ask."""
        return self._cluster


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
