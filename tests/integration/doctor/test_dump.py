"""`fastlog log dump`."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.harness.batches import batch
from tests.integration.doctor.asked import LOG, dumped, fastlog, flip


def test_dump_shows_batches_and_records(directory: Path) -> None:
    rows = dumped(directory / "orders-0", "--records", "--from", 4, "--to", 5)
    assert [row["kind"] for row in rows] == ["batch", "record", "record"]
    assert (rows[0]["base_offset"], rows[0]["count"], rows[0]["codec"]) == (4, 2, "none")
    assert [(row["offset"], row["value"]) for row in rows[1:]] == [(4, "C" * 1500), (5, None)]
    assert len([row for row in dumped(directory / "orders-0") if row["kind"] == "batch"]) == 15


@pytest.mark.parametrize("late", [0, 1_000_000])
def test_dump_shows_markers_of_transactions(tmp_path: Path, late: int) -> None:
    """Also with the delete horizon of a compaction, from which the record's time is many bytes away."""
    markers = [
        batch(
            b"\0\0\0\0\0\0", key=struct.pack(">hh", 0, kind), attributes=48, base_offset=kind, time_delta=late
        )
        for kind in (0, 1)
    ]
    (tmp_path / f"{LOG}.log").write_bytes(b"".join(markers))
    rows = [row for row in dumped(tmp_path, "--records") if row["kind"] == "record"]
    assert [(row["offset"], row["marker"]) for row in rows] == [(0, "abort"), (1, "commit")]


def test_dump_shows_the_small_files(directory: Path) -> None:
    partition = directory / "orders-0"
    entries = dumped(partition / f"{LOG}.index")
    assert entries
    assert set(entries[0]) == {"file", "kind", "offset", "position"}
    assert dumped(partition / f"{LOG}.timeindex")[0]["timestamp"] > 0
    assert dumped(partition / "leader-epoch-checkpoint")[0]["start_offset"] == 0
    points = dumped(directory / "recovery-point-offset-checkpoint")
    assert ("orders", 0, 30) in [(row["topic"], row["partition"], row["offset"]) for row in points]


def test_dump_says_where_a_segment_is_damaged(directory: Path) -> None:
    path = directory / "orders-0" / f"{LOG}.log"
    flip(path, 200)
    (problem,) = dumped(path, status=6)
    assert (problem["kind"], problem["position"]) == ("problem", 0)
    assert "checksum" in problem["reason"]
    assert problem["next_batch"]["base_offset"] == 2
    assert fastlog("log", "dump", path.with_suffix(".nothing")).returncode == 2
    done = fastlog("log", "dump", directory / "meta.properties")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("can be shown; meta.properties is text\n")
