"""Lists what is in a log directory: partitions to open, directories to remove, and those to leave alone.

The same listing serves a normal start and the first start on a directory that Kafka 3.x wrote: which topic a
partition directory belongs to, it says itself (`partition.metadata`). Nothing is changed here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.regular_file import read_regular_file
from fastlog.storage.partition_dirs import DirectoryKind, parse_name
from fastlog.storage.partition_metadata import PartitionMetadataDamaged, read_topic_id

_LOG: Final = logging.getLogger(__name__)

# KRaft's own metadata log, the cache of remote indexes, what the keeper of this broker has: no partitions.
_KRAFT_METADATA_TOPIC: Final = "__cluster_metadata"
_NOT_PARTITIONS: Final = frozenset({"remote-log-index-cache", "lost+found", "keeper", "keeper.taken-over"})
_EPOCH_FILE: Final = "leader-epoch-checkpoint"
_EPOCH_LINE: Final = re.compile(r"([0-9]{1,10}) ([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class FoundPartition:
    """A live partition directory.

    `topic_id` is None when the directory does not say; `problem` says why it cannot be trusted.
    `latest_epoch` is the last leader epoch written to it, -1 when none is known.
    """

    topic: str
    partition: int
    path: Path
    topic_id: bytes | None = None
    problem: str | None = None
    latest_epoch: int = -1

    @property
    def log_dir(self) -> Path:
        """The log directory that holds it."""
        return self.path.parent


@dataclass(frozen=True, slots=True)
class Listing:
    """What one log directory holds. `future`, `stray` and `foreign` are reported and left alone."""

    partitions: list[FoundPartition] = field(default_factory=list)
    deleted: list[Path] = field(default_factory=list)
    future: list[Path] = field(default_factory=list)
    stray: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)


def list_log_directory(path: Path) -> Listing:
    """Reads one log directory. Raises OSError when it cannot be read."""
    listing = Listing()
    # A link to a directory counts as one, as in Kafka: a partition that was moved to another disk by hand.
    for entry in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        name = parse_name(entry.name)
        if name is None:
            if entry.name not in _NOT_PARTITIONS and not entry.name.startswith("."):
                listing.foreign.append(entry)
        elif name.topic == _KRAFT_METADATA_TOPIC:
            _LOG.debug("%s is KRaft's metadata log, it is not opened", entry)
        elif name.kind is DirectoryKind.LIVE:
            listing.partitions.append(_partition(entry, name.topic, name.partition))
        else:
            _by_kind(listing, name.kind).append(entry)
    return listing


def report_left_alone(listings: Sequence[Listing]) -> None:
    """Tells the operator about directories that are neither served nor removed."""
    for listing in listings:
        for path in listing.future:
            _LOG.warning(
                "%s is a copy from an unfinished move between log directories; it is not used. Remove it "
                "once the partition itself is seen to be complete",
                path,
            )
        for path in listing.stray:
            _LOG.warning("%s belongs to no partition of this broker; it is kept and not served", path)
        for path in listing.foreign:
            _LOG.warning("%s is not a partition's directory; it is left alone", path)


def _partition(path: Path, topic: str, partition: int) -> FoundPartition:
    try:
        topic_id = read_topic_id(path)
    except (PartitionMetadataDamaged, OSError) as error:
        return FoundPartition(topic, partition, path, problem=str(error))
    return FoundPartition(topic, partition, path, topic_id, latest_epoch=_latest_epoch(path))


def _latest_epoch(path: Path) -> int:
    try:
        lines = read_regular_file(path / _EPOCH_FILE).decode("ascii", "replace").splitlines()
    except OSError:
        return -1
    entries = [_EPOCH_LINE.fullmatch(line) for line in lines[2:]]
    # The engine checks the whole file when it opens the log; here one number is wanted, to lead above it.
    return max((int(match[1]) for match in entries if match is not None), default=-1)


def _by_kind(listing: Listing, kind: DirectoryKind) -> list[Path]:
    if kind is DirectoryKind.DELETED:
        return listing.deleted
    return listing.future if kind is DirectoryKind.FUTURE else listing.stray
