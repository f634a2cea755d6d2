"""`partition.metadata`: the topic id of a partition directory, in Kafka's two lines.

version: 0
topic_id: AAAAAAAAAAAAAAAAAAAAAA
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from fastlog.base.files import replace_content
from fastlog.base.regular_file import read_regular_file
from fastlog.base.uuids import ZERO_UUID, format_uuid, parse_uuid
from fastlog.errors import FastlogError

PARTITION_METADATA_FILE: Final = "partition.metadata"
_CONTENT: Final = re.compile(r"version: (?P<version>[0-9]+)\n+topic_id: (?P<id>\S+)\n*", re.ASCII)


class PartitionMetadataDamaged(FastlogError):
    """The file is there but does not say which topic the directory belongs to."""


def read_topic_id(directory: Path) -> bytes | None:
    """The topic id of a partition directory; None when it has no file yet (Kafka before 2.8, or a crash).

    Raises PartitionMetadataDamaged, or OSError when the file cannot be read.
    """
    path = directory / PARTITION_METADATA_FILE
    try:
        text = read_regular_file(path).decode("ascii", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return None
    match = _CONTENT.fullmatch(text)
    if match is None:
        raise PartitionMetadataDamaged(f"{path} is damaged: it does not hold a version and a topic id")
    if match["version"] != "0":
        raise PartitionMetadataDamaged(f"{path} has version {match['version']}; only 0 is known")
    try:
        topic_id = parse_uuid(match["id"])
    except ValueError as error:
        raise PartitionMetadataDamaged(f"{path} is damaged: {error}") from error
    if topic_id == ZERO_UUID:
        raise PartitionMetadataDamaged(f"{path} is damaged: its topic id is zero")
    return topic_id


def write_topic_id(directory: Path, topic_id: bytes) -> None:
    """Writes the file; durable at the end of an `entries_synced` of the directory. Raises OSError."""
    content = f"version: 0\ntopic_id: {format_uuid(topic_id)}\n"
    replace_content(directory / PARTITION_METADATA_FILE, content.encode("ascii"))
