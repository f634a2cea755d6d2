"""The log of a partition as it lies on the disks of its replicas, batch by batch; without our own engine.

A segment file is a sequence of batches; each begins with base offset (i64) and length of what follows (i32),
then leader epoch (i32), magic (i8), CRC (u32), attributes (i16), last offset delta (i32).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KAFKA_3, JavaTools, dump_log_class

_HEADER: Final = struct.Struct(">qiibIhi")
_PREFIX: Final = 12
_PRODUCER: Final = struct.Struct(">qhi")
_PRODUCER_AT: Final = 43


class Batch(NamedTuple):
    """One record batch."""

    base_offset: int
    last_offset: int
    leader_epoch: int
    data: bytes

    def written_by(self) -> str:
        """Whose batch it is: a client that gives up its epoch may write a second time what had no answer."""
        producer, epoch, sequence = _PRODUCER.unpack_from(self.data, _PRODUCER_AT)
        return f"producer {producer} in epoch {epoch} at {sequence}, under leader epoch {self.leader_epoch}"

    def __str__(self) -> str:
        return f"{self.base_offset}..{self.last_offset} of epoch {self.leader_epoch}, {len(self.data)} bytes"


def batches(directory: Path) -> Iterator[Batch]:
    """All batches of a partition's directory in the order of its segments; a torn last one is left out."""
    for path in sorted(directory.glob("*.log")):
        data, position = path.read_bytes(), 0
        while position + _HEADER.size <= len(data):
            base, length, epoch, _, _, _, delta = _HEADER.unpack_from(data, position)
            end = position + _PREFIX + length
            if length < _HEADER.size - _PREFIX or end > len(data):
                break
            yield Batch(base, base + delta, epoch, data[position:end])
            position = end


def differences(directories: Mapping[int, Path], high_watermark: int | None = None) -> list[str]:
    """Where logs of one partition, by broker, are not the same byte by byte below the high watermark.

    Without one up to their ends: as they have to be when everything is in sync and nobody writes. Segments
    may begin elsewhere. The first difference to the first log is told of each of the others.
    """
    (first, directory), *others = directories.items()
    found = []
    for number, other in others:
        pairs = zip_longest(_below(directory, high_watermark), _below(other, high_watermark))
        for one, two in pairs:
            if one != two:
                found.append(f"broker {first} has {one}, broker {number} has {two} ({directory.name})")
                break
    return found


def _below(directory: Path, high_watermark: int | None) -> Iterator[Batch]:
    for batch in batches(directory):
        if high_watermark is not None and batch.last_offset >= high_watermark:
            return
        yield batch


def assert_equal_logs(
    data_dirs: Mapping[int, Path], replicas: Mapping[tuple[str, int], tuple[int, ...]]
) -> None:
    """The replicas of each partition end up with the same logs, to the byte, once nobody writes."""
    last: list[str] = []

    def equal() -> bool:
        last[:] = [
            line
            for (topic, index), numbers in replicas.items()
            for line in differences({number: data_dirs[number] / f"{topic}-{index}" for number in numbers})
        ]
        return not last

    wait_until(equal, lambda: "\n".join(last), seconds=30, pause=0.5)


def dumped(directory: Path) -> str:
    """What Kafka's DumpLogSegments says of all segments, without their names. Raises on damage."""
    said = []
    for path in sorted(directory.glob("*.log")):
        tools = JavaTools(KAFKA_3)
        done = tools.run(
            dump_log_class(KAFKA_3), "--deep-iteration", "--print-data-log", "--files", str(path)
        )
        lines = done.stdout.decode().splitlines()
        said += [
            re.sub(r"\bposition: \d+ ", "", line) for line in lines if line.startswith(("|", "baseOffset"))
        ]
    assert not [line for line in said if "isvalid: false" in line]
    return "\n".join(said)
