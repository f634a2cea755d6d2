"""Reads `__consumer_offsets` at start: the last record of each key says what is in force."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import field
from struct import Struct
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.batches import KeyValue
from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
from fastlog.coordination.groups.consumer import records as modern_records
from fastlog.coordination.groups.consumer.state import Kind, StoredConsumerGroup
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import (
    GroupKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
    encode_offset_key,
)
from fastlog.coordination.groups.results import StoredGroup
from fastlog.coordination.groups.transactional_offsets import LatestRecords, PlacedValue
from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.coordination.groups.pending_offsets import Placed
    from fastlog.native import Log

_LOG: Final = logging.getLogger(__name__)
_PARTITION: Final = Struct(">i")


@dataclass(slots=True)
class LoadedPartition:
    """What one partition says about its groups."""

    groups: dict[str, StoredGroup] = field(default_factory=dict)
    consumers: dict[str, StoredConsumerGroup] = field(default_factory=dict)
    offsets: dict[str, dict[TopicPartition, CommittedOffset]] = field(default_factory=dict)
    pending: dict[str, dict[int, dict[TopicPartition, Placed]]] = field(default_factory=dict)
    """By group and producer id, offsets of transactions that are open, each with its place in the log."""
    records: int = 0
    skipped: int = 0
    """Records that are of no known kind or cannot be read."""
    _names: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    """Group and topic by the bytes that keys of offsets begin with: all but the partition."""
    _positions: dict[TopicPartition, TopicPartition] = field(default_factory=dict)

    def group_ids(self) -> set[str]:
        """Every group with a record."""
        return {*self.groups, *self.consumers, *self.offsets, *self.pending}

    def apply(self, records: Iterable[KeyValue]) -> None:
        """Takes records in, in the order of the log."""
        for key, value in records:
            self.records += 1
            names = self._names.get(key[: -_PARTITION.size])
            try:
                if names is not None:
                    (partition,) = _PARTITION.unpack_from(key, len(key) - _PARTITION.size)
                    self._set_offset(*names, partition, value)
                    continue
                if not self._apply(key, value):
                    self.skipped += 1
            except BadGroupRecord as error:
                # One record that makes no sense must not keep thousands of groups from their offsets.
                self.skipped += 1
                _LOG.warning("a record of the groups' topic is left out: %s", error)

    def apply_pending(self, producer_id: int, records: Mapping[bytes, PlacedValue]) -> None:
        """Takes in what a transaction has written that is open."""
        for key, (value, place) in records.items():
            try:
                parsed = decode_key(key)
                if value is None or parsed is None or isinstance(parsed, GroupKey):
                    self.skipped += 1
                    continue
                offsets = self.pending.setdefault(parsed.group, {}).setdefault(producer_id, {})
                offsets[parsed.topic, parsed.partition] = decode_offset_value(value), place
            except BadGroupRecord as error:
                self.skipped += 1
                _LOG.warning("a record of the groups' topic is left out: %s", error)

    def _apply(self, key: bytes, value: bytes | None) -> bool:
        parsed = decode_key(key)
        if parsed is None:
            return self._apply_consumer(key, value)
        if isinstance(parsed, GroupKey):
            if value is None:
                self.groups.pop(parsed.group, None)
            else:
                self.groups[parsed.group] = decode_group_value(value)
                # Whatever protocol a group had before, this is the one that it has now.
                self.consumers.pop(parsed.group, None)
            return True
        self._set_offset(parsed.group, parsed.topic, parsed.partition, value)
        if encode_offset_key(parsed.group, parsed.topic, parsed.partition) == key:
            self._names[key[: -_PARTITION.size]] = parsed.group, parsed.topic
        return True

    def _apply_consumer(self, key: bytes, value: bytes | None) -> bool:
        parsed = modern_records.decode_key(key)
        if parsed is None:
            return False
        group_id, name = parsed
        if value is not None:
            stored = self.consumers.setdefault(group_id, StoredConsumerGroup())
            modern_records.apply_record(stored, name, value)
            if name[0] is Kind.GROUP:
                self.groups.pop(group_id, None)
        elif name[0] is Kind.GROUP:
            self.consumers.pop(group_id, None)
        elif group_id in self.consumers:
            modern_records.apply_record(self.consumers[group_id], name, None)
        return True

    def _set_offset(self, group: str, topic: str, partition: int, value: bytes | None) -> None:
        position = (topic, partition)
        # One tuple for all groups that have this partition.
        position = self._positions.setdefault(position, position)
        if value is not None:
            self.offsets.setdefault(group, {})[position] = decode_offset_value(value)
            return
        offsets = self.offsets.get(group)
        if offsets is not None:
            offsets.pop(position, None)
            if not offsets:
                del self.offsets[group]


def load_partition(log: Log, end_offset: int, read_bytes: int) -> LoadedPartition:
    """Reads a log from its start up to `end_offset`. Blocks: call it on a thread.

    As in a compacted log, only the last record of each key counts. Raises FastlogError when the log cannot
    be read.
    """
    loaded = LoadedPartition()
    latest = LatestRecords()
    total = 0
    offset = log.log_start_offset
    while offset < end_offset:
        data = bytes(log.read(offset, read_bytes, max_offset=end_offset))
        if not data:
            break
        count, next_offset = latest.take(data)
        total += count
        if next_offset <= offset:
            raise FastlogError(f"no whole batch at offset {offset} of {log.path}")
        offset = next_offset
    loaded.apply(latest.values.items())
    for producer_id, records in latest.open.items():
        loaded.apply_pending(producer_id, records)
    loaded.records = total
    return loaded
