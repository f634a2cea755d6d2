"""Makes, retires and removes partition directories. All calls block."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fastlog.base.files import entries_synced, make_directory
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError, Log, LogConfig
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partition_dirs import DirectoryKind, live_name, retired_name
from fastlog.storage.partition_metadata import PartitionMetadataDamaged, read_topic_id, write_topic_id
from fastlog.storage.recovery import OpenLog


def make_partition(
    directory: LogDirectory,
    topic: str,
    partition: int,
    topic_id: bytes,
    config: LogConfig,
    open_log: OpenLog,
) -> Log:
    """Makes the directory and the empty log of a new partition, durably; completes one that a crash left.

    Raises KafkaError(KAFKA_STORAGE_ERROR) when another partition's data is in the way, OSError, or what
    `Log.open` raises. After an error nothing new is left behind, as far as the disk allows.
    """
    directory.check_place()
    path = directory.path / live_name(topic, partition)
    made = make_directory(path)
    try:
        if not made:
            _check_leftover(path, topic_id)
        with entries_synced(path):
            write_topic_id(path, topic_id)
            log = open_log(str(path), config, clean_shutdown=made)
    except (OSError, FastlogNativeError):
        if made:
            with contextlib.suppress(OSError):
                _remove(path)
        raise
    return log


def retire(path: Path, topic: str, partition: int, kind: DirectoryKind) -> Path:
    """Renames a partition directory so that it is no longer served; durable. Returns its new path.

    Raises OSError; the directory then has its old name, as far as that can be done.
    """
    target = path.with_name(retired_name(topic, partition, kind))
    try:
        with entries_synced(path.parent):
            path.rename(target)
    except OSError:
        # Nobody would remove what is told as not renamed, and the next attempt would find nothing.
        with contextlib.suppress(OSError):
            target.rename(path)
        raise
    return target


def remove_tree(path: Path) -> None:
    """Removes a retired directory. Raises OSError; what is left is tried again later."""
    with contextlib.suppress(FileNotFoundError), entries_synced(path.parent):
        if path.is_symlink():
            # What the link leads to is the partition. The link goes last, so that it can be tried again.
            with contextlib.suppress(FileNotFoundError):
                _remove(path.resolve())
            path.unlink()
        else:
            _remove(path)


def _remove(path: Path) -> None:
    from shutil import rmtree  # brings compression along, and a start removes nothing

    rmtree(path)


def _check_leftover(path: Path, topic_id: bytes) -> None:
    try:
        found = read_topic_id(path)
    except PartitionMetadataDamaged as error:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
    if found == topic_id:
        return
    if found is not None or any(path.glob("*.log")):
        raise KafkaError(
            ErrorCode.KAFKA_STORAGE_ERROR, f"{path} is in the way: it holds data of another topic id"
        )
