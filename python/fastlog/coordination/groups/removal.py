"""Removal of offsets and of groups: tombstones go through the same queue as the commits that they race.

What they remove is decided when they are asked for. By then whatever counts before them is in the log or in
the queue; what is asked for afterwards comes behind them. So nothing that is committed later goes with them,
and nothing that was committed before comes back with the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.consumer.writer import pass_on
from fastlog.coordination.groups.records import encode_group_key, encode_offset_key
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.committed_offsets import GroupOffsets, TopicPartition
    from fastlog.coordination.groups.consumer.writer import GroupWriter
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.table import GroupEntry, GroupTable

# Tombstones of many offsets go out in batches that no usual limit of a topic refuses. Names may be long.
_TOMBSTONES_PER_BATCH: Final = 250
_KEY_BYTES_PER_BATCH: Final = 16 * 1024
_KEY_OVERHEAD: Final = 10
# So many offsets are removed before other work of the event loop gets a turn.
_REMOVALS_PER_TURN: Final = 500


class Removals:
    """Takes offsets away, and groups that have nothing left."""

    def __init__(self, table: GroupTable, log: GroupLog, writer: GroupWriter) -> None:
        self._table = table
        self._log = log
        self._writer = writer

    def forget(
        self, entry: GroupEntry, partitions: Iterable[TopicPartition], *, with_group: bool = False
    ) -> asyncio.Future[None]:
        """Removes offsets. An empty group without any left goes with them, or (`with_group`) any empty one.

        The future is done when that is in the log. It raises KafkaError when something of it could not be
        written, which is in force again then.
        """
        group_id = entry.group.group_id
        batches = [_OffsetBatch(group_id, entry.offsets, lot) for lot in _lots(group_id, partitions)]
        if not self._dies(entry, with_group=with_group):
            return self._write(entry, [], batches, lambda _: None)
        group, since_ms = entry.group, 0
        if isinstance(group, Group):
            since_ms = group.state_timestamp_ms
            group.become(GroupState.DEAD, self._table.now())
        else:
            group.die()
        self._table.remove(entry)
        own, waiting = self._writer.bury(group)
        if isinstance(group, Group) and group.generation > 0:
            # One that only stored offsets has no record of its own.
            own = [*own, (encode_group_key(group.group_id), None)]
        election = self._table.elections.get(entry.partition)
        done = self._write(entry, own, batches, partial(self._revive, entry, since_ms, election))
        if waiting is not None:
            done.add_done_callback(lambda done: pass_on(done, waiting))
        return done

    async def delete(self, entry: GroupEntry) -> None:
        """Removes an empty group with all of its offsets. Raises KafkaError as `forget`.

        A large one takes many turns of the event loop. Requests about it have to wait meanwhile, so that it
        is deleted before whatever comes next.
        """
        if len(entry.offsets.committed) > _REMOVALS_PER_TURN:
            entry.is_held = True
            try:
                await self.forget_in_turns(entry, list(entry.offsets.committed))
            finally:
                entry.is_held = False
            if self._table.get(entry.group.group_id) is not entry:
                return
        await self.forget(entry, entry.offsets.touched(), with_group=True)

    async def forget_in_turns(
        self,
        entry: GroupEntry,
        partitions: Sequence[TopicPartition],
        wanted: Callable[[Sequence[TopicPartition]], Sequence[TopicPartition]] = lambda some: some,
    ) -> int:
        """Removes offsets, some in each turn of the event loop; returns how many when all is in the log.

        `wanted` says which of some are removed, in the turn in which they are. Raises KafkaError when
        something could not be written, and NOT_COORDINATOR when the group has gone elsewhere meanwhile.
        """
        election, group_id = self._table.elections.get(entry.partition), entry.group.group_id
        waiting: list[asyncio.Future[None]] = []
        count = 0
        for start in range(0, len(partitions), _REMOVALS_PER_TURN):
            if start:
                await asyncio.sleep(0)
            if self._table.elections.get(entry.partition) is not election:
                raise KafkaError(ErrorCode.NOT_COORDINATOR)
            if self._table.get(group_id) is not entry:
                break  # it was deleted, with what is left
            doomed = wanted(partitions[start : start + _REMOVALS_PER_TURN])
            count += len(doomed)
            if start + _REMOVALS_PER_TURN >= len(partitions):
                waiting.append(self.forget(entry, doomed))
            elif doomed:
                batches = [_OffsetBatch(group_id, entry.offsets, lot) for lot in _lots(group_id, doomed)]
                waiting.append(self._write(entry, [], batches, lambda _: None))
        failure: Exception | None = None
        for done in waiting:
            try:
                await done
            except KafkaError as error:
                failure = error
        if failure is not None:
            raise failure
        return count

    def _dies(self, entry: GroupEntry, *, with_group: bool) -> bool:
        group = entry.group
        if group.state is not GroupState.EMPTY:
            return False
        if with_group:
            return True
        # Somebody who was given an id is about to join.
        expected = isinstance(group, Group) and bool(group.pending)
        return not expected and not entry.offsets

    def _write(
        self,
        entry: GroupEntry,
        own: list[KeyValue],
        batches: list[_OffsetBatch],
        revive: Callable[[bool], None],
    ) -> asyncio.Future[None]:
        """Writes all at once: nobody else's records come in between. `revive` is called after a failure."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        errors: list[Exception | None] = []
        # What is the group's own goes behind the offsets of the first batch, as in Kafka: mostly there is no
        # other.
        parts = [(own, None), *((batch.tombstones(), batch) for batch in batches)]
        if len(parts) > 1:
            parts[:2] = [([*parts[1][0], *own], parts[1][1])]

        def then(batch: _OffsetBatch | None, error: Exception | None) -> None:
            if batch is not None:
                batch.end(written=error is None)
                self._table.weigh(entry)
            errors.append(error)
            if len(errors) < len(parts):
                return
            failure = next((error for error in errors if error is not None), None)
            if failure is not None:
                revive(errors[0] is None)
            if done.done():
                return  # whoever asked is gone
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
                # Nobody may be left to look at it.
                done.exception()

        for records, batch in parts:
            if records:
                self._log.write(entry.partition, records, partial(then, batch), divisible=True)
            else:
                then(batch, None)
        return done

    def _revive(self, entry: GroupEntry, since_ms: int, election: object, own_is_gone: bool) -> None:
        """The group could not be deleted as a whole."""
        group = entry.group
        if (
            self._table.elections.get(entry.partition) is not election
            or entry.partition in self._table.loading
        ):
            return  # whoever coordinates it next reads in the log what is left of it
        current = self._table.get(group.group_id)
        if current is not None:
            current.offsets.inherit(entry.offsets)
            self._table.weigh(current)
            return
        if own_is_gone:
            entry.group = Group(group.group_id, self._table.limits(), self._table.now())
            entry.group_weight = -1
        elif isinstance(group, Group):
            group.revive(since_ms)
        else:
            group.revive()
        self._table.put(entry)


def _lots(group_id: str, partitions: Iterable[TopicPartition]) -> Iterator[list[TopicPartition]]:
    """What may share a batch."""
    lot: list[TopicPartition] = []
    size, each = 0, len(group_id.encode()) + _KEY_OVERHEAD
    for partition in partitions:
        more = each + len(partition[0])
        if lot and (len(lot) >= _TOMBSTONES_PER_BATCH or size + more > _KEY_BYTES_PER_BATCH):
            yield lot
            lot, size = [], 0
        lot.append(partition)
        size += more
    if lot:
        yield lot


class _OffsetBatch:
    """Tombstones of offsets of one group that share a batch."""

    def __init__(self, group_id: str, offsets: GroupOffsets, partitions: list[TopicPartition]) -> None:
        self._group_id = group_id
        self._offsets = offsets
        self._partitions = partitions
        self._change = offsets.begin_removal(partitions)

    def tombstones(self) -> list[KeyValue]:
        """The records."""
        return [(encode_offset_key(self._group_id, *partition), None) for partition in self._partitions]

    def end(self, *, written: bool) -> None:
        """They are in the log, or are not."""
        self._offsets.end(self._change, written=written)
