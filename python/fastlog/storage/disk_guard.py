"""A few small preallocated files, so that decisions can still be written down when the disk is full.

Deleting a topic is the usual way out of a full disk, and it needs the metadata file to be rewritten; a clean
shutdown needs its checkpoints. `write_atomically` then writes into one of these files in place, where no new
block is needed, and renames it. Used files are made again as soon as there is room.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

from fastlog.base.files import FILE_MODE
from fastlog.storage.causes import Cause, cause_of

SLOTS: Final = 8
SLOT_BYTES: Final = 512 * 1024
_PREFIX: Final = ".fastlog-reserve-"
# A slot must hold the largest file seen, with room for it to grow until the next refill.
_HEADROOM: Final = 2


class DiskReserve:
    """The reserve of one log directory: `slots` files of at least `slot_bytes` each. Thread-safe."""

    def __init__(self, directory: Path, *, slots: int = SLOTS, slot_bytes: int = SLOT_BYTES) -> None:
        self._paths = [directory / f"{_PREFIX}{index}" for index in range(slots)]
        self._slot_bytes = slot_bytes
        self._lock = threading.Lock()

    def expect(self, size: int) -> None:
        """Later slots are made large enough for files of `size` bytes."""
        self._slot_bytes = max(self._slot_bytes, size * _HEADROOM)

    def take(self, size: int) -> Path | None:
        """See `SpareSpace.take`."""
        with self._lock:
            for path in self._paths:
                try:
                    if path.stat().st_size < size:
                        continue
                    path.replace(_taken(path))
                except FileNotFoundError:
                    continue
                return _taken(path)
        return None

    def fill(self) -> int:
        """Makes missing or small slots, as far as there is room; returns how many are ready.

        A slot that cannot be used, for its rights or because something else has its name, is made anew or
        left out. Raises OSError when the disk fails.
        """
        ready = 0
        with self._lock:
            for path in self._paths:
                try:
                    self._allocate_anew(path)
                except OSError as error:
                    cause = cause_of(error)
                    if cause is Cause.DISK:
                        raise
                    if cause is Cause.FILE:
                        continue
                    break
                ready += 1
        return ready

    def release(self, keep: int) -> None:
        """Gives the room of all slots but `keep` back to the disk: for when nobody else writes any more."""
        with self._lock:
            for path in [path for path in self._paths if path.exists()][keep:]:
                path.unlink(missing_ok=True)

    def give_room(self) -> bool:
        """Gives the room of one slot back to the disk, for a small file that cannot do without it; whether
        there was one."""
        with self._lock:
            for path in self._paths:
                if path.exists():
                    path.unlink(missing_ok=True)
                    return True
        return False

    def clear_taken(self) -> None:
        """Removes slots that a crash left between being taken and being renamed. Before other use only."""
        for path in self._paths:
            with contextlib.suppress(PermissionError, IsADirectoryError):
                _taken(path).unlink(missing_ok=True)

    def _allocate_anew(self, path: Path) -> None:
        try:
            self._allocate(path)
        except OSError as error:
            if cause_of(error) is not Cause.FILE:
                raise
            path.unlink(missing_ok=True)
            self._allocate(path)

    def _allocate(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            size = os.fstat(descriptor).st_size
            if size < self._slot_bytes:
                try:
                    os.posix_fallocate(descriptor, 0, self._slot_bytes)
                except OSError:
                    # What was allocated in part goes back; a smaller slot stays as useful as it was.
                    os.ftruncate(descriptor, size)
                    if size == 0:
                        path.unlink(missing_ok=True)
                    raise
        finally:
            os.close(descriptor)


def _taken(path: Path) -> Path:
    return path.with_name(f"{path.name}.taken")
