"""Records of consumer groups in `__consumer_offsets`, as Kafka 4 has them.

Keys: int16 kind, then strings (int16 length + UTF-8). Values: int16 version 0, then fields in the flexible
encoding: lengths and counts are varints + 1 (0: null), every struct ends with its tagged fields. A value of
null is a tombstone. (`group-coordinator/src/main/resources/common/message/ConsumerGroup*.json`)

| kind               | key after the group   | fields of the value                                         |
|--------------------|-----------------------|-------------------------------------------------------------|
| 3 GROUP            |                       | epoch: int32; tag 0: hash of the topics' metadata: int64    |
| 4 PARTITION_METADAT|                       | only removed, see `state.Kind`                              |
| 5 MEMBER           | member id             | instance id, rack id: string or null; client id, client     |
|                    |                       | host: string; topics: array of string; regex: string or     |
|                    |                       | null; rebalance timeout: int32; assignor: string or null;   |
|                    |                       | tag 0 of classic members: session timeout: int32,           |
|                    |                       | protocols: array of (name: string, metadata: bytes)         |
| 6 TARGET_EPOCH     |                       | assignment epoch: int32                                     |
| 7 TARGET           | member id             | partitions                                                  |
| 8 POSITION         | member id             | epoch, previous epoch: int32; state: int8; assigned,        |
|                    |                       | revoking: partitions, with tag 0: epochs: array of int32    |
| 16 REGEX           | regular expression    | topics: array of string; version, time: int64               |

Partitions are an array of (topic id: 16 bytes, numbers: array of int32).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition, by_topic
from fastlog.coordination.groups.consumer.members import ClassicInfo, Details, MemberState, Position
from fastlog.coordination.groups.consumer.state import (
    ConsumerGroup,
    Kind,
    RecordName,
    Resolved,
    StoredConsumerGroup,
)
from fastlog.coordination.groups.record_fields import (
    NO_TAGS,
    BadGroupRecord,
    FieldReader,
    array,
    blob,
    classic_string,
    int8,
    int16,
    int32,
    int64,
    string,
    tagged,
)

_VERSION: Final = 0
_PRESENT: Final = 1
"""What a nullable struct in a tagged field opens with when it is there; 0 when it is null."""
_NAMED: Final = frozenset({Kind.MEMBER, Kind.TARGET, Kind.POSITION, Kind.REGEX})
_STATES: Final = {int(state): state for state in MemberState}


def encode_key(group_id: str, name: RecordName) -> bytes:
    """The key of a group's record. Raises BadGroupRecord for names that are too long."""
    kind, text = name
    return int16(kind) + classic_string(group_id) + (classic_string(text) if kind in _NAMED else b"")


def decode_key(data: bytes) -> tuple[str, RecordName] | None:
    """(group id, record), or None for a record of another kind. Raises BadGroupRecord."""
    reader = FieldReader(data)
    try:
        kind = Kind(reader.int16())
    except ValueError:
        return None
    group_id = reader.text()
    return group_id, (kind, reader.text() if kind in _NAMED else "")


def encode_value(group: ConsumerGroup, name: RecordName) -> bytes | None:
    """The value of a record by the state that the group is in now; None when it is to be removed."""
    fields = None if group.is_dead else _encode(group, *name)
    return None if fields is None else int16(_VERSION) + fields


def apply_record(stored: StoredConsumerGroup, name: RecordName, value: bytes | None) -> None:
    """Takes one record in, in the order of the log. Raises BadGroupRecord."""
    kind, text = name
    if value is None:
        _remove(stored, kind, text)
        return
    reader = FieldReader(value)
    version = reader.int16()
    if version != _VERSION:
        raise BadGroupRecord(f"version {version} of {kind.name} is not known")
    reader.flexible = True
    _apply_value(stored, kind, text, reader)


def _apply_value(stored: StoredConsumerGroup, kind: Kind, text: str, reader: FieldReader) -> None:
    match kind:
        case Kind.GROUP:
            stored.epoch = reader.int32()
            tag = reader.tagged().get(0)
            stored.metadata_hash = 0 if tag is None else tag.int64()
        case Kind.PARTITION_METADATA:
            stored.has_partition_metadata = True
        case Kind.MEMBER:
            stored.details[text] = _decode_details(reader)
        case Kind.TARGET_EPOCH:
            stored.assignment_epoch = reader.int32()
            reader.tagged()
        case Kind.TARGET:
            target = frozenset(_decode_partitions(reader, 0))
            reader.tagged()
            stored.targets[text] = target
        case Kind.POSITION:
            stored.positions[text] = _decode_position(reader)
        case Kind.REGEX:
            topics = frozenset(reader.array(reader.text))
            _, resolved_ms = reader.int64(), reader.int64()
            reader.tagged()
            # The state of the topics that it was resolved against means nothing after a restart.
            stored.regexes[text] = Resolved(topics, generation=-1, resolved_ms=resolved_ms)


