"""The locks that keep two brokers off one log directory.

| lock                             | whom it keeps out                                          |
|----------------------------------|------------------------------------------------------------|
| flock(2) of the directory itself | another fastlog, whatever becomes of the files in it       |
| flock(2) of `.lock`              | an earlier fastlog                                         |
| POSIX record lock of `.lock`     | Apache Kafka: it is what a JVM takes                       |

The first one goes with the directory: who deletes `.lock` (a clean-up, a sync from elsewhere) lets nobody in.
Who moves the directory away and puts another one in its place does: `is_in_place` tells.
On a file system that has no locks of directories (NFS) the others have to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from fastlog.base.files import FILE_MODE, write_fully
from fastlog.errors import FastlogError

LOCK_FILE: Final = ".lock"
_PROC_LOCKS: Final = Path("/proc/locks")
# Digits of the largest process id, and some more.
_MOST_DIGITS: Final = 32
_ADVICE: Final = "Stop that broker first, or give this one another directory (log.dirs)"
# flock of a descriptor that is open for reading only is refused where it is made from record locks.
_NO_DIRECTORY_LOCKS: Final = frozenset(
    {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
)


class DirectoryLocked(FastlogError):
    """Another process uses the directory."""


class DirectoryLock:
    """Holds the locks from `acquire` to `release`, or to the end of the process."""

    def __init__(self, directory: Path, *, advice: str = _ADVICE) -> None:
        """`advice` is what to do when another process has it."""
        self._directory = directory
        self._advice = advice
        self._path = directory / LOCK_FILE
        self._descriptors: list[int] = []

    def acquire(self, *, make_file: bool = True) -> None:
        """Takes the locks. Raises DirectoryLocked, naming the holder where it can, or OSError.

        Without `make_file` a missing `.lock` stays missing: for who leaves nothing behind.
        """
        try:
            self._lock_directory()
            if make_file or self._path.exists():
                self._lock_file()
        except BaseException:
            self.release()
            raise

    def is_in_place(self) -> bool:
        """Whether the directory that is locked, if one is, is where its path leads to. Raises OSError."""
        if not self._descriptors:
            return True
        try:
            return os.path.samestat(os.stat(self._directory), os.fstat(self._descriptors[0]))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Gives the locks up. The file stays: removing it would let two brokers lock two different files."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _lock_directory(self) -> None:
        # First, so that the file is neither made nor written to when another one is here.
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._descriptors.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self._locked(_named_in(self._path) or _holder(descriptor), self._directory) from error
        except OSError as error:
            if error.errno not in _NO_DIRECTORY_LOCKS:
                raise

    def _lock_file(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._descriptors.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise self._locked(_named_in(self._path) or _holder(descriptor), self._path) from error
        # Only a help for people and for error messages: a full disk must not keep the broker from starting.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            write_fully(descriptor, f"{os.getpid()}\n".encode("ascii"))

    def _locked(self, holder: int | None, what: Path) -> DirectoryLocked:
        who = f"process {holder}" if holder is not None else "another process"
        held = "" if what == self._directory else f", which holds {what}"
        return DirectoryLocked(f"{self._directory} is in use by {who}{held}. {self._advice}")


def _named_in(path: Path) -> int | None:
    """The process that says in the lock file that it holds it."""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        return int(file.read(_MOST_DIGITS))
    return None


def _holder(descriptor: int) -> int | None:
    """The process that holds a lock of the file, as the kernel knows it."""
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
