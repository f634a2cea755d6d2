"""The lock that keeps two brokers off one log directory: `.lock`, as Kafka names it.

Two locks are taken on the file: flock(2), which also sees a second broker in this process, and the POSIX
record lock, which is what a JVM takes, so that Kafka and fastlog keep each other out too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

from fastlog.errors import FastlogError
from fastlog.storage.files import write_fully

LOCK_FILE: Final = ".lock"
_PROC_LOCKS: Final = Path("/proc/locks")


class DirectoryLocked(FastlogError):
    """Another process uses the directory."""


class DirectoryLock:
    """Holds the lock from `acquire` to `release`, or to the end of the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock. Raises DirectoryLocked, naming the holder's process id where it can, or OSError."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            who = f"process {holder}" if holder is not None else "another process"
            raise DirectoryLocked(
                f"{self._directory} is in use by {who}, which holds {self._path}. Stop that broker first, or "
                "give this one another directory (log.dirs)"
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        # Only a help for people and for error messages: a full disk must not keep the broker from starting.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            write_fully(descriptor, f"{os.getpid()}\n".encode("ascii"))

    def release(self) -> None:
        """Gives the lock up. The file stays: removing it would let two brokers lock two different files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _holder(descriptor: int) -> int | None:
    """The process that holds the lock: as it wrote in the file, else as the kernel knows it."""
    with contextlib.suppress(OSError, ValueError):
        return int(os.pread(descriptor, 32, 0).decode("ascii"))
    inode = str(os.fstat(descriptor).st_ino)
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _PROC_LOCKS.read_text().splitlines():
            # 1: FLOCK ADVISORY WRITE 4711 08:01:131072 0 EOF; waiting locks have "->" in second place.
            fields = line.split()
            if fields[1] == "->" or fields[5].rsplit(":", 1)[1] != inode:
                continue
            # The first of the two locks may be ours by now.
            if (pid := int(fields[4])) != os.getpid():
                return pid
    return None
