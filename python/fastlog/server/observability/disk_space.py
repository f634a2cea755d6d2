"""Room on the disks of the log directories, asked in threads: a disk that hangs must not hang a scrape."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["DiskSpace", "Room"]

_PATIENCE_SECONDS: Final = 1.0


class Room(NamedTuple):
    """Bytes of one file system: what the broker's user may still write, and its size."""

    free: int
    total: int


def room_of(path: Path) -> Room:
    """Asks the operating system. Raises OSError."""
    stat = os.statvfs(path)
    return Room(stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize)


class DiskSpace:
    """The last answer for each directory. One that fails or does not answer keeps what it had."""

    def __init__(self, paths: Sequence[Path], ask: Callable[[Path], Room] = room_of) -> None:
        self._ask = ask
        self._asking: dict[Path, asyncio.Future[Room]] = {}
        self._paths = list(paths)
        self.rooms: dict[Path, Room] = {}

    async def refresh(self, patience: float = _PATIENCE_SECONDS) -> None:
        """Asks again, and waits for the answers, but not for long. At most one question each is under way."""
        for path in self._paths:
            if path not in self._asking:
                self._asking[path] = asyncio.ensure_future(asyncio.to_thread(self._ask, path))
        await asyncio.wait(self._asking.values(), timeout=patience)
        for path, asked in list(self._asking.items()):
            if asked.done():
                del self._asking[path]
                if not asked.cancelled() and asked.exception() is None:
                    self.rooms[path] = asked.result()
