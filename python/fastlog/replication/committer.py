"""Brings appended records to the disk for replicas in fsync mode, one group commit at a time per log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.replication.replica import PartitionKey, Replica

if TYPE_CHECKING:
    from fastlog.native import Log

_LOG: Final = logging.getLogger(__name__)


class GroupCommitter:
    """Asks for a commit whenever a replica has unwritten records and none is under way for it.

    Appends that come during a commit are covered by the next one, which starts when the first has ended: that
    is the group. `commit` is `IoLoop.commit`.
    """

    def __init__(self, commit: Callable[[Log], asyncio.Future[int]]) -> None:
        self._commit = commit
        self._running: set[PartitionKey] = set()

    def request(self, replica: Replica) -> None:
        """Sees to it that everything appended to `replica` so far gets written."""
        if replica.key not in self._running and not replica.offline:
            self._start(replica)

    def _start(self, replica: Replica) -> None:
        try:
            future = self._commit(replica.log)
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing may be acknowledged
            self._fail(replica, error)
            return
        self._running.add(replica.key)
        future.add_done_callback(lambda done: self._finish(replica, done))

    def _finish(self, replica: Replica, done: asyncio.Future[int]) -> None:
        self._running.discard(replica.key)
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._fail(replica, error)
            return
        replica.on_flushed(done.result())
        if replica.waits_for_disk:
            self.request(replica)

    def _fail(self, replica: Replica, error: BaseException | None) -> None:
        # After a failed fsync the kernel may call lost pages clean: no later success counts.
        _LOG.error("%s-%d cannot be written to disk: %s", *replica.key, error)
        replica.take_offline()
