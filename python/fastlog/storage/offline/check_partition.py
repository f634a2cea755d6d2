"""Checks one partition directory: its segments in order, and the small files beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastlog.native import look_for_missing
from fastlog.storage.offline.check_segment import Progress, SegmentState, check_segment
from fastlog.storage.offline.check_transaction_indexes import check_transaction_indexes
from fastlog.storage.offline.findings import Finding, Severity
from fastlog.storage.offline.formats import (
    FileDamaged,
    base_offset_of,
    read_compacted_below,
    read_leader_epochs,
    read_snapshot,
)
from fastlog.storage.partition_dirs import parse_name
from fastlog.storage.partition_metadata import PartitionMetadataDamaged, read_topic_id

LEADER_EPOCHS: Final = "leader-epoch-checkpoint"
COMPACTION: Final = "compaction-checkpoint"

_RESTORE: Final = (
    "Restore the partition's directory from a backup. Without one, start the broker once with "
    "--allow-data-loss: until then it does not serve the partition."
)
_TAKE_AWAY: Final = "Take it away. A *.log file comes from a backup; the broker makes the others again."
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
    """What a partition directory holds. `start_offset` is that of the first segment.

    `open_transactions` are producer ids and the first offsets of what they have not ended.
    """

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
    open_transactions: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What the checkpoints of the log directory say of a partition, as a start would take it."""

    recovery_point: int = 0
    log_start_offset: int = 0
    offsets_are_exact: bool = False
    adopted: bool = True


def check_partition(
    path: Path, findings: list[Finding], progress: Progress = lambda _: None, known: Known | None = None
) -> PartitionState | None:
    """Looks at everything in a partition's directory; None when its name is none of a partition."""
    name = parse_name(path.name)
    if name is None:
        return None
    known = known or Known()
    missing = _check_missing(path, known, findings)
    files = sorted(entry for entry in path.iterdir() if entry.is_file())
    _check_leftovers(path, [file for file in files if str(file) not in missing], findings)
    logs = [entry for entry in files if entry.suffix == ".log"]
    states: list[SegmentState] = []
    for log in logs:
        try:
            before = states[-1].next_offset if states else None
            states.append(
                check_segment(
                    log,
                    is_last=log is logs[-1],
                    findings=findings,
                    progress=progress,
                    # Of what was deleted on purpose nothing is missed.
                    recovery_point=max(0, known.recovery_point)
                    if known.log_start_offset < known.recovery_point
                    else 0,
                )
            )
        except FileDamaged as error:
            findings.append(Finding(Severity.WARNING, log, str(error), "Move the file out of the directory."))
            continue
        if before is not None and states[-1].base_offset != before:
            _check_gap(path, log, states, known, findings)
    _check_last_batch(path, states, known, findings)
    start = states[0].base_offset if states else 0
    end = states[-1].next_offset if states else 0
    _check_epochs(path, states, end, known, findings)
    _check_snapshots(files, logs, end, findings)
    check_transaction_indexes(path, findings)
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
        open_transactions=_open_transactions(states),
    )


def _open_transactions(states: Sequence[SegmentState]) -> tuple[tuple[int, int], ...]:
    """Transactions without a marker, by their first offsets."""
    transactions: dict[int, int] = {}
    for state in states:
        for producer_id in state.ended:
            transactions.pop(producer_id, None)
        for producer_id, first in state.open_transactions.items():
            transactions.setdefault(producer_id, first)
    return tuple(sorted(transactions.items(), key=lambda item: item[1]))


def _check_missing(path: Path, known: Known, findings: list[Finding]) -> str:
    """What a start refuses before it looks at any segment; returns it too."""
    reason = look_for_missing(
        str(path),
        recovery_point=known.recovery_point,
        log_start_offset=known.log_start_offset,
        offsets_are_exact=known.offsets_are_exact,
        adopted=known.adopted,
    )
    if reason is not None:
        advice = _TAKE_AWAY if "in the place of a file of the log" in reason else _RESTORE
        findings.append(Finding(Severity.DAMAGE, path, reason, advice))
    try:
        read_topic_id(path)
    except (PartitionMetadataDamaged, OSError) as error:
        findings.append(
            Finding(Severity.DAMAGE, path, str(error), "Remove partition.metadata: it is written again.")
        )
    return reason or ""


