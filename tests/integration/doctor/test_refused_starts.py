"""The doctor and a start of the log agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastlog.native import CorruptLog, Log, LogConfig
from tests.integration.doctor.asked import BATCH, LOG, examined, flip, last_segment
from tests.integration.doctor.damages import add


def cut_first(partition: Path) -> None:
    log = min(partition.glob("*.log"))
    log.write_bytes(log.read_bytes()[:-BATCH])


def cut_last(partition: Path) -> None:
    log = last_segment(partition)
    log.write_bytes(log.read_bytes()[:-BATCH])


def empty(pick: Callable[[list[Path]], Path]) -> Callable[[Path], object]:
    return lambda partition: pick(sorted(partition.glob("*.log"))).write_bytes(b"")


def unlink(pick: Callable[[list[Path]], Path]) -> Callable[[Path], object]:
    return lambda partition: pick(sorted(partition.glob("*.log"))).unlink()


def first_and_its_indexes(partition: Path) -> None:
    for path in partition.glob(f"{LOG}.*"):
        path.unlink()


def wrong_offset_of_the_last_batch(partition: Path) -> None:
    log = last_segment(partition)
    flip(log, log.stat().st_size - BATCH + 6)


def directory_for(name: str) -> Callable[[Path], object]:
    def act(partition: Path) -> None:
        (partition / name).unlink()
        (partition / name).mkdir()

    return act


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        *(unlink(lambda logs, at=at: logs[at]) for at in (0, 1, -1)),  # type: ignore[misc]
        *(empty(lambda logs, at=at: logs[at]) for at in (0, 1, -1)),  # type: ignore[misc]
        first_and_its_indexes,
        cut_first,
        cut_last,
        wrong_offset_of_the_last_batch,
        add("00000000000000000007.log.swap"),
        add("00000000000000000007.index.swap"),
        directory_for(f"{LOG}.log"),
        directory_for(f"{LOG}.index"),
        directory_for("leader-epoch-checkpoint"),
    ],
)
def test_the_doctor_finds_what_a_start_refuses(
    directory: Path, damage: Callable[[Path], object], clean: bool
) -> None:
    if not clean:
        (directory / ".kafka_cleanshutdown").unlink()
    damage(directory / "orders-0")
    found = [row for row in examined(directory, 6)["findings"] if row["severity"] == "damage"]
    assert all("orders-0" in row["path"] for row in found)
    with pytest.raises(CorruptLog, match="orders-0"):
        Log.open(
            str(directory / "orders-0"),
            LogConfig(),
            recovery_point=30,
            clean_shutdown=clean,
            offsets_are_exact=clean,
        )


def test_a_leader_epoch_that_nobody_had(directory: Path) -> None:
    """After a crash: after a clean stop it is found when it is read."""
    (directory / ".kafka_cleanshutdown").unlink()
    log = last_segment(directory / "orders-0")
    flip(log, log.stat().st_size - BATCH + 15)
    (found,) = [row for row in examined(directory, 6)["findings"] if row["severity"] == "damage"]
    assert "leader epoch 255" in found["problem"]
    with pytest.raises(CorruptLog, match="leader epoch 255"):
        Log.open(str(directory / "orders-0"), LogConfig(), recovery_point=30)


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_what_the_doctor_says_of_a_start_that_allows_losses_is_so(directory: Path, segment: int) -> None:
    """After a clean stop, when no start looks at the batches, and below the recovery point too."""
    partition = directory / "orders-0"
    flip(sorted(partition.glob("*.log"))[segment], 200)
    (found,) = examined(directory, 6)["findings"]
    assert "the log is cut at the damage" in found["advice"]
    Log.open(
        str(partition), LogConfig(), recovery_point=30, clean_shutdown=True, allow_data_loss=True
    ).close()
    assert list(partition.glob("*.corrupt"))
    assert not [row for row in examined(directory, 1)["findings"] if row["severity"] == "damage"]
