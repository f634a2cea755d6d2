"""What an error of the operating system costs: nothing but its operation, one partition, or a log directory.

| cause    | what it says                                                           | what it costs     |
|----------|------------------------------------------------------------------------|-------------------|
| FULL     | the disk or a quota is full                                            | that operation    |
| SHORTAGE | this process, or the machine, has no descriptor, memory or thread left | that operation    |
| FILE     | one file or directory cannot be used: rights, a missing name, a loop   | its partition     |
| DISK     | the device does not work                                               | its log directory |

Which number is what is decided in one place, the engine's `cause.rs`. A failed fsync of a temporary file is
judged by its number like any other call: nothing was promised yet, and the next attempt takes a new file.
"""

from __future__ import annotations

from enum import StrEnum

from fastlog.native import StorageError, errno_cause


class Cause(StrEnum):
    """What is wrong; the values are those of `fastlog.native.shapes.Cause`."""

    FULL = "full"
    SHORTAGE = "shortage"
    FILE = "file"
    DISK = "disk"

    @property
    def passes(self) -> bool:
        """Whether the same operation may succeed later."""
        return self in (Cause.FULL, Cause.SHORTAGE)


def cause_of(error: BaseException) -> Cause | None:
    """What `error` is about; None for errors that are not the operating system's."""
    if isinstance(error, StorageError):
        return None if error.cause is None else Cause(error.cause)
    if isinstance(error, OSError):
        return Cause.FILE if error.errno is None else Cause(errno_cause(error.errno))
    # What `threading` raises when the system gives it no thread.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "new thread" in str(error)):
        return Cause.SHORTAGE
    return None


def passes(error: BaseException) -> bool:
    """Whether the same operation may succeed later: a full disk, or a shortage of the process."""
    cause = cause_of(error)
    return cause is not None and cause.passes
