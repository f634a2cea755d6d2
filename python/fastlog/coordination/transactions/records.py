"""Records of `__transaction_state`: Kafka's `TransactionLogKey` 0 and `TransactionLogValue` 0 and 1.

Big-endian. The key: int16 0, string the transactional id. The value: int16 version, then

| field          | type                                                          |
|----------------|---------------------------------------------------------------|
| producer id    | int64                                                         |
| epoch          | int16                                                         |
| timeout        | int32, ms                                                     |
| state          | int8, see `TransactionState`                                  |
| partitions     | array, may be null: string topic, array of int32 partitions   |
| last update    | int64, ms since 1970                                          |
| start          | int64, ms since 1970, or -1                                   |

Version 1 is of the flexible encoding, with the tags 0 (previous producer id, int64), 1 (next producer id,
int64) and 2 (transaction version of the client, int16), each left out when it has its default; other tags are
skipped. It is written when there is something for the tags, or the cluster's `transaction.version` is 1 or
more: Kafka 3.9 reads both, and knows no tags. A value that is null is a tombstone.
"""

from __future__ import annotations

from struct import pack
from typing import Final

from fastlog.coordination.groups.record_fields import (
    BadGroupRecord,
    FieldReader,
    array,
    classic_string,
    int8,
    int16,
    int32,
    int64,
    string,
)
from fastlog.coordination.transactions.state import (
    COMPLETED,
    EPOCH_BUMP_VERSION,
    LAST_GIVEN_EPOCH,
    NO_EPOCH,
    NO_PRODUCER_ID,
    PREPARED,
    TopicPartition,
    TransactionEntry,
    TransactionState,
    by_topic,
)
from fastlog.errors import FastlogError
from fastlog.wire.primitives import encode_uvarint

_KEY_VERSION: Final = 0
_HIGHEST_VERSION: Final = 1
_PREVIOUS_ID: Final = 0
_NEXT_ID: Final = 1
_CLIENT_VERSION: Final = 2
_RAISED: Final = PREPARED | COMPLETED
_NULL: Final = int32(-1)
_FLEXIBLE_NULL: Final = b"\0"


class BadTransactionRecord(FastlogError):
    """Bytes that are no record of a known version: what follows from them is not known either."""


def encode_key(transactional_id: str) -> bytes:
    """The key of an id. Raises BadTransactionRecord beyond 32767 bytes."""
    try:
        return int16(_KEY_VERSION) + classic_string(transactional_id)
    except BadGroupRecord as error:
        raise BadTransactionRecord(str(error)) from None


def decode_key(key: bytes) -> str | None:
    """The transactional id, or None for a key of a later version. Raises BadTransactionRecord."""
    reader = FieldReader(key)
    try:
        return reader.text() if reader.int16() == _KEY_VERSION else None
    except BadGroupRecord as error:
        raise BadTransactionRecord(f"the key of a transaction: {error}") from None


def encode_value(entry: TransactionEntry, *, level: int = 0) -> bytes:
    """`level`: the cluster's `transaction.version`. Raises BadTransactionRecord for names that do not fit."""
    tags = _tags(entry)
    version = 1 if tags or level >= 1 else 0
    head = (
        int16(version)
        + int64(entry.producer_id)
        + int16(entry.epoch)
        + int32(entry.timeout_ms)
        + int8(entry.state)
    )
    tail = int64(entry.last_update_ms) + int64(entry.start_ms)
    topics = by_topic(entry.partitions)
    is_null = entry.state is TransactionState.EMPTY
    try:
        if version:
            rows = array(
                [
                    string(topic) + encode_uvarint(len(numbers) + 1) + _int32s(numbers) + b"\0"
                    for topic, numbers in topics.items()
                ]
            )
            return head + (_FLEXIBLE_NULL if is_null else rows) + tail + _tagged(tags)
        plain = int32(len(topics)) + b"".join(
            classic_string(topic) + int32(len(numbers)) + _int32s(numbers)
            for topic, numbers in topics.items()
        )
        return head + (_NULL if is_null else plain) + tail
    except BadGroupRecord as error:
        raise BadTransactionRecord(str(error)) from None


def decode_value(value: bytes) -> TransactionEntry:
    """Raises BadTransactionRecord for other versions, states that are never written, and what is cut off."""
    reader = FieldReader(value)
    try:
        version = reader.int16()
        if not 0 <= version <= _HIGHEST_VERSION:
            raise BadTransactionRecord(f"the value of a transaction has the unknown version {version}")
        reader.flexible = version >= 1
        producer_id, epoch, timeout_ms, number = (
            reader.int64(),
            reader.int16(),
            reader.int32(),
            reader.int8(),
        )
        if not 0 <= number <= TransactionState.DEAD:
            raise BadTransactionRecord(f"a transaction in the unknown state {number}")
        partitions = _partitions(reader)
        last_update_ms, start_ms = reader.int64(), reader.int64()
        tags = reader.tagged()
        state = TransactionState(number)
        client_version = tags[_CLIENT_VERSION].int16() if _CLIENT_VERSION in tags else 0
        return TransactionEntry(
            producer_id=producer_id,
            epoch=epoch,
            last_epoch=_last_epoch(epoch, state, client_version),
            timeout_ms=timeout_ms,
            state=state,
            partitions=partitions,
            last_update_ms=last_update_ms,
            start_ms=start_ms,
            previous_producer_id=tags[_PREVIOUS_ID].int64() if _PREVIOUS_ID in tags else NO_PRODUCER_ID,
            next_producer_id=tags[_NEXT_ID].int64() if _NEXT_ID in tags else NO_PRODUCER_ID,
            client_version=client_version,
        )
    except BadGroupRecord as error:
        raise BadTransactionRecord(f"the value of a transaction: {error}") from None


def _last_epoch(epoch: int, state: TransactionState, client_version: int) -> int:
    """No field has it, but an end of the second protocol raises the epoch by one, or begins with those of
    another producer id: its owner is known again."""
    if client_version < EPOCH_BUMP_VERSION or state not in _RAISED:
        return NO_EPOCH
    if epoch > 0:
        return epoch - 1
    return LAST_GIVEN_EPOCH if state in COMPLETED else NO_EPOCH


def _int32s(numbers: list[int]) -> bytes:
    return pack(f">{len(numbers)}i", *numbers)


def _partitions(reader: FieldReader) -> frozenset[TopicPartition]:
    is_flexible = reader.flexible

    def topic() -> list[TopicPartition]:
        name = reader.text()
        numbers = reader.array(reader.int32)
        if is_flexible:
            reader.tagged()
        return [(name, number) for number in numbers]

    # Null is allowed in both encodings; the reader takes it for none in the flexible one alone.
    if not is_flexible and reader.is_null():
        return frozenset()
    return frozenset(pair for rows in reader.array(topic) for pair in rows)


def _tags(entry: TransactionEntry) -> dict[int, bytes]:
    tags = {}
    if entry.previous_producer_id != NO_PRODUCER_ID:
        tags[_PREVIOUS_ID] = int64(entry.previous_producer_id)
    if entry.next_producer_id != NO_PRODUCER_ID:
        tags[_NEXT_ID] = int64(entry.next_producer_id)
    if entry.client_version:
        tags[_CLIENT_VERSION] = int16(entry.client_version)
    return tags


def _tagged(tags: dict[int, bytes]) -> bytes:
    return encode_uvarint(len(tags)) + b"".join(
        encode_uvarint(number) + encode_uvarint(len(content)) + content for number, content in tags.items()
    )
