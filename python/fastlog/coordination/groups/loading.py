"""Reads `__consumer_offsets` at start: the last record of each key says what is in force."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.batches import KeyValue, read_records
from fastlog.coordination.groups.offsets import CommittedOffset, TopicPartition
from fastlog.coordination.groups.records import (
    BadGroupRecord,
    GroupKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
)
from fastlog.coordination.groups.results import StoredGroup
from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.native import Log

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class LoadedPartition:
    """What one partition says about its groups."""

    groups: dict[str, StoredGroup] = field(default_factory=dict)
    offsets: dict[str, dict[TopicPartition, CommittedOffset]] = field(default_factory=dict)
    records: int = 0
    skipped: int = 0
    """Records that are of no known kind or cannot be read."""

    def group_ids(self) -> set[str]:
        """Every group with a record."""
        return {*self.groups, *self.offsets}

    def apply(self, records: Iterable[KeyValue]) -> None:
        """Takes records in, in the order of the log."""
        for key, value in records:
            self.records += 1
            try:
                if not self._apply(key, value):
                    self.skipped += 1
            except BadGroupRecord as error:
                # One record that makes no sense must not keep thousands of groups from their offsets.
                self.skipped += 1
                _LOG.warning("a record of the groups' topic is left out: %s", error)

    def _apply(self, key: bytes, value: bytes | None) -> bool:
        parsed = decode_key(key)
        if parsed is None:
            return False
        if isinstance(parsed, GroupKey):
            if value is None:
                self.groups.pop(parsed.group, None)
            else:
                self.groups[parsed.group] = decode_group_value(value)
            return True
        partition = (parsed.topic, parsed.partition)
        if value is not None:
            self.offsets.setdefault(parsed.group, {})[partition] = decode_offset_value(value)
            return True
        offsets = self.offsets.get(parsed.group)
        if offsets is not None:
            offsets.pop(partition, None)
            if not offsets:
                del self.offsets[parsed.group]
        return True


def load_partition(log: Log, end_offset: int, read_bytes: int) -> LoadedPartition:
    """Reads a log from its start up to `end_offset`. Blocks: call it on a thread.

    Raises FastlogError when the log cannot be read.
    """
    loaded = LoadedPartition()
    offset = log.log_start_offset
    while offset < end_offset:
        data = bytes(log.read(offset, read_bytes, max_offset=end_offset))
        if not data:
            break
        records, next_offset = read_records(data)
        if next_offset <= offset:
            raise FastlogError(f"no whole batch at offset {offset} of {log.path}")
        loaded.apply(records)
        offset = next_offset
    return loaded
