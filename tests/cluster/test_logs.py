"""The comparison of logs sees each way in which two of them can differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fastlog.native import build_batch
from tests.cluster.logs import batches, differences
from tests.cluster.verdict import with_batches
from tests.harness.batches import batch


def written(directory: Path, *segments: Sequence[bytes]) -> Path:
    directory.mkdir()
    for number, segment in enumerate(segments):
        (directory / f"{number:020d}.log").write_bytes(b"".join(segment))
    return directory


def two(base: int, *, values: tuple[bytes, bytes] = (b"a", b"b"), epoch: int = 0) -> bytes:
    """A batch of two records."""
    data = bytearray(batch(*values, base_offset=base))
    data[12:16] = epoch.to_bytes(4, "big")
    return bytes(data)


WHOLE = (two(0), two(2), two(4, epoch=1))


def test_where_segments_begin_does_not_matter(tmp_path: Path) -> None:
    one = written(tmp_path / "1", WHOLE)
    other = written(tmp_path / "2", WHOLE[:1], WHOLE[1:])
    assert [(item.base_offset, item.last_offset, item.leader_epoch) for item in batches(other)] == [
        (0, 1, 0),
        (2, 3, 0),
        (4, 5, 1),
    ]
    assert differences({1: one, 2: other}) == []


@pytest.mark.parametrize(
    "other",
    [
        (*WHOLE[:2], two(4, epoch=2)),
        (*WHOLE[:2], two(4, values=(b"a", b"c"), epoch=1)),
        WHOLE[:2],
        (*WHOLE, two(6)),
        WHOLE[1:],
    ],
    ids=["another epoch", "another value", "shorter", "longer", "without its start"],
)
def test_a_difference_is_told_unless_it_is_above_the_high_watermark(
    other: tuple[bytes, ...], tmp_path: Path
) -> None:
    directories = {1: written(tmp_path / "1", WHOLE), 2: written(tmp_path / "2", other)}
    (told,) = differences(directories)
    assert told.startswith("broker 1 has ")
    assert bool(differences(directories, 4)) == (other == WHOLE[1:])


def test_a_torn_tail_is_left_out(tmp_path: Path) -> None:
    torn = written(tmp_path / "1", (*WHOLE, two(6)[:-1]))
    assert differences({1: torn, 2: written(tmp_path / "2", WHOLE)}) == []


def test_duplicates_are_told_with_their_batches(tmp_path: Path) -> None:
    row = (None, b"v", [], 0)
    mine = build_batch([row], base_offset=0, producer_id=7, producer_epoch=0, base_sequence=3, leader_epoch=1)
    again = build_batch(
        [row], base_offset=1, producer_id=7, producer_epoch=1, base_sequence=0, leader_epoch=2
    )
    written(tmp_path / "t-4", (mine, again))
    lines = ["lost write: 1", "duplicate: 5 is at 4/1 and at 4/0", "duplicate: 6 is at 4/0 and at 4/9"]
    lost, first, second = with_batches(tmp_path, lines, "t")
    assert lost == lines[0]
    one, other = (
        "producer 7 in epoch 0 at 3, under leader epoch 1",
        "producer 7 in epoch 1 at 0, under leader epoch 2",
    )
    assert first == f"{lines[1]}; written by {other}; by {one}"
    assert second == f"{lines[2]}; written by {one}; by nobody"
