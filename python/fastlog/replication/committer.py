"""Brings appended records to the disk for replicas in fsync mode, one group commit at a time per log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.native import StorageError
from fastlog.replication.partition import Partition

if TYPE_CHECKING:
    from fastlog.native import Log

_LOG: Final = logging.getLogger(__name__)
_AGAIN_SECONDS: Final = 0.5


class GroupCommitter:
    """Asks for a commit whenever a replica has unwritten records and none is under way for it.

    Appends that come during a commit are covered by the next one, which starts when the first has ended: that
    is the group. `commit` is `IoLoop.commit`.
    """

    def __init__(self, commit: Callable[[Log], asyncio.Future[int]]) -> None:
        self._commit = commit
        self._running: set[Partition] = set()
        # Those that lacked something, and when they are tried again.
        self._waiting: dict[Partition, asyncio.TimerHandle] = {}

    def request(self, replica: Partition) -> None:
        """Sees to it that everything appended to `replica` so far gets written."""
        if replica not in self._running and not replica.offline and not self._is_waiting(replica):
            self._start(replica)

    def _start(self, replica: Partition) -> None:
        try:
            future = self._commit(replica.log)
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing may be acknowledged
            self._fail(replica, error)
            return
        self._running.add(replica)
        future.add_done_callback(lambda done: self._finish(replica, done))

    def _finish(self, replica: Partition, done: asyncio.Future[int]) -> None:
        self._running.discard(replica)
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._fail(replica, error)
            return
        self._waiting.pop(replica, None)
        replica.on_flushed(done.result())
        if replica.waits_for_disk:
            self.request(replica)

    def _is_waiting(self, replica: Partition) -> bool:
        timer = self._waiting.get(replica)
        return timer is not None and timer.when() > asyncio.get_running_loop().time()

    def _again(self, replica: Partition) -> None:
        loop = asyncio.get_running_loop()
        self._waiting[replica] = loop.call_later(_AGAIN_SECONDS, self._retry, replica)

    def _retry(self, replica: Partition) -> None:
        if replica in self._running:
            return
        if replica.waits_for_disk and not replica.offline:
            self._start(replica)
        else:
            self._waiting.pop(replica, None)

    def _fail(self, replica: Partition, error: BaseException | None) -> None:
        if isinstance(error, StorageError) and error.cause in ("full", "shortage"):
            # Nothing was tried that cannot be tried again: who waits is answered later, or times out.
            if replica not in self._waiting:
                _LOG.warning("%s-%d is not on the disk yet, it is tried again: %s", *replica.key, error)
            self._again(replica)
            return
        # After a failed fsync the kernel may call lost pages clean: no later success counts.
        _LOG.error("%s-%d cannot be written to disk: %s", *replica.key, error)
        self._waiting.pop(replica, None)
        replica.take_offline()