def _remove(stored: StoredConsumerGroup, kind: Kind, text: str) -> None:
    tables: dict[Kind, dict[str, Any]] = {
        Kind.MEMBER: stored.details,
        Kind.TARGET: stored.targets,
        Kind.POSITION: stored.positions,
        Kind.REGEX: stored.regexes,
    }
    if kind in tables:
        tables[kind].pop(text, None)
    elif kind is Kind.TARGET_EPOCH:
        stored.assignment_epoch = 0
    elif kind is Kind.PARTITION_METADATA:
        stored.has_partition_metadata = False


def _encode(group: ConsumerGroup, kind: Kind, text: str) -> bytes | None:
    match kind:
        case Kind.GROUP:
            return int32(group.epoch) + tagged(0, int64(group.metadata_hash))
        case Kind.TARGET_EPOCH:
            return int32(group.assignment_epoch) + NO_TAGS
        case Kind.TARGET if text in group.targets:
            return _partitions(dict.fromkeys(group.targets[text]), with_epochs=False) + NO_TAGS
        case Kind.MEMBER if text in group.members:
            return _details(group.members[text].details)
        case Kind.POSITION if text in group.members:
            return _position(group.members[text].position)
        case Kind.REGEX if text in group.regexes:
            found = group.regexes[text]
            names = [string(name) for name in sorted(found.topics)]
            return array(names) + int64(found.generation) + int64(found.resolved_ms) + NO_TAGS
    return None


def _details(details: Details) -> bytes:
    end = NO_TAGS
    if details.classic is not None:
        protocols = [string(name) + blob(data) + NO_TAGS for name, data in details.classic.protocols]
        content = int32(details.classic.session_timeout_ms) + array(protocols) + NO_TAGS
        end = tagged(0, int8(_PRESENT) + content)
    return b"".join(
        (
            string(details.instance_id),
            string(details.rack_id),
            string(details.client_id),
            string(details.client_host),
            array([string(name) for name in details.topics]),
            string(details.regex),
            int32(details.rebalance_timeout_ms),
            string(details.assignor),
            end,
        )
    )


def _decode_details(reader: FieldReader) -> Details:
    instance_id, rack_id = reader.string(), reader.string()
    client_id, client_host = reader.text(), reader.text()
    topics = tuple(reader.array(reader.text))
    regex = reader.string() or None
    timeout_ms = reader.int32()
    assignor = reader.string()
    tag = reader.tagged().get(0)
    classic = None
    if tag is not None and tag.int8() == _PRESENT:
        session_ms = tag.int32()
        classic = ClassicInfo(session_ms, tuple(tag.array(lambda: _decode_protocol(tag))))
    return Details(instance_id, rack_id, client_id, client_host, topics, regex, timeout_ms, assignor, classic)


def _decode_protocol(reader: FieldReader) -> tuple[str, bytes]:
    protocol = (reader.text(), reader.blob())
    reader.tagged()
    return protocol


def _position(position: Position) -> bytes:
    return b"".join(
        (
            int32(position.epoch),
            int32(position.previous_epoch),
            int8(position.state),
            _partitions(position.assigned),
            _partitions(position.revoking),
            NO_TAGS,
        )
    )


def _decode_position(reader: FieldReader) -> Position:
    epoch, previous_epoch = reader.int32(), reader.int32()
    state = _STATES.get(reader.int8(), MemberState.UNKNOWN)
    assigned, revoking = _decode_partitions(reader, epoch), _decode_partitions(reader, epoch)
    reader.tagged()
    return Position(epoch, previous_epoch, state, assigned, revoking)


def _partitions(partitions: Mapping[TopicPartition, int | None], *, with_epochs: bool = True) -> bytes:
    rows = []
    for topic_id, numbers in by_topic(partitions).items():
        end = NO_TAGS
        if with_epochs:
            epochs = [int32(partitions[topic_id, number] or 0) for number in numbers]
            end = tagged(0, array(epochs))
        rows.append(topic_id + array([int32(number) for number in numbers]) + end)
    return array(rows)


def _decode_partitions(reader: FieldReader, epoch: int) -> dict[TopicPartition, int]:
    """Partitions with the epochs of their assignment; `epoch` for records that do not have them."""
    found: dict[TopicPartition, int] = {}

    def row() -> None:
        topic_id, numbers = reader.uuid(), reader.array(reader.int32)
        tag = reader.tagged().get(0)
        epochs = [] if tag is None else tag.array(tag.int32)
        if len(epochs) != len(numbers):
            epochs = [epoch] * len(numbers)
        found.update({(topic_id, number): at for number, at in zip(numbers, epochs, strict=True)})

    reader.array(row)
    return found
