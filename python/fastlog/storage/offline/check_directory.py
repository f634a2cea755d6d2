"""Checks one log directory: whose it is, its checkpoints, its partitions, the room on its disk.

The metadata file is checked by the caller: its format belongs to a higher layer.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastlog.storage.checkpoints import (
    HIGH_WATERMARKS,
    LOG_START_OFFSETS,
    RECOVERY_POINTS,
    CheckpointDamaged,
    PartitionKey,
    is_own,
    read_offsets,
)
from fastlog.storage.log_dir import CLEAN_SHUTDOWN_FILE
from fastlog.storage.meta_properties import IdentityError, MetaProperties, read_meta_properties
from fastlog.storage.offline.check_partition import Known, PartitionState, check_partition
from fastlog.storage.offline.findings import Finding, Severity
from fastlog.storage.partition_dirs import DirectoryKind, parse_name

CLEANER_OFFSETS: Final = "cleaner-offset-checkpoint"
_CHECKPOINTS: Final = {
    RECOVERY_POINTS: "the broker then checks every log from its start, which only takes time",
    LOG_START_OFFSETS: "logs then begin at their first segment: repeat DeleteRecords where it matters",
    HIGH_WATERMARKS: "the broker then takes the end of each log",
    CLEANER_OFFSETS: "compaction then begins at the start of each log",
}
_LITTLE_ROOM: Final = 0.05
_RAFT_LOG: Final = "__cluster_metadata"

OnPartition = Callable[[Path, int], None]


@dataclass(slots=True)
class DirectoryState:
    """What a log directory holds."""

    path: Path
    identity: MetaProperties | None = None
    clean_shutdown: bool = False
    partitions: list[PartitionState] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def partition_directories(path: Path) -> list[Path]:
    """The directories of live partitions, by topic and number."""
    found = []
    for entry in path.iterdir():
        name = parse_name(entry.name) if entry.is_dir() else None
        if name is not None and name.kind is DirectoryKind.LIVE and name.topic != _RAFT_LOG:
            found.append((name.topic, name.partition, entry))
    return [entry for _, _, entry in sorted(found)]


def check_directory(path: Path, on_bytes: Callable[[int], None] = lambda _: None) -> DirectoryState:
    """Looks at everything. `on_bytes` is told the bytes of segments as they are read. Raises OSError."""
    state = DirectoryState(path)
    state.clean_shutdown = (path / CLEAN_SHUTDOWN_FILE).exists()
    _check_identity(state)
    offsets = {name: _check_checkpoint(path / name, text, state) for name, text in _CHECKPOINTS.items()}
    _check_leftover_directories(state)
    for entry in partition_directories(path):
        known = _known(state, entry, offsets[RECOVERY_POINTS], offsets[LOG_START_OFFSETS])
        partition = check_partition(entry, state.findings, on_bytes, known)
        if partition is not None:
            state.partitions.append(partition)
    _compare(state, offsets[RECOVERY_POINTS], offsets[LOG_START_OFFSETS])
    _check_room(state)
    return state


def _known(
    state: DirectoryState, entry: Path, recovery: dict[PartitionKey, int], starts: dict[PartitionKey, int]
) -> Known:
    name = parse_name(entry.name)
    key = ("", -1) if name is None else (name.topic, name.partition)
    return Known(
        recovery_point=recovery.get(key, 0),
        log_start_offset=starts.get(key, 0),
        offsets_are_exact=_is_exact(state, key, recovery),
        adopted=_is_adopted(state),
    )


def _is_adopted(state: DirectoryState) -> bool:
    return state.identity is None or not state.identity.fastlog


def _is_exact(state: DirectoryState, key: PartitionKey, recovery: dict[PartitionKey, int]) -> bool:
    """Whether the checkpoints were written when the log was closed."""
    exact = state.clean_shutdown and not _is_adopted(state) and key in recovery
    return exact and _is_own(state.path / LOG_START_OFFSETS)


def _is_own(path: Path) -> bool:
    try:
        return is_own(path)
    except OSError:
        # Said where it is read.
        return False


def _check_identity(state: DirectoryState) -> None:
    try:
        state.identity = read_meta_properties(state.path)
    except IdentityError as error:
        state.findings.append(
            Finding(Severity.DAMAGE, state.path / "meta.properties", str(error), "Correct the file by hand.")
        )
        return
    if state.identity is None and partition_directories(state.path):
        state.findings.append(
            Finding(
                Severity.WARNING,
                state.path / "meta.properties",
                "it is missing, although there are partitions",
                "Nothing needs to be done when this directory is the broker's: it is written at the start.",
            )
        )


def _check_checkpoint(path: Path, consequence: str, state: DirectoryState) -> dict[PartitionKey, int]:
    try:
        return read_offsets(path)
    except CheckpointDamaged as error:
        state.findings.append(Finding(Severity.WARNING, path, str(error), f"Remove the file: {consequence}."))
    except OSError as error:
        state.findings.append(
            Finding(
                Severity.DAMAGE,
                path,
                f"it cannot be read: {error.strerror}",
                f"Put it right, or take it away: {consequence}.",
            )
        )
    return {}


def _compare(
    state: DirectoryState, recovery: dict[PartitionKey, int], starts: dict[PartitionKey, int]
) -> None:
    """Checkpoints against the logs."""
    for partition in state.partitions:
        key = (partition.topic, partition.partition)
        point = recovery.get(key, 0)
        if point > partition.end_offset and starts.get(key, 0) < point and partition.sound:
            state.findings.append(
                Finding(
                    Severity.DAMAGE,
                    partition.path,
                    f"the log ends at offset {partition.end_offset}, but up to {point} was on the disk: "
                    "its end is lost",
                    "Restore the partition's directory from a backup, if there is one that reaches further. "
                    "Without one, start the broker once with --allow-data-loss: until then it does not serve "
                    "the partition.",
                )
            )
        if point < partition.end_offset and partition.sound and _is_exact(state, key, recovery):
            state.findings.append(
                Finding(
                    Severity.DAMAGE,
                    partition.path,
                    f"the log ends at offset {partition.end_offset}, but was closed at {point}: the offset "
                    "of its last batch is wrong",
                    "Restore the partition's directory from a backup. Without one, start the broker once "
                    "with --allow-data-loss: the log is cut there. Until then it does not serve the "
                    "partition.",
                )
            )
        start = starts.get(key, 0)
        if start > partition.end_offset:
            state.findings.append(
                Finding(
                    Severity.WARNING,
                    partition.path,
                    f"its log start offset is {start}, but the log ends at {partition.end_offset}",
                    "Nothing needs to be done: the broker begins the log anew at that offset.",
                )
            )
    if not state.clean_shutdown and state.partitions:
        state.findings.append(
            Finding(
                Severity.NOTE,
                state.path,
                "the last run did not end cleanly",
                "Nothing needs to be done: the broker checks the logs from their recovery points on.",
            )
        )


def _check_leftover_directories(state: DirectoryState) -> None:
    for entry in sorted(state.path.iterdir()):
        name = parse_name(entry.name) if entry.is_dir() else None
        if name is None or name.kind is DirectoryKind.LIVE:
            continue
        if name.kind is DirectoryKind.STRAY:
            finding = Finding(
                Severity.WARNING,
                entry,
                "it belongs to no partition of this broker, is kept and never served",
                "Find out whose data it is: rename it back (without the suffix) while the broker is stopped, "
                "or remove it.",
            )
        elif name.kind is DirectoryKind.DELETED:
            finding = Finding(
                Severity.NOTE,
                entry,
                "a deleted partition",
                "Nothing needs to be done: the broker removes it.",
            )
        else:
            finding = Finding(
                Severity.NOTE,
                entry,
                "a copy that Kafka was moving between directories",
                "Nothing needs to be done; it may be removed when the partition itself is sound.",
            )
        state.findings.append(finding)


def _check_room(state: DirectoryState) -> None:
    usage = shutil.disk_usage(state.path)
    if usage.free < usage.total * _LITTLE_ROOM:
        state.findings.append(
            Finding(
                Severity.WARNING,
                state.path,
                f"only {usage.free} of {usage.total} bytes are free on its disk",
                "Shorten retention, delete topics, or enlarge the file system: a full disk takes no writes.",
            )
        )
