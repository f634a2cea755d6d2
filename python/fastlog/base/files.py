"""Durable small files: temporary file, fsync, rename, fsync of the directory. All calls block."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

TEMPORARY_SUFFIX: Final = ".tmp"
# Others than the user of the broker have no business in its data: records, and who may log in.
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
_FULL_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpareSpace(Protocol):
    """Files with allocated blocks, given out when the disk is full (see `disk_guard`)."""

    def expect(self, size: int) -> None:
        """Files of `size` bytes are written now, so ones like them may be needed on a full disk."""
        ...

    def take(self, size: int) -> Path | None:
        """A file of at least `size` allocated bytes, now the caller's to rename away, or None."""
        ...


def is_full_disk(error: BaseException) -> bool:
    """Whether `error` says that the disk or a quota is full: a state that passes, unlike a broken disk."""
    return isinstance(error, OSError) and error.errno in _FULL_DISK


@contextmanager
def entries_synced(path: Path) -> Iterator[None]:
    """Makes durable what the block does to the entries of a directory.

    The directory is opened before: a change is not made that would then be told as failed for want of a
    descriptor.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes, spare: SpareSpace | None = None) -> None:
    """Replaces the content of `path`: after a crash it holds either the old or the new bytes, never a mix.

    On a full disk the bytes go into a file of `spare`, whose blocks are already allocated. Raises OSError;
    the old content is then still there, except after a failed fsync of the directory: it may be either.
    """
    if spare is not None:
        spare.expect(len(data))
    with entries_synced(path.parent):
        replace_content(path, data, spare)


def replace_content(path: Path, data: bytes, spare: SpareSpace | None = None) -> None:
    """The same within `entries_synced`: only at the end of that it is durable."""
    _write_beside(path, data, spare).replace(path)


def _write_beside(path: Path, data: bytes, spare: SpareSpace | None) -> Path:
    """A new file in the directory of `path` that holds `data`, durably."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        _write_new(temporary, data)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        source = spare.take(len(data)) if spare is not None and is_full_disk(error) else None
        if source is None:
            raise
        try:
            _write_over(source, data)
        except OSError:
            source.unlink(missing_ok=True)
            raise
        return source
    return temporary


def remove_durably(path: Path) -> bool:
    """Removes a file and makes that durable. False when there was none."""
    with entries_synced(path.parent):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
    return True


def make_directory(path: Path) -> bool:
    """Makes one directory and its entry in the parent durable. False when it was there."""
    with entries_synced(path.parent):
        try:
            path.mkdir(mode=DIRECTORY_MODE)
        except FileExistsError:
            return False
    return True


def make_directories(path: Path) -> None:
    """Makes a directory, and those above it that are missing, as `make_directory` does."""
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            make_directory(directory)


def write_fully(descriptor: int, data: bytes) -> None:
    """Writes all of `data`: write(2) may take less than it was offered."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _write_new(path: Path, data: bytes) -> None:
    # Not blocking: without effect on a file, and a FIFO of that name fails, instead of waiting for a reader.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        write_fully(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_over(path: Path, data: bytes) -> None:
    # No truncation before the bytes are in: cutting first would give the blocks back to a full disk.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_fully(descriptor, data)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
