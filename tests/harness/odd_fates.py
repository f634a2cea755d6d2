"""What becomes of the batches of `odd_batches`: asked of a broker, and as it ought to be."""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from fastlog.errors import ErrorCode
from fastlog.native import crc32c
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.harness.link import Link
from tests.harness.odd_batches import RECORDS, odd_batches
from tests.harness.odd_payloads import odd_payloads

_HEADER = struct.Struct(">qiibIhiqqqhii")
_INVALID = int(ErrorCode.INVALID_RECORD)


class Stored(NamedTuple):
    """A batch as a consumer gets it; `body` is what follows the header."""

    attributes: int
    last_delta: int
    base_time: int
    max_time: int
    producer: tuple[int, int, int]
    count: int
    crc_holds: bool
    body: bytes


class Fate(NamedTuple):
    """The error code of a produce request, and what was stored for it."""

    code: int
    stored: Stored | None


def fates(port: int, topic: str) -> dict[str, Fate]:
    """Sends every odd batch to partition 0 of a topic that is there."""
    with Link(port, timeout=60) as link:
        return {name: _fate(link, topic, batch) for name, batch in odd_batches()}


def _fate(link: Link, topic: str, batch: bytes) -> Fate:
    data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=batch)])
    request = ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[data])
    answer: Any = link.call(request, 9)
    (row,) = answer.responses[0].partition_responses
    if row.error_code:
        return Fate(row.error_code, None)
    wanted = FetchPartition(partition=0, fetch_offset=row.base_offset, partition_max_bytes=1 << 20)
    fetch = FetchRequest(
        min_bytes=1, max_bytes=1 << 20, topics=[FetchTopic(topic=topic, partitions=[wanted])]
    )
    answer = link.call(fetch, 12)
    (read,) = answer.responses[0].partitions
    found = bytes(read.records)
    fields = _HEADER.unpack_from(found)
    size = 12 + fields[1]
    assert (fields[0], fields[3], size) == (row.base_offset, 2, len(found))
    middle = (*fields[5:9], fields[9:12], fields[12])
    return Fate(0, Stored(*middle, crc32c(found[21:size]) == fields[4], found[_HEADER.size : size]))


def right_codes() -> dict[str, int]:
    """The code of each odd batch, 0 for those that are stored."""
    codes = {name: 0 for name, _ in odd_batches()}
    codes |= {name: 0 if stored else _INVALID for name, _, _, stored in odd_payloads(RECORDS)}
    for code, names in _REFUSED.items():
        codes |= dict.fromkeys(names, int(code))
    return codes


_REFUSED: Final[dict[ErrorCode, tuple[str, ...]]] = {
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        "attribute bit 4",
        "attribute bit 4, compressed",
        "bits 0x10 of a producer",
        "bits 0x10 of nobody",
        "bits 0x30 of a producer",
        "bits 0x30 of nobody",
        "a marker",
    ),
    ErrorCode.INVALID_RECORD: (
        "attribute bit 5",
        "count 0, last delta 2",
        "count -1, last delta 2",
        "count 2, last delta 2",
        "count 4, last delta 2",
        "count 2, last delta 1",
        "count 4, last delta 3",
        "count 3, last delta 0",
        "count 3, last delta -1",
        "count 0, last delta -1",
        "count 2147483647, last delta 2",
        "no records, counted right",
        "attribute bit 5, compressed",
        "count 0, last delta 2, compressed",
        "count -1, last delta 2, compressed",
        "count 2, last delta 2, compressed",
        "count 4, last delta 2, compressed",
        "count 2, last delta 1, compressed",
        "count 4, last delta 3, compressed",
        "count 3, last delta 0, compressed",
        "count 3, last delta -1, compressed",
        "count 0, last delta -1, compressed",
        "count 2147483647, last delta 2, compressed",
        "no records, counted right, compressed",
        "producer (2, 0, -1)",
        "bits 0x20 of a producer",
        "bits 0x20 of nobody",
        "base offset 7",
        "base offset -1",
        "magic 0",
        "magic 1",
        "two batches",
        "a byte behind the batch",
        "12 bytes behind the batch",
        "half a batch behind",
        "cut",
        "half a header",
        "no bytes",
        "batch length 49",
        "batch length 2147483647",
        "record with offset delta 1 again",
        "record with offset delta 1 again, compressed",
        "record with offset delta 5",
        "record with offset delta 5, compressed",
        "record with offset delta -1",
        "record with offset delta -1, compressed",
        "record with a null of -2",
        "record with a null of -2, compressed",
        "record with a header value of -2",
        "record with a header value of -2, compressed",
        "record with a null header key",
        "record with a null header key, compressed",
        "record with a header count of -1",
        "record with a header count of -1, compressed",
        "record with a header too few",
        "record with a header too few, compressed",
        "record with a byte too many",
        "record with a byte too many, compressed",
        "record with a length too small",
        "record with a length too small, compressed",
        "record with a length too large",
        "record with a length too large, compressed",
        "record with a length of -1",
        "record with a length of -1, compressed",
        "record with a long varint",
        "record with a long varint, compressed",
    ),
    ErrorCode.INVALID_TIMESTAMP: (
        "bit 3 and no max timestamp",
        "bit 3 and no max timestamp, compressed",
    ),
    ErrorCode.UNSUPPORTED_COMPRESSION_TYPE: (
        "codec 5",
        "codec 6",
        "codec 7",
    ),
    ErrorCode.CORRUPT_MESSAGE: (
        "magic 3",
        "magic -1",
        "a wrong checksum",
        "batch length -1",
        "batch length 0",
        "batch length 13",
        "batch length 48",
    ),
}
"""What is not stored, payloads aside: as Apache Kafka 3.9.1 answers, or as `DIFFERENT` says."""

DIFFERENT: Final[dict[str, tuple[int, str]]] = {
    "codec 5": (-1, "a defect of the server to Kafka"),
    "codec 6": (-1, "a defect of the server to Kafka"),
    "codec 7": (-1, "a defect of the server to Kafka"),
    "a byte behind the batch": (0, "Kafka looks at what follows a batch only where another one could stand"),
    "12 bytes behind the batch": (
        2,
        "Kafka looks at what follows a batch only where another one could stand",
    ),
    "half a batch behind": (0, "Kafka looks at what follows a batch only where another one could stand"),
    "batch length 49": (2, "Kafka looks at what follows a batch only where another one could stand"),
    "record with offset delta 1 again": (0, "consumers would get offsets of other records"),
    "record with offset delta 5": (0, "consumers would get offsets of other records"),
    "record with offset delta -1": (0, "consumers would get offsets of other records"),
    "record with a null of -2": (0, "Java reads it as null, librdkafka not at all"),
    "record with a null of -2, compressed": (0, "Java reads it as null, librdkafka not at all"),
    "record with a header value of -2": (0, "Java reads it as null, librdkafka not at all"),
    "record with a header value of -2, compressed": (0, "Java reads it as null, librdkafka not at all"),
    "record with a length too small, compressed": (0, "Java stores it and then cannot read it"),
    "record with a length too large, compressed": (0, "Java stores it and then cannot read it"),
    "record with a length of -1, compressed": (0, "Java stores it and then cannot read it"),
    "record with a long varint, compressed": (0, "Java stores it and then cannot read it"),
    "lz4: an empty compressed block first": (0, "Java stores it and then cannot read it"),
}
"""Kafka's code where ours is another one on purpose, and why."""
