"""Records of `__consumer_offsets` in Kafka's own format, so that either broker reads what the other wrote.

Every key and value starts with an int16 version. Strings are int16 length + UTF-8 (length -1: null), byte
arrays int32 length + bytes; in the flexible versions 4, which are only read, lengths are varints + 1 and
tagged fields follow. Fields in order (`group-coordinator/src/main/resources/common/message`):

| record                    | fields                                                                       |
|---------------------------|------------------------------------------------------------------------------|
| OffsetCommitKey 0, 1      | group, topic: string; partition: int32                                       |
| OffsetCommitValue 0 to 4  | offset: int64; leader epoch: int32 (3+); metadata: string;                   |
|                           | commit time: int64; expire time: int64 (1)                                   |
| GroupMetadataKey 2        | group: string                                                                |
| GroupMetadataValue 0 to 4 | protocol type: string; generation: int32; protocol, leader: string or null;  |
|                           | state time: int64 (2+); members                                              |
| a member                  | id: string; instance id: string or null (3+); client id, client host:        |
|                           | string; rebalance timeout: int32 (1+), session timeout: int32;               |
|                           | subscription, assignment: bytes                                              |

Written are the versions that Kafka 3.9 writes: values in version 3, in version 1 for offsets with an expiry
of their own. A value of null is a tombstone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.committed_offsets import NO_TIMESTAMP, CommittedOffset
from fastlog.coordination.groups.record_fields import (
    BadGroupRecord,
    FieldReader,
    classic_string,
    int16,
    int32,
    int64,
)
from fastlog.coordination.groups.results import StoredGroup, StoredMember

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.wire import Steps

# Version, offset, leader epoch, the length of metadata that is empty, commit time.
_PLAIN_VALUE: Final = Struct(">hqihq")
_pack_plain: Final = _PLAIN_VALUE.pack
_pack_partition: Final = Struct(">i").pack
# Rebalance timeout, session timeout, the length of the subscription.
_pack_member: Final = Struct(">iii").pack
_NULL_STRING: Final = classic_string(None)
_PARTITION_BYTES: Final = 4
_PER_STEP: Final = 64
_OFFSET_KEY_VERSION: Final = 1
_GROUP_KEY_VERSION: Final = 2
_VALUE_VERSION: Final = 3
_EXPIRING_VALUE_VERSION: Final = 1
_FLEXIBLE_FROM: Final = 4
_MAX_VERSION: Final = 4


@dataclass(frozen=True, slots=True)
class OffsetKey:
    """The key of a committed offset."""

    group: str
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class GroupKey:
    """The key of a group's metadata."""

    group: str


def encode_offset_key(group: str, topic: str, partition: int) -> bytes:
    """OffsetCommitKey version 1."""
    return int16(_OFFSET_KEY_VERSION) + classic_string(group) + classic_string(topic) + int32(partition)


def encode_group_key(group: str) -> bytes:
    """GroupMetadataKey version 2."""
    return int16(_GROUP_KEY_VERSION) + classic_string(group)


def encode_offset_value(committed: CommittedOffset) -> bytes:
    """OffsetCommitValue version 3, or version 1 with an expiry (which has no place for the leader epoch)."""
    offset, metadata = int64(committed.offset), classic_string(committed.metadata)
    written = int64(committed.commit_timestamp_ms)
    if committed.expire_timestamp_ms != NO_TIMESTAMP:
        expires = int64(committed.expire_timestamp_ms)
        return int16(_EXPIRING_VALUE_VERSION) + offset + metadata + written + expires
    return int16(_VALUE_VERSION) + offset + int32(committed.leader_epoch) + metadata + written


def encode_offsets(group: str, offsets: Mapping[tuple[str, int], CommittedOffset]) -> list[KeyValue]:
    """Keys and values of a whole commit: what the two functions above make, at a fraction of their cost."""
    records: list[KeyValue] = []
    prefixes: dict[str, bytes] = {}
    for (topic, partition), committed in offsets.items():
        prefix = prefixes.get(topic)
        if prefix is None:
            prefix = prefixes[topic] = encode_offset_key(group, topic, partition)[:-_PARTITION_BYTES]
        offset, leader_epoch, metadata, written, expires = committed
        if metadata or expires != NO_TIMESTAMP:
            value = encode_offset_value(committed)
        else:
            value = _pack_plain(_VALUE_VERSION, offset, leader_epoch, 0, written)
        records.append((prefix + _pack_partition(partition), value))
    return records


