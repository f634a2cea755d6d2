"""Offset checkpoints of a log directory, in Kafka's text format (`OffsetCheckpointFile`).

    0                      version
    2                      number of lines that follow
    orders 0 1500          topic, partition, offset
    __fastlog_crc32 0 ...  zlib CRC-32 of the lines above, as a decimal number

The last line looks like a partition's to Kafka, which has no such partition and ignores it. A file without
it (Kafka wrote it) is accepted; one whose sum does not fit is damaged.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastlog.base.files import SpareSpace, write_atomically
from fastlog.base.regular_file import GIBIBYTE, read_regular_file
from fastlog.errors import FastlogError

RECOVERY_POINTS: Final = "recovery-point-offset-checkpoint"
LOG_START_OFFSETS: Final = "log-start-offset-checkpoint"
CLEANER_OFFSETS: Final = "cleaner-offset-checkpoint"
HIGH_WATERMARKS: Final = "replication-offset-checkpoint"

PartitionKey = tuple[str, int]

_CRC_TOPIC: Final = "__fastlog_crc32"
_VERSION: Final = "0"
_LINE: Final = re.compile(r"(?P<topic>\S+)\s(?P<partition>0|[1-9][0-9]{0,9})\s(?P<offset>0|[1-9][0-9]{0,18})")


class CheckpointDamaged(FastlogError):
    """The checkpoint cannot be trusted. Its data is a shortcut or a lower bound: the log itself is intact."""


def encode_offsets(offsets: Mapping[PartitionKey, int]) -> bytes:
    """The bytes of a checkpoint file."""
    rows = "".join(
        f"{topic} {partition} {offset}\n" for (topic, partition), offset in sorted(offsets.items())
    )
    head = f"{_VERSION}\n{len(offsets) + 1}\n"
    crc = zlib.crc32((head + rows).encode("ascii"))
    return f"{head}{rows}{_CRC_TOPIC} 0 {crc}\n".encode("ascii")


def decode_offsets(data: bytes) -> dict[PartitionKey, int]:
    """What a checkpoint file holds. Raises CheckpointDamaged."""
    if not data:
        return {}
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise CheckpointDamaged("it holds bytes that are not ASCII") from error
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) < 2:
        raise CheckpointDamaged("it ends in the middle of a line")
    if lines[0] != _VERSION:
        raise CheckpointDamaged(f"its version is {lines[0]!r}, not {_VERSION}")
    rows = lines[2:]
    if lines[1] != str(len(rows)):
        raise CheckpointDamaged(f"it announces {lines[1]!r} lines and holds {len(rows)}")
    offsets: dict[PartitionKey, int] = {}
    for row in rows:
        match = _LINE.fullmatch(row)
        if match is None:
            raise CheckpointDamaged(f"it holds the line {row!r}")
        key = (match["topic"], int(match["partition"]))
        if key in offsets:
            raise CheckpointDamaged(f"it names partition {key[0]}-{key[1]} twice")
        offsets[key] = int(match["offset"])
    crc = offsets.pop((_CRC_TOPIC, 0), None)
    if crc is not None and crc != zlib.crc32(text[: text.rindex(_CRC_TOPIC)].encode("ascii")):
        raise CheckpointDamaged("its content does not match its checksum")
    return offsets


def read_offsets(path: Path) -> dict[PartitionKey, int]:
    """Reads a checkpoint; a missing file is empty. Raises CheckpointDamaged naming the file, or OSError."""
    try:
        data = read_regular_file(path, GIBIBYTE)
    except FileNotFoundError:
        return {}
    try:
        return decode_offsets(data)
    except CheckpointDamaged as error:
        raise CheckpointDamaged(f"{path} is damaged: {error}") from error


def is_own(path: Path) -> bool:
    """Whether there is a checkpoint that fastlog wrote: Kafka's have no checksum. Raises OSError."""
    try:
        return f"\n{_CRC_TOPIC} ".encode("ascii") in read_regular_file(path, GIBIBYTE)
    except FileNotFoundError:
        return False


def write_offsets(path: Path, offsets: Mapping[PartitionKey, int], spare: SpareSpace | None = None) -> None:
    """Replaces a checkpoint durably. Raises OSError."""
    write_atomically(path, encode_offsets(offsets), spare)
