"""Writes what consumer groups have changed: for each group one batch at a time.

What changes while a batch is written goes into the next one. So an answer that rests on a change of another
member is never given before that change is in the log, even when a write in between fails. Records of a write
that failed are owed: the next one takes them along.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.modern.records import encode_key, encode_value
from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.table import GroupEntry

_LOG: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class PendingWrites:
    """What of one group is on its way to the log."""

    in_flight: asyncio.Future[None] | None = None
    queued: asyncio.Future[None] | None = None
    owed: dict[bytes, bytes | None] = field(default_factory=dict)


class GroupWriter:
    """The writes of all consumer groups. Used on the event loop."""

    def __init__(self, log: GroupLog) -> None:
        self._log = log
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
        self, entry: GroupEntry, group: ConsumerGroup, records: list[KeyValue]
    ) -> asyncio.Future[None] | None:
        """The same for a group that moves between the protocols: `records` are those of the classic one.

        They are submitted at once, since the classic side does not wait for the writes of this one.
        """
        former = self._pending.pop(group.group_id, None)
        pending = self._pending[group.group_id] = PendingWrites()
        if former is not None:
            pending.owed = former.owed
        self._collect(group)
        pending.owed.update(records)
        if not pending.owed:
            return None
        written = self._write(entry, pending)
        queued = None if former is None else former.queued
        if queued is not None:
            written.add_done_callback(lambda done: _pass_on(done, queued))
        return written

    def _collect(self, group: ConsumerGroup) -> None:
        touched = group.take_touched()
        if not touched:
            return
        owed = self._pending.setdefault(group.group_id, PendingWrites()).owed
        for name in touched:
            try:
                key = encode_key(group.group_id, name)
            except BadGroupRecord as error:
                _LOG.warning("a record of group %s cannot be stored: %s", group.group_id, error)
                continue
            # The newest value goes last, in the order of the changes.
            owed.pop(key, None)
            owed[key] = encode_value(group, name)

    def _write(self, entry: GroupEntry, pending: PendingWrites) -> asyncio.Future[None]:
        batch, pending.owed = pending.owed, {}
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
        pending.in_flight = None
        failure = _failure(done)
        if failure is not None:
            _LOG.warning("group %s could not be stored: %s", entry.group.group_id, failure)
        if self._pending.get(entry.group.group_id) is not pending:
            return
        if failure is not None:
            pending.owed = {**batch, **pending.owed}
        queued, pending.queued = pending.queued, None
        if isinstance(entry.group, ConsumerGroup) and entry.group.is_dead:
            # Whoever deleted it has written tombstones already: what is owed must not come after them.
            del self._pending[entry.group.group_id]
            if queued is not None and not queued.done():
                queued.set_result(None)
        elif queued is not None:
            self._write(entry, pending).add_done_callback(lambda later: _pass_on(later, queued))
        elif not pending.owed:
            del self._pending[entry.group.group_id]
        elif failure is not None:
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._retry, entry, pending)

    def _retry(self, entry: GroupEntry, pending: PendingWrites) -> None:
        group = entry.group
        if self._pending.get(group.group_id) is not pending or pending.in_flight is not None:
            return
        if isinstance(group, ConsumerGroup) and group.is_dead:
            # Its tombstones are written by those who deleted it.
            del self._pending[group.group_id]
        elif pending.owed and not self.closed:
            self._write(entry, pending)


def _failure(done: asyncio.Future[None]) -> BaseException | None:
    return asyncio.CancelledError() if done.cancelled() else done.exception()


def _pass_on(done: asyncio.Future[None], waiting: asyncio.Future[None]) -> None:
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
