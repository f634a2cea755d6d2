"""Names of partition directories, as Kafka's `LocalLog` gives them.

| name                          | meaning                                                                |
|-------------------------------|------------------------------------------------------------------------|
| `topic-3`                     | partition 3 of `topic`                                                 |
| `topic-3.<32 hex>-delete`     | deleted; removed after file.delete.delay.ms                            |
| `topic-3.<32 hex>-future`     | a copy that was being moved here from another log directory            |
| `topic-3.<32 hex>-stray`      | belongs to no partition of this broker; kept, never served             |
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.uuids import new_uuid

_MAX_NAME_BYTES: Final = 255
_MAX_PARTITION: Final = 2**31 - 1


class DirectoryKind(StrEnum):
    """What the suffix of a partition directory says; the value is the suffix."""

    LIVE = ""
    DELETED = "-delete"
    FUTURE = "-future"
    STRAY = "-stray"


@dataclass(frozen=True, slots=True)
class PartitionDirectoryName:
    """A parsed directory name."""

    topic: str
    partition: int
    kind: DirectoryKind


_SUFFIXED: Final = re.compile(r"(?P<live>\S+-\S+)\.[^\s.]+(?P<suffix>-delete|-future|-stray)")
_LIVE: Final = re.compile(r"(?P<topic>\S+)-(?P<partition>0|[1-9][0-9]{0,9})")


def live_name(topic: str, partition: int) -> str:
    """The name of a partition's directory."""
    return f"{topic}-{partition}"


def retired_name(topic: str, partition: int, kind: DirectoryKind) -> str:
    """A fresh unique name for a directory that is no longer served. Long topic names are cut."""
    tail = f"-{partition}.{new_uuid().hex()}{kind.value}"
    return topic[: _MAX_NAME_BYTES - len(tail)] + tail


def parse_name(name: str) -> PartitionDirectoryName | None:
    """What a directory name says, or None when it is not a partition's."""
    kind = DirectoryKind.LIVE
    suffixed = _SUFFIXED.fullmatch(name)
    if suffixed is not None:
        kind, name = DirectoryKind(suffixed["suffix"]), suffixed["live"]
    live = _LIVE.fullmatch(name)
    if live is None or int(live["partition"]) > _MAX_PARTITION:
        return None
    return PartitionDirectoryName(live["topic"], int(live["partition"]), kind)
