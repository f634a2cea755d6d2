"""Checks one partition directory: its segments in order, and the small files beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastlog.storage.offline.check_segment import Progress, SegmentState, check_segment
from fastlog.storage.offline.findings import Finding, Severity
from fastlog.storage.offline.formats import (
    FileDamaged,
    base_offset_of,
    read_leader_epochs,
    read_snapshot,
)
from fastlog.storage.partition_dirs import parse_name

LEADER_EPOCHS: Final = "leader-epoch-checkpoint"
COMPACTION: Final = "compaction-checkpoint"

_LEFTOVERS: Final = {
    ".deleted": (
        Severity.NOTE,
        "segment files that were deleted and wait for file.delete.delay.ms",
        "Nothing needs to be done: the broker removes them.",
    ),
    ".cleaned": (
        Severity.NOTE,
        "files that an interrupted compaction was writing",
        "Nothing needs to be done: the broker removes them at its next start.",
    ),
    ".swap": (
        Severity.WARNING,
        "files that a finished compaction had not yet moved into their place",
        "Nothing needs to be done: the broker completes the step at its next start. Do not remove them.",
    ),
    ".tmp": (
        Severity.NOTE,
        "files that were being replaced when the broker ended",
        "Nothing needs to be done: the broker removes or replaces them.",
    ),
    ".corrupt": (
        Severity.WARNING,
        "bytes that a start with --allow-data-loss cut off",
        "Keep them as long as you may want to rescue records; then remove them by hand.",
    ),
}


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What a partition directory holds. `start_offset` is that of the first segment."""

    topic: str
    partition: int
    path: Path
    segments: int
    batches: int
    records: int
    size_bytes: int
    start_offset: int
    end_offset: int
    sound: bool


def check_partition(
    path: Path, findings: list[Finding], progress: Progress = lambda _: None
) -> PartitionState | None:
    """Looks at everything in a partition's directory; None when its name is none of a partition."""
    name = parse_name(path.name)
    if name is None:
        return None
    files = sorted(entry for entry in path.iterdir() if entry.is_file())
    _check_leftovers(path, files, findings)
    logs = [entry for entry in files if entry.suffix == ".log"]
    states: list[SegmentState] = []
    for log in logs:
        try:
            before = states[-1].next_offset if states else None
            states.append(check_segment(log, is_last=log is logs[-1], findings=findings, progress=progress))
        except FileDamaged as error:
            findings.append(Finding(Severity.WARNING, log, str(error), "Move the file out of the directory."))
            continue
        if before is not None and states[-1].base_offset != before:
            _check_gap(path, log, before, states[-1].base_offset, findings)
    start = states[0].base_offset if states else 0
    end = states[-1].next_offset if states else 0
    _check_epochs(path, states, end, findings)
    _check_snapshots(files, logs, end, findings)
    if not logs:
        findings.append(
            Finding(
                Severity.WARNING,
                path,
                "there is no segment in it",
                "Nothing needs to be done for a new partition: the broker begins an empty log. If it had "
                "data, restore the directory from a backup before the broker starts.",
            )
        )
    return PartitionState(
        topic=name.topic,
        partition=name.partition,
        path=path,
        segments=len(states),
        batches=sum(state.batches for state in states),
        records=sum(state.records for state in states),
        size_bytes=sum(log.stat().st_size for log in logs),
        start_offset=start,
        end_offset=end,
        sound=all(state.sound for state in states),
    )


def _check_gap(path: Path, log: Path, due: int, base: int, findings: list[Finding]) -> None:
    if base < due:
        findings.append(
            Finding(
                Severity.DAMAGE,
                log,
                f"the segment begins at offset {base}, but the one before it reaches {due - 1}",
                "Restore the partition's directory from a backup, or find out which of the two files does "
                "not belong here and move it away.",
            )
        )
    elif not (path / COMPACTION).exists():
        findings.append(
            Finding(
                Severity.WARNING,
                log,
                f"offsets {due} to {base - 1} are missing before this segment",
                "Normal for a compacted topic that Kafka wrote. Otherwise a segment file is lost: restore it "
                "from a backup.",
            )
        )


def _check_epochs(path: Path, states: Sequence[SegmentState], end: int, findings: list[Finding]) -> None:
    file = path / LEADER_EPOCHS
    if not file.exists():
        return
    problem = None
    try:
        epochs = read_leader_epochs(file)
    except FileDamaged as error:
        problem = str(error)
    else:
        if any(not (a[0] < b[0] and a[1] <= b[1]) for a, b in itertools.pairwise(epochs)):
            problem = "epochs and offsets do not rise from line to line"
        elif epochs and epochs[-1][1] > end:
            problem = f"epoch {epochs[-1][0]} begins at offset {epochs[-1][1]}, but the log ends at {end}"
        else:
            latest = epochs[-1][0] if epochs else -1
            newest = max((state.last_epoch for state in states), default=-1)
            if newest > latest:
                problem = f"batches have leader epoch {newest}, the file knows {latest} at most"
    if problem is not None:
        findings.append(
            Finding(
                Severity.WARNING,
                file,
                problem,
                "Stop the broker, remove the file and .kafka_cleanshutdown: it is built again from the log.",
            )
        )


def _check_snapshots(files: Iterable[Path], logs: Sequence[Path], end: int, findings: list[Finding]) -> None:
    for file in files:
        if file.suffix != ".snapshot":
            continue
        problem = None
        try:
            offset = base_offset_of(file)
            for producer in read_snapshot(file):
                if producer.last_offset >= offset:
                    problem = f"producer {producer.producer_id} has offset {producer.last_offset} in it"
        except FileDamaged as error:
            problem = str(error)
        else:
            if logs and offset > end:
                problem = f"it is of offset {offset}, but the log ends at {end}"
        if problem is not None:
            findings.append(
                Finding(
                    Severity.WARNING,
                    file,
                    problem,
                    "Stop the broker and remove the file: producer states are built again from an older "
                    "snapshot and the log.",
                )
            )


def _check_leftovers(path: Path, files: Iterable[Path], findings: list[Finding]) -> None:
    by_suffix: dict[str, list[Path]] = {}
    for file in files:
        by_suffix.setdefault(file.suffix, []).append(file)
    for suffix, (severity, what, advice) in _LEFTOVERS.items():
        if found := by_suffix.get(suffix):
            size = sum(file.stat().st_size for file in found)
            findings.append(Finding(severity, path, f"{len(found)} *{suffix} ({size} bytes): {what}", advice))
