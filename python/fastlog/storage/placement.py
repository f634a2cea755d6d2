"""Which log directory gets what, and whether the directories fit together: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastlog.storage.adopt import FoundPartition
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.log_dir import LogDirectory


def emptiest_first(directories: Sequence[LogDirectory], partitions: Mapping[Path, int]) -> list[LogDirectory]:
    """The online directories, those with the fewest partitions first; ties in configured order."""
    online = [directory for directory in directories if directory.online]
    return sorted(online, key=lambda directory: partitions.get(directory.path, 0))


def duplicate_directories(paths: Sequence[Path]) -> str | None:
    """Says so when two entries of `log.dirs` are one directory."""
    seen: dict[Path, Path] = {}
    for path in paths:
        real = Path(path).resolve()
        if real in seen:
            return f"log.dirs names one directory twice: {seen[real]} and {path}"
        seen[real] = path
    return None


def duplicate_partitions(found: Sequence[FoundPartition]) -> str | None:
    """Says so when a partition is in two log directories: nobody but the operator can tell which to keep."""
    seen: dict[PartitionKey, Path] = {}
    for entry in found:
        key = (entry.topic, entry.partition)
        if key in seen:
            return (
                f"partition {entry.topic}-{entry.partition} is in both {seen[key]} and {entry.path}. Move "
                "the one that is out of date away; after a failed disk, that is the one on it"
            )
        seen[key] = entry.path
    return None


def one_cluster_id(directories: Sequence[LogDirectory]) -> tuple[str | None, str | None]:
    """(the cluster id that the directories name, None) or (None, what is wrong): they must agree."""
    named = {
        directory.identity.cluster_id: directory.path
        for directory in directories
        if directory.identity is not None
    }
    if len(named) > 1:
        places = ", ".join(f"{path} names {cluster}" for cluster, path in named.items())
        return None, f"the log directories belong to different clusters: {places}"
    return next(iter(named), None), None