def _check_gap(
    path: Path, log: Path, states: Sequence[SegmentState], known: Known, findings: list[Finding]
) -> None:
    last, state = states[-2:]
    due, base = last.next_offset, state.base_offset
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
        return
    if last.listed is not None and last.listed < base:
        findings.append(
            Finding(
                Severity.DAMAGE,
                log,
                f"offsets {due} to {base - 1} are missing before this segment: the index of the one before "
                f"it lists offset {last.listed}",
                _RESTORE,
            )
        )
        return
    compacted_below = read_compacted_below(path / COMPACTION)
    if compacted_below is not None and base <= compacted_below:
        return
    evidence = any(state.compacted for state in states[:-1])
    is_open = compacted_below is None and (evidence or known.adopted)
    findings.append(
        Finding(
            Severity.WARNING if is_open else Severity.DAMAGE,
            log,
            f"offsets {due} to {base - 1} are missing before this segment",
            "Normal for a compacted topic that Kafka wrote. Otherwise a segment file is lost: restore it "
            "from a backup."
            if is_open
            else _RESTORE,
        )
    )


def _check_last_batch(
    path: Path, states: Sequence[SegmentState], known: Known, findings: list[Finding]
) -> None:
    """No checksum covers an offset: where nothing was compacted the next batch has to confirm it."""
    if not states or states[-1].unconfirmed is None:
        return
    due, base = states[-1].unconfirmed
    compacted_below = read_compacted_below(path / COMPACTION)
    evidence = known.adopted or any(state.compacted for state in states[:-1])
    if base <= compacted_below if compacted_below is not None else evidence:
        return
    problem = f"the last batch has the offset {base} where {due} is due"
    findings.append(Finding(Severity.DAMAGE, path, problem, _RESTORE))


def _check_epochs(
    path: Path, states: Sequence[SegmentState], end: int, known: Known, findings: list[Finding]
) -> None:
    file = path / LEADER_EPOCHS
    if not file.exists():
        return
    problem, lost = None, False
    try:
        problem, lost = _judge_epochs(read_leader_epochs(file), states, end, known)
    except IsADirectoryError:
        # Said already.
        return
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
    except FileDamaged as error:
        problem = str(error)
    if lost and problem is not None:
        findings.append(Finding(Severity.DAMAGE, path, problem, _RESTORE))
    elif problem is not None:
        findings.append(
            Finding(
                Severity.WARNING,
                file,
                problem,
                "Stop the broker, remove the file and .kafka_cleanshutdown: it is built again from the log.",
            )
        )


def _judge_epochs(
    epochs: Sequence[tuple[int, int]], states: Sequence[SegmentState], end: int, known: Known
) -> tuple[str | None, bool]:
    """What does not fit to the batches, and whether it is the batches that are wrong."""
    if any(not (a[0] < b[0] and a[1] <= b[1]) for a, b in itertools.pairwise(epochs)):
        return "epochs and offsets do not rise from line to line", False
    if epochs and epochs[-1][1] > end:
        return f"epoch {epochs[-1][0]} begins at offset {epochs[-1][1]}, but the log ends at {end}", False
    latest = epochs[-1][0] if epochs else -1
    newest = max((state.last_epoch for state in states), default=-1)
    if newest > latest:
        # Each is written down before its first batch is, by us.
        lost = bool(epochs) and not known.adopted
        return f"batches have leader epoch {newest}, the file knows {latest} at most", lost
    return None, False


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
        except OSError as error:
            problem = f"it cannot be read: {error.strerror}"
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
