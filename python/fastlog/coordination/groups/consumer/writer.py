"""Writes what consumer groups have changed: for each group one batch at a time.

What changes while a batch is written goes into the next one. So an answer that rests on a change of another
member is never given before that change is in the log, even when a write in between fails.

When the log refuses a batch, what it and later changes had made of the group is taken back, as in Kafka: what
was not answered is not shown either; a group that was to move between the protocols stays what it was.
Records of other writes that failed are owed, and the next one takes them along: those that may be in the log
after all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.tasks import Guard, Supervisor
from fastlog.coordination.groups.consumer.records import encode_key, encode_value
from fastlog.coordination.groups.consumer.state import Before, ConsumerGroup
from fastlog.coordination.groups.group_batch import NotAcknowledged
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.classic.state import Group
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.table import GroupEntry

_LOG: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 1.0

Undo: TypeAlias = "Callable[[GroupEntry, ConsumerGroup, Before], None]"
"""Takes back changes of a group."""
Outcome: TypeAlias = Callable[[BaseException | None], None]
"""Told what became of a write: why it failed, or None."""


@dataclass(slots=True)
class PendingWrites:
    """What of one group is on its way to the log."""

    in_flight: asyncio.Future[None] | None = None
    batch: dict[bytes, bytes | None] = field(default_factory=dict)
    """What is in flight."""
    queued: asyncio.Future[None] | None = None
    owed: dict[bytes, bytes | None] = field(default_factory=dict)
    before: Before | None = field(default_factory=dict)
    """What the records in flight stood for before; None: they are to be written again if they fail."""
    later: Before | None = field(default_factory=dict)
    """The same of those that are owed."""
    stay: Callable[[], None] | None = None
    """Takes back the move between the protocols that the records in flight stand for."""
    former: PendingWrites | None = None
    """What was on its way when that move began; its records are in flight once more."""
    former_unwritten: dict[bytes, bytes | None] = field(default_factory=dict)
    is_refused: bool = False
    """Whether the last batch is not in the log for sure."""

    def unwritten(self) -> dict[bytes, bytes | None]:
        """All that the log may not have yet. What is in flight may still fail."""
        return {**self.batch, **self.owed}


class GroupWriter:
    """The writes of all consumer groups. Used on the event loop."""

    def __init__(self, log: GroupLog, guard: Guard | None = None, undo: Undo | None = None) -> None:
        self._log = log
        self._undo = undo
        self._guard = guard or Supervisor().guard("group-writes")
        self._pending: dict[str, PendingWrites] = {}
        self.closed = False

    def flush(self, entry: GroupEntry, group: ConsumerGroup) -> asyncio.Future[None] | None:
        """Starts to write what has changed. The future is done when everything up to now is in the log; None
        when it is already. It raises KafkaError with a code for clients."""
        self._collect(group)
        pending = self._pending.get(group.group_id)
        if pending is None:
            return None
        if pending.in_flight is None:
            return self._write(entry, pending)
        if not pending.owed:
            return pending.in_flight
        if pending.queued is None:
            pending.queued = asyncio.get_running_loop().create_future()
        return pending.queued

    def replace(
        self,
        entry: GroupEntry,
        group: ConsumerGroup,
        records: list[KeyValue],
        stay: Callable[[], None] | None = None,
    ) -> asyncio.Future[None] | None:
        """The same for a group that moves between the protocols: `records` are those of the classic one.

        They are submitted at once, since the classic side does not wait for the writes of this one. `stay`
        makes the group again what it was: it is called when the log refuses them. Without it they are owed.
        """
        return self._write_at_once(entry, {**_changed(group), **dict(records)}, stay)

    def write(self, entry: GroupEntry, records: Sequence[KeyValue], then: Outcome) -> None:
        """Writes records of a classic group, at once. `then` is called with the outcome as by the log.

        What the log does not have yet from its move between the protocols goes along: written later it would
        be in force instead of them.
        """
        written = None
        if entry.group.group_id in self._pending:
            written = self._write_at_once(entry, dict(records))
        if written is None:
            self._log.write(entry.partition, records, then)
        else:
            written.add_done_callback(lambda done: then(_failure(done)))

    def has_work(self, group_id: str) -> bool:
        """Whether something of the group may not be in the log yet."""
        return group_id in self._pending

    def bury(self, group: Group | ConsumerGroup) -> tuple[list[KeyValue], asyncio.Future[None] | None]:
        """(tombstones of all records that a dead group has or might get, what waits for its last write).

        Nothing of it is written any more: the caller writes the tombstones, now.
        """
        former = self._pending.pop(group.group_id, PendingWrites())
        keys = former.unwritten() | (_changed(group) if isinstance(group, ConsumerGroup) else {})
        return [(key, None) for key in keys], former.queued

    def drop(self, group_id: str) -> None:
        """The group is not coordinated here any more: nothing is owed to it."""
        former = self._pending.pop(group_id, None)
        if former is not None and former.queued is not None and not former.queued.done():
            former.queued.set_exception(KafkaError(ErrorCode.NOT_COORDINATOR))
            # Whoever waits may be gone.
            former.queued.exception()

    def _write_at_once(
        self,
        entry: GroupEntry,
        records: dict[bytes, bytes | None],
        stay: Callable[[], None] | None = None,
    ) -> asyncio.Future[None] | None:
        former = self._pending.pop(entry.group.group_id, None)
        unwritten = {} if former is None else former.unwritten()
        owed = unwritten | records
        if not owed:
            return None
        pending = PendingWrites(owed=owed, later=None, stay=stay, former=former, former_unwritten=unwritten)
        self._pending[entry.group.group_id] = pending
        written = self._write(entry, pending)
        queued = None if former is None else former.queued
        if queued is not None:
            written.add_done_callback(lambda done: pass_on(done, queued))
        return written

    def _collect(self, group: ConsumerGroup) -> None:
        before, is_whole = group.take_before()
        changed = _changed(group)
        if changed:
            pending = self._pending.setdefault(group.group_id, PendingWrites())
            owed = pending.owed
            if not is_whole:
                pending.later = None
            elif pending.later is not None:
                pending.later = {**before, **pending.later}
            for key, value in changed.items():
                # The newest value goes last, in the order of the changes.
                owed.pop(key, None)
                owed[key] = value

    def _write(self, entry: GroupEntry, pending: PendingWrites) -> asyncio.Future[None]:
        batch, pending.owed = pending.owed, {}
        pending.before, pending.later = pending.later, {}
        pending.batch = batch
        pending.in_flight = done = self._log.submit(entry.partition, list(batch.items()))
        done.add_done_callback(lambda done: self._on_written(entry, pending, batch, done))
        return done

    def _on_written(
        self,
        entry: GroupEntry,
        pending: PendingWrites,
        batch: dict[bytes, bytes | None],
        done: asyncio.Future[None],
    ) -> None:
        pending.in_flight, pending.batch = None, {}
        failure = _failure(done)
        if failure is not None:
            _LOG.warning("group %s could not be stored: %s", entry.group.group_id, failure)
        pending.is_refused = isinstance(failure, KafkaError) and not isinstance(failure, NotAcknowledged)
        if self._pending.get(entry.group.group_id) is not pending:
            return
        if self._stays(entry, pending) or self._takes_back(entry, pending):
            del self._pending[entry.group.group_id]
            if pending.queued is not None:
                pass_on(done, pending.queued)
            self._owe_former(entry, pending)
            return
        pending.stay = pending.former = None
        pending.former_unwritten = {}
        if failure is not None:
            pending.owed = {**batch, **pending.owed}
            pending.later = None
        queued, pending.queued = pending.queued, None
        if queued is not None:
            self._write(entry, pending).add_done_callback(lambda later: pass_on(later, queued))
        elif not pending.owed:
            del self._pending[entry.group.group_id]
        elif failure is not None:
            self._retry_later(entry, pending)

    def _stays(self, entry: GroupEntry, pending: PendingWrites) -> bool:
        """Lets the group stay what it was if it was to move, and nothing of that can be in the log."""
        if pending.stay is None or not pending.is_refused or not self._guard(pending.stay):
            return False
        former = pending.former
        if former is None or not former.is_refused or former.in_flight is not None:
            return True
        # What it was rests on records that were refused, too.
        if self._stays(entry, former) or self._takes_back(entry, former):
            pending.former, pending.former_unwritten = former.former, former.former_unwritten
        return True

    def _takes_back(self, entry: GroupEntry, pending: PendingWrites) -> bool:
        """Takes the changes back if none of them can be in the log."""
        group = entry.group
        if self._undo is None or not isinstance(group, ConsumerGroup) or group.is_dead:
            return False
        if not pending.is_refused:
            return False
        if self._pending.get(group.group_id) is pending:
            self._collect(group)
        if pending.before is None or pending.later is None:
            return False
        return self._guard(self._undo, entry, group, {**pending.later, **pending.before})

    def _owe_former(self, entry: GroupEntry, pending: PendingWrites) -> None:
        """What was on its way when a move began that was taken back may still not be in the log."""
        if pending.former_unwritten:
            owing = PendingWrites(owed=pending.former_unwritten, later=None)
            self._pending[entry.group.group_id] = owing
            self._retry_later(entry, owing)

    def _retry_later(self, entry: GroupEntry, pending: PendingWrites) -> None:
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._try_again, entry, pending)

    def _try_again(self, entry: GroupEntry, pending: PendingWrites) -> None:
        if not self._guard(self._retry, entry, pending):
            self._retry_later(entry, pending)

    def _retry(self, entry: GroupEntry, pending: PendingWrites) -> None:
        if self._pending.get(entry.group.group_id) is not pending or pending.in_flight is not None:
            return
        if pending.owed and not self.closed:
            self._write(entry, pending)


def _changed(group: ConsumerGroup) -> dict[bytes, bytes | None]:
    """Keys and values of what has changed, by the state that the group is in now."""
    changed: dict[bytes, bytes | None] = {}
    for name in group.take_touched():
        try:
            key = encode_key(group.group_id, name)
        except BadGroupRecord as error:
            _LOG.warning("a record of group %s cannot be stored: %s", group.group_id, error)
            continue
        changed[key] = encode_value(group, name)
    return changed


def _failure(done: asyncio.Future[None]) -> BaseException | None:
    return asyncio.CancelledError() if done.cancelled() else done.exception()


def pass_on(done: asyncio.Future[None], waiting: asyncio.Future[None]) -> None:
    """What became of `done` is what becomes of `waiting`."""
    if waiting.done():
        return
    failure = _failure(done)
    if failure is None:
        waiting.set_result(None)
        return
    code = failure.code if isinstance(failure, KafkaError) else ErrorCode.UNKNOWN_SERVER_ERROR
    waiting.set_exception(KafkaError(code, str(failure)))
    # Whoever waits may be gone.
    waiting.exception()
