"""What is wrong in the directory of one partition."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fastlog.native import CorruptLog, Log, LogConfig
from tests.integration.doctor.asked import BATCH, LOG, examined, flip, last_segment
from tests.integration.doctor.damages import add, shorten_last, zero_tail


def shift_index(partition: Path) -> None:
    index = partition / f"{LOG}.index"
    offset, position = struct.unpack(">iI", index.read_bytes()[:8])
    index.write_bytes(struct.pack(">iI", offset, position + 1) + index.read_bytes()[8:])


def late_time(partition: Path) -> None:
    index = partition / f"{LOG}.timeindex"
    timestamp, offset = struct.unpack(">qi", index.read_bytes()[:12])
    index.write_bytes(struct.pack(">qi", timestamp + 10**9, offset) + index.read_bytes()[12:])


def remove_second(partition: Path) -> None:
    segments = sorted(partition.glob("*.log"))
    segments[1].unlink()


DAMAGES: list[tuple[Callable[[Path], None], int, str, str]] = [
    (lambda p: flip(p / f"{LOG}.log", 200), 6, "checksum", "backup"),
    (lambda p: flip(last_segment(p), last_segment(p).stat().st_size - 5), 1, "torn write", "cuts the log"),
    # High bytes of an offset, which no checksum covers: of a batch with others behind it, of the last one.
    (lambda p: flip(last_segment(p), 3), 6, "a sound batch follows", "backup"),
    (
        lambda p: flip(last_segment(p), last_segment(p).stat().st_size - BATCH + 3),
        6,
        "a sound batch is",
        "backup",
    ),
    (zero_tail, 1, "zeros", "cuts the log"),
    (shorten_last, 1, "torn write", "cuts the log"),
    (remove_second, 6, "missing before this segment", "backup"),
    (shift_index, 1, "points into a batch", "remove the file"),
    (late_time, 1, "reaches", "remove the file"),
    (add(f"{LOG}.index", b"abc"), 1, "multiple of 8", "remove the file"),
    (add(f"{LOG}.txnindex", b"abc"), 1, "multiple of 34", "remove the file"),
    (add("00000000000000000005.snapshot", b"\0\1abcdefgh"), 1, "checksum", "remove the file"),
    (add("leader-epoch-checkpoint", b"0\n1\n0 99\n"), 1, "begins at offset 99", "built again"),
    (add("leader-epoch-checkpoint", b"nonsense"), 1, "version and count", "built again"),
    (add("txnindex-checkpoint", b"0\n1\n0 1 7\n"), 1, "not what they were", "builds it again"),
    (add("txnindex-checkpoint", b"0\n1\n0 1\n"), 1, "not an offset", "writes it again"),
    (add("00000000000000000007.log.swap"), 6, "that it replaces are gone", "backup"),
    (add("00000000000000000000.log.swap"), 1, "not yet moved", "Do not remove"),
    (add("00000000000000000007.log.cleaned"), 0, "interrupted compaction", "removes them"),
    (add("00000000000000000000.log.deleted"), 0, "wait for", "removes them"),
    (add("00000000000000000000.log.100.corrupt"), 1, "--allow-data-loss", "rescue"),
]


@pytest.mark.parametrize(("damage", "status", "problem", "advice"), DAMAGES)
def test_damage_of_a_partition_is_named(
    directory: Path, damage: Callable[[Path], None], status: int, problem: str, advice: str
) -> None:
    # Without it nothing is known to have been on the disk: as after a crash.
    (directory / "recovery-point-offset-checkpoint").unlink()
    damage(directory / "orders-0")
    found = [row for row in examined(directory, status)["findings"] if problem in row["problem"]]
    assert len(found) == 1
    assert advice in found[0]["advice"]
    assert found[0]["severity"] == {0: "note", 1: "warning", 6: "damage"}[status]


def test_sound_batches_around_damage_are_counted(directory: Path) -> None:
    path = directory / "orders-0" / f"{LOG}.log"
    flip(path, 200)
    flip(path, 2 * BATCH + 200)
    answer = examined(directory, 6)
    assert [row["severity"] for row in answer["findings"]] == ["damage", "damage"]
    assert answer["partitions"][0]["records"] == 26
    assert answer["partitions"][0]["sound"] is False


def test_message_formats_of_old_are_no_torn_write(directory: Path) -> None:
    (directory / "recovery-point-offset-checkpoint").unlink()
    log = last_segment(directory / "orders-0")
    message = struct.pack(">bbqii", 1, 0, 0, -1, 100) + bytes(100)
    head = struct.pack(">qiI", 30, 4 + len(message), zlib.crc32(message))
    log.write_bytes(log.read_bytes() + head + message)
    (found,) = examined(directory, 6)["findings"]
    assert "format 0 or 1" in found["problem"]
    assert "Kafka 3.x" in found["advice"]
    with pytest.raises(CorruptLog, match="not supported"):
        Log.open(str(directory / "orders-0"), LogConfig())
