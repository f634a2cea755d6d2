"""Notices that appends find no room on a disk, and that they do again: each is told once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastlog.native import Log

QUIET_SECONDS: Final = 10.0
"""For so long nothing may have been refused: on a nearly full disk small batches fit, large ones do not."""
_LOOK_SECONDS: Final = 1.0


class RoomWatch:
    """Told of refused appends by whoever sees them, and asked to look now and then while there are some.

    `tell(directory, full)` is called with each of them, and once when there is room again.
    """

    def __init__(self, monotonic: Callable[[], float], tell: Callable[[Path, bool], None]) -> None:
        self._monotonic = monotonic
        self._tell = tell
        self.waiting: dict[int, Log] = {}
        """Logs that have found no room, by identity."""
        self._look_at = 0.0

    def refused(self, log: Log) -> None:
        """An append to this log has found no room."""
        self.waiting[id(log)] = log
        self._look_at = self._monotonic() + QUIET_SECONDS
        self._tell(_directory(log), True)

    def forget(self, log: Log) -> None:
        """Nothing is appended to this log any more. Kept here it would keep its files, and their room."""
        self.waiting.pop(id(log), None)

    def look(self) -> None:
        """Looks whether something has been appended since. Cheap when it is too early for that."""
        now = self._monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        regained = {_directory(log) for log in self.waiting.values() if not log.is_out_of_room}
        for directory in regained:
            self._tell(directory, False)
        self.waiting = {key: log for key, log in self.waiting.items() if _directory(log) not in regained}


def _directory(log: Log) -> Path:
    return Path(log.path).parent
