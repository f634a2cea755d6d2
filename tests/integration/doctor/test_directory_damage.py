"""What is wrong in a data directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fastlog.storage.partition_metadata import write_topic_id
from tests.harness.odd_files import break_it, fifo
from tests.integration.doctor.asked import LOG, examined, flip


def replace_in(name: str, old: str, new: str) -> Callable[[Path], object]:
    def act(directory: Path) -> None:
        path = directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return act


def lose_partition(directory: Path) -> None:
    shutil.rmtree(directory / "orders-0")


def lose_segments(directory: Path) -> None:
    for log in (directory / "orders-0").glob("*.log"):
        log.write_bytes(b"")


def tear(directory: Path) -> None:
    """In the last batch, which was on the disk: no crash leaves that."""
    path = max((directory / "orders-0").glob("*.log"))
    path.write_bytes(path.read_bytes()[:-7])


def unknown_topic(directory: Path) -> None:
    shutil.copytree(directory / "orders-0", directory / "payments-0")
    (directory / "payments-0" / "partition.metadata").unlink()


def odd_file(path: Path) -> None:
    break_it(path, fifo)


JOURNAL = f"keeper/journal/{LOG}.log"
DIRECTORY_DAMAGES: list[tuple[Callable[[Path], object], int, str]] = [
    (lambda d: shutil.rmtree(d / "keeper"), 6, "has kept topics here"),
    (lambda d: flip(d / JOURNAL, 120), 6, "checksum"),
    (lambda d: (d / JOURNAL).write_bytes(b""), 6, "ends before entry 0"),
    (lambda d: shutil.rmtree(d / "keeper" / "journal"), 6, "ends before entry 0"),
    (lambda d: (d / "keeper" / "snapshot").write_bytes(b"junk"), 6, "the checksum is wrong"),
    (replace_in("meta.properties", "cluster.id=", "cluster.id=other"), 6, "names cluster other"),
    (replace_in("meta.properties", "cluster.id=", "cluster.name="), 6, "cluster.id is missing"),
    (replace_in("recovery-point-offset-checkpoint", "orders 0 30", "orders 0 35"), 1, "checksum"),
    (replace_in("meta.properties", "broker.id=1", "broker.id=5"), 6, "has all partitions on broker 1"),
    (lose_partition, 6, "directory is gone"),
    (lambda d: write_topic_id(d / "orders-0", b"another topic id"), 6, "rename it to -stray"),
    (lambda d: (d / "orders-0" / "partition.metadata").write_text("junk"), 6, "is damaged"),
    (tear, 6, "1572 are left"),
    (lambda d: os.mkfifo(d / "orders-0" / f"{LOG}.snapshot"), 6, "it is a FIFO"),
    (lambda d: odd_file(d / "keeper" / "snapshot"), 6, "it is a FIFO"),
    (lambda d: odd_file(d / "log-start-offset-checkpoint"), 6, "cannot be read"),
    (lambda d: odd_file(d / "orders-0" / "leader-epoch-checkpoint"), 6, "it is a FIFO"),
    (lambda d: odd_file(d / "orders-0" / "partition.metadata"), 6, "it is a FIFO"),
    (lose_segments, 6, "its end is lost"),
    (lambda d: (d / ".kafka_cleanshutdown").unlink(), 0, "did not end cleanly"),
    (lambda d: (d / "gone-0.0123456789abcdef0123456789abcdef-stray").mkdir(), 1, "never served"),
    (lambda d: (d / "gone-0.0123456789abcdef0123456789abcdef-delete").mkdir(), 0, "deleted partition"),
    (lambda d: shutil.copytree(d / "orders-0", d / "payments-0"), 1, "is that of another topic"),
    (unknown_topic, 0, "does not know this topic"),
]


@pytest.mark.parametrize(("damage", "status", "problem"), DIRECTORY_DAMAGES)
def test_damage_of_a_directory_is_named(
    directory: Path, damage: Callable[[Path], object], status: int, problem: str
) -> None:
    damage(directory)
    found = [row for row in examined(directory, status)["findings"] if problem in row["problem"]]
    assert found
    assert all(row["advice"] for row in found)
