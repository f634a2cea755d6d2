"""Reads small files whose names come from outside: regular files only, of a bounded size.

To open a FIFO waits for a writer, a device may never end, and a file may be larger than the memory: whoever
reads a configuration must not hang or die of what it finds under the name.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["GIBIBYTE", "read_regular_file"]

_MIB: Final = 1024 * 1024
GIBIBYTE: Final = 1024 * _MIB
_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

_NO_DEVICE: Final = (errno.ENXIO, errno.ENODEV)


def read_regular_file(path: Path, most_bytes: int = 16 * _MIB) -> bytes:
    """All of the file. Links are followed. Raises OSError, also for what is no regular file or too large."""
    # Not blocking: it has no effect on regular files, and opens a FIFO without waiting for its writer.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno in _NO_DEVICE:
            # A socket, or a device that is not there. Better what it is.
            _check_kind(path, os.stat(path).st_mode)
        raise
    try:
        _check_kind(path, os.fstat(descriptor).st_mode)
        pieces: list[bytes] = []
        left = most_bytes + 1
        while left > 0 and (piece := os.read(descriptor, min(left, _MIB))):
            pieces.append(piece)
            left -= len(piece)
    finally:
        os.close(descriptor)
    if left <= 0:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes // _MIB} MiB", str(path))
    return b"".join(pieces)


def _check_kind(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise OSError(errno.EINVAL, f"it is {name}, not a regular file", str(path))
