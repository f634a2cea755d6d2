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

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct, error
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.offsets import NO_TIMESTAMP, CommittedOffset
from fastlog.coordination.groups.results import StoredGroup, StoredMember
from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue

_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")
# Version, offset, leader epoch, the length of metadata that is empty, commit time.
_PLAIN_VALUE: Final = Struct(">hqihq")
_OFFSET_KEY_VERSION: Final = 1
_GROUP_KEY_VERSION: Final = 2
_VALUE_VERSION: Final = 3
_EXPIRING_VALUE_VERSION: Final = 1
_FLEXIBLE_FROM: Final = 4
_MAX_VERSION: Final = 4


class BadGroupRecord(FastlogError):
    """Bytes that are no record of the version that they claim."""


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
    return _INT16.pack(_OFFSET_KEY_VERSION) + _string(group) + _string(topic) + _INT32.pack(partition)


def encode_group_key(group: str) -> bytes:
    """GroupMetadataKey version 2."""
    return _INT16.pack(_GROUP_KEY_VERSION) + _string(group)


def encode_offset_value(committed: CommittedOffset) -> bytes:
    """OffsetCommitValue version 3, or version 1 with an expiry (which has no place for the leader epoch)."""
    offset, metadata = _INT64.pack(committed.offset), _string(committed.metadata)
    written = _INT64.pack(committed.commit_timestamp_ms)
    if committed.expire_timestamp_ms != NO_TIMESTAMP:
        expires = _INT64.pack(committed.expire_timestamp_ms)
        return _INT16.pack(_EXPIRING_VALUE_VERSION) + offset + metadata + written + expires
    return _INT16.pack(_VALUE_VERSION) + offset + _INT32.pack(committed.leader_epoch) + metadata + written


def encode_offsets(group: str, offsets: Mapping[tuple[str, int], CommittedOffset]) -> list[KeyValue]:
    """Keys and values of a whole commit: what the two functions above make, at a fraction of their cost."""
    records: list[KeyValue] = []
    prefixes: dict[str, bytes] = {}
    for (topic, partition), committed in offsets.items():
        prefix = prefixes.get(topic)
        if prefix is None:
            prefix = prefixes[topic] = encode_offset_key(group, topic, partition)[: -_INT32.size]
        offset, leader_epoch, metadata, written, expires = committed
        if metadata or expires != NO_TIMESTAMP:
            value = encode_offset_value(committed)
        else:
            value = _PLAIN_VALUE.pack(_VALUE_VERSION, offset, leader_epoch, 0, written)
        records.append((prefix + _INT32.pack(partition), value))
    return records


def encode_group_value(group: StoredGroup) -> bytes:
    """GroupMetadataValue version 3."""
    parts = [
        _INT16.pack(_VALUE_VERSION),
        _string(group.protocol_type),
        _INT32.pack(group.generation),
        _string(group.protocol_name),
        _string(group.leader),
        _INT64.pack(group.state_timestamp_ms),
        _INT32.pack(len(group.members)),
    ]
    for member in group.members:
        parts += (
            _string(member.member_id),
            _string(member.instance_id),
            _string(member.client_id),
            _string(member.client_host),
            _INT32.pack(member.rebalance_timeout_ms),
            _INT32.pack(member.session_timeout_ms),
            _bytes(member.subscription),
            _bytes(member.assignment),
        )
    return b"".join(parts)


def decode_key(data: bytes) -> OffsetKey | GroupKey | None:
    """The key, or None for a kind of record that this release does not know. Raises BadGroupRecord."""
    reader = _Reader(data)
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
    reader = _Reader(data)
    version = reader.version()
    offset = reader.int64()
    leader_epoch = reader.int32() if version >= 3 else -1
    metadata = reader.text()
    written = reader.int64()
    expires = reader.int64() if version == _EXPIRING_VALUE_VERSION else NO_TIMESTAMP
    return CommittedOffset(offset, leader_epoch, metadata, written, expires)


def decode_group_value(data: bytes) -> StoredGroup:
    """A group with its members. Raises BadGroupRecord."""
    reader = _Reader(data)
    version = reader.version()
    protocol_type = reader.text()
    generation = reader.int32()
    protocol_name, leader = reader.string(), reader.string()
    state_time = reader.int64() if version >= 2 else NO_TIMESTAMP
    members = tuple(_member(reader, version) for _ in range(reader.count()))
    return StoredGroup(protocol_type, generation, protocol_name, leader, state_time, members)


def _member(reader: _Reader, version: int) -> StoredMember:
    member_id = reader.text()
    instance_id = reader.string() if version >= 3 else None
    client_id, client_host = reader.text(), reader.text()
    rebalance = reader.int32() if version >= 1 else None
    session = reader.int32()
    subscription, assignment = reader.blob(), reader.blob()
    reader.skip_tagged()
    timeout = session if rebalance is None else rebalance
    return StoredMember(
        member_id, instance_id, client_id, client_host, timeout, session, subscription, assignment
    )


def _string(text: str | None) -> bytes:
    if text is None:
        return _INT16.pack(-1)
    data = text.encode()
    try:
        return _INT16.pack(len(data)) + data
    except error:
        raise BadGroupRecord(f"a string of {len(data)} bytes does not fit into a record") from None


def _bytes(data: bytes) -> bytes:
    return _INT32.pack(len(data)) + data


class _Reader:
    """Reads fields one after the other; raises BadGroupRecord past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._flexible = False

    def version(self) -> int:
        version = self.int16()
        if not 0 <= version <= _MAX_VERSION:
            raise BadGroupRecord(f"version {version} is not known")
        self._flexible = version >= _FLEXIBLE_FROM
        return version

    def int16(self) -> int:
        return self._number(_INT16)

    def int32(self) -> int:
        return self._number(_INT32)

    def int64(self) -> int:
        return self._number(_INT64)

    def string(self) -> str | None:
        length = self._varint() - 1 if self._flexible else self.int16()
        if length < 0:
            return None
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise BadGroupRecord("a string is not UTF-8") from None

    def text(self) -> str:
        text = self.string()
        if text is None:
            raise BadGroupRecord("a string is null")
        return text

    def blob(self) -> bytes:
        return self._take(self._varint() - 1 if self._flexible else self.int32())

    def count(self) -> int:
        count = self._varint() - 1 if self._flexible else self.int32()
        # Each element has at least one byte.
        if not 0 <= count <= len(self._data) - self._position:
            raise BadGroupRecord(f"{count} members cannot be in {len(self._data)} bytes")
        return count

    def skip_tagged(self) -> None:
        if self._flexible:
            for _ in range(self._varint()):
                self._varint()
                self._take(self._varint())

    def _number(self, layout: Struct) -> int:
        (value,) = layout.unpack(self._take(layout.size))
        return int(value)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            (byte,) = self._take(1)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise BadGroupRecord("a varint is too long")

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if size < 0 or end > len(self._data):
            raise BadGroupRecord(f"the record ends after {len(self._data)} bytes")
        piece = self._data[self._position : end]
        self._position = end
        return piece
