"""Which log directory gets what, and whether the directories fit together: pure functions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastlog.storage.adopt import FoundPartition
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.meta_properties import IdentityError


def emptiest_first(directories: Sequence[LogDirectory], partitions: Mapping[Path, int]) -> list[LogDirectory]:
    """The online directories, those with the fewest partitions first; ties in configured order."""
    online = [directory for directory in directories if directory.online]
    return sorted(online, key=lambda directory: partitions.get(directory.path, 0))


def duplicate_directories(paths: Sequence[Path]) -> str | None:
    """Says so when two entries of `log.dirs` are one directory."""
    seen: dict[Path, Path] = {}
    for path in paths:
        # Not `Path.resolve`, which raises when links lead in a circle: whoever opens the path says that.
        real = Path(os.path.realpath(path))
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


def common_identity(directories: Sequence[LogDirectory]) -> tuple[str, int] | None:
    """The cluster id and node id that the directories name, None when none does.

    Raises IdentityError when they do not agree.
    """
    named = {
        (directory.identity.cluster_id, directory.identity.node_id): directory.path
        for directory in directories
        if directory.identity is not None
    }
    if len(named) > 1:
        places = ", ".join(
            f"{path} is of broker {node_id} in cluster {cluster_id}"
            for (cluster_id, node_id), path in named.items()
        )
        raise IdentityError(f"the log directories do not belong together: {places}")
    return next(iter(named), None)