class ManyRecords(list["KeyValue"]):
    """Records of which it is known how large they are: to go through them again takes its time."""

    size = 0
    """Bytes of all keys and values."""


def encode_offsets_in_steps(
    group: str, offsets: Mapping[tuple[str, int], CommittedOffset]
) -> Steps[ManyRecords]:
    """The same as a generator, for commits of many offsets."""
    records = ManyRecords()
    left = iter(offsets.items())
    while lot := dict(islice(left, _PER_STEP)):
        if records:
            yield
        encoded = encode_offsets(group, lot)
        records += encoded
        records.size += size_of(encoded)
    return records


def size_of(records: Sequence[KeyValue]) -> int:
    """Bytes of all keys and values."""
    if isinstance(records, ManyRecords):
        return records.size
    return sum([len(key) + len(value or b"") for key, value in records])


def encode_group_value(group: StoredGroup) -> bytes:
    """GroupMetadataValue version 3."""
    parts = [
        int16(_VALUE_VERSION),
        classic_string(group.protocol_type),
        int32(group.generation),
        classic_string(group.protocol_name),
        classic_string(group.leader),
        int64(group.state_timestamp_ms),
        int32(len(group.members)),
    ]
    client_of: tuple[str, str] | None = None
    client = b""
    for member_id, instance_id, client_id, host, rebalance_ms, session_ms, said, assignment in group.members:
        if client_of != (client_id, host):
            client_of = client_id, host
            client = classic_string(client_id) + classic_string(host)
        parts += (
            classic_string(member_id),
            _NULL_STRING if instance_id is None else classic_string(instance_id),
            client,
            _pack_member(rebalance_ms, session_ms, len(said)),
            said,
            int32(len(assignment)),
            assignment,
        )
    return b"".join(parts)


def decode_key(data: bytes) -> OffsetKey | GroupKey | None:
    """The key, or None for a kind of record that this release does not know. Raises BadGroupRecord."""
    reader = FieldReader(data)
    version = reader.int16()
    if version in (0, _OFFSET_KEY_VERSION):
        return OffsetKey(reader.text(), reader.text(), reader.int32())
    if version == _GROUP_KEY_VERSION:
        return GroupKey(reader.text())
    return None


def decode_offset_value(data: bytes) -> CommittedOffset:
    """A committed offset. Raises BadGroupRecord."""
    if len(data) == _PLAIN_VALUE.size:
        # What nearly all are like.
        version, offset, leader_epoch, length, written = _PLAIN_VALUE.unpack(data)
        if version == _VALUE_VERSION and length == 0:
            return CommittedOffset(offset, leader_epoch, "", written)
    reader = FieldReader(data)
    version = _version(reader)
    offset = reader.int64()
    leader_epoch = reader.int32() if version >= 3 else -1
    metadata = reader.text()
    written = reader.int64()
    expires = reader.int64() if version == _EXPIRING_VALUE_VERSION else NO_TIMESTAMP
    return CommittedOffset(offset, leader_epoch, metadata, written, expires)


def decode_group_value(data: bytes) -> StoredGroup:
    """A group with its members. Raises BadGroupRecord."""
    reader = FieldReader(data)
    version = _version(reader)
    protocol_type = reader.text()
    generation = reader.int32()
    protocol_name, leader = reader.string(), reader.string()
    state_time = reader.int64() if version >= 2 else NO_TIMESTAMP
    members = tuple(reader.array(lambda: _member(reader, version)))
    return StoredGroup(protocol_type, generation, protocol_name, leader, state_time, members)


def _version(reader: FieldReader) -> int:
    version = reader.int16()
    if not 0 <= version <= _MAX_VERSION:
        raise BadGroupRecord(f"version {version} is not known")
    reader.flexible = version >= _FLEXIBLE_FROM
    return version


def _member(reader: FieldReader, version: int) -> StoredMember:
    member_id = reader.text()
    instance_id = reader.string() if version >= 3 else None
    client_id, client_host = reader.text(), reader.text()
    rebalance = reader.int32() if version >= 1 else None
    session = reader.int32()
    subscription, assignment = reader.blob(), reader.blob()
    reader.tagged()
    timeout = session if rebalance is None else rebalance
    return StoredMember(
        member_id, instance_id, client_id, client_host, timeout, session, subscription, assignment
    )
