"""The wire codecs beside kio 0.5.0 and kafka-python 3, on the same messages in the same run.

Every implementation encodes a whole frame (header and length prefix) or decodes a whole payload. Objects to
encode are built beforehand; each group of the table is one message and direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastlog.wire import (
    Message,
    Request,
    Response,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from fastlog.wire.headers import response_header_is_flexible
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from fastlog.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from tests.property import oracle_kafka_python, oracle_kio


def metadata_response() -> MetadataResponse:
    return MetadataResponse(
        brokers=[MetadataResponseBroker(node, f"broker-{node}", 9092) for node in range(3)],
        cluster_id="u-z57xRzTGWGVKCzcpgDAg",
        controller_id=1,
        topics=[
            MetadataResponseTopic(
                name=f"topic-{number:04d}",
                topic_id=number.to_bytes(16, "big"),
                partitions=[
                    MetadataResponsePartition(0, index, index, 5, [0, 1, 2], [0, 1, 2], [])
                    for index in range(3)
                ],
            )
            for number in range(100)
        ],
    )


def produce_response() -> ProduceResponse:
    rows = [PartitionProduceResponse(index, 0, 1_000_000 + index, -1, 0) for index in range(3)]
    return ProduceResponse([TopicProduceResponse(f"topic-{number}", rows) for number in range(10)])


def produce_request() -> ProduceRequest:
    rows = [PartitionProduceData(index, bytes(3333)) for index in range(3)]
    return ProduceRequest(
        None, -1, 30_000, [TopicProduceData(f"topic-{number}", rows) for number in range(10)]
    )


def fetch_request() -> FetchRequest:
    rows = [FetchPartition(index, 5, 1_000_000, -1, -1, 1_048_576) for index in range(3)]
    topics = [FetchTopic(f"topic-{number}", partitions=rows) for number in range(10)]
    return FetchRequest(max_wait_ms=500, min_bytes=1, max_bytes=52_428_800, topics=topics, rack_id="r1")


def offset_commit_request() -> OffsetCommitRequest:
    rows = [OffsetCommitRequestPartition(index, 1_000_000, 5, -1, "") for index in range(3)]
    topics = [OffsetCommitRequestTopic(f"topic-{number}", rows) for number in range(10)]
    return OffsetCommitRequest("group", 7, "member-1", None, -1, topics)


CASES: dict[str, tuple[Message, int]] = {
    "Metadata response 12, 100x3": (metadata_response(), 12),
    "Metadata request 12, all": (MetadataRequest(topics=None), 12),
    "Metadata request 12, 100": (
        MetadataRequest([MetadataRequestTopic(name=f"topic-{number:04d}") for number in range(100)]),
        12,
    ),
    "Produce response 9, 10x3": (produce_response(), 9),
    "Produce request 9, 10x3 of 3 kB": (produce_request(), 9),
    "Fetch request 12, 10x3": (fetch_request(), 12),
    "ListOffsets request 7, 1x1": (
        ListOffsetsRequest(-1, 0, [ListOffsetsTopic("topic", [ListOffsetsPartition(0, -1, -1)])]),
        7,
    ),
    "OffsetCommit request 8, 10x3": (offset_commit_request(), 8),
}


def frame_of(message: Message, version: int) -> bytes:
    if isinstance(message, Request):
        return encode_request(message, version, 7, "bench")
    assert isinstance(message, Response)
    return encode_response(message, version, 7)


def read_frame(message: Message, version: int, payload: bytes) -> object:
    if isinstance(message, Request):
        return decode_request(payload)
    return decode_response(message.API, version, payload)


def body_start(message: Message, version: int) -> int:
    """Where the body starts in a flexible frame: length, then the header under client id "bench"."""
    if isinstance(message, Request):
        return 4 + 8 + 2 + len("bench") + 1
    return 9 if response_header_is_flexible(message.API, version) else 8


def encoders(message: Message, version: int) -> dict[str, Callable[[], object]]:
    frame = frame_of(message, version)
    head = frame[4 : body_start(message, version)]
    entity = oracle_kio.decode(type(message), version, frame[4 + len(head) :])
    theirs: Any = oracle_kafka_python.message_class(type(message))
    decoded = oracle_kafka_python.decode(theirs, version, frame[4:])
    assert oracle_kio.encode(entity) == frame[4 + len(head) :]
    assert bytes(decoded.encode(header=True, framed=True)) == frame
    return {
        "fastlog": lambda: frame_of(message, version),
        "kio": lambda: head + oracle_kio.encode(entity),
        "kafka-python": lambda: decoded.encode(header=True, framed=True),
    }


def decoders(message: Message, version: int) -> dict[str, Callable[[], object]]:
    frame = frame_of(message, version)
    payload, body = frame[4:], frame[body_start(message, version) :]
    theirs: Any = oracle_kafka_python.message_class(type(message))
    return {
        "fastlog": lambda: read_frame(message, version, payload),
        "kio": lambda: oracle_kio.decode(type(message), version, body),
        "kafka-python": lambda: oracle_kafka_python.decode(theirs, version, payload),
    }


@pytest.mark.parametrize("who", ["fastlog", "kio", "kafka-python"])
@pytest.mark.parametrize("case", CASES)
def test_encode(benchmark: BenchmarkFixture, case: str, who: str) -> None:
    benchmark.group = f"encode {case}"
    benchmark(encoders(*CASES[case])[who])


@pytest.mark.parametrize("who", ["fastlog", "kio", "kafka-python"])
@pytest.mark.parametrize("case", CASES)
def test_decode(benchmark: BenchmarkFixture, case: str, who: str) -> None:
    benchmark.group = f"decode {case}"
    benchmark(decoders(*CASES[case])[who])


def test_build_and_encode_metadata(benchmark: BenchmarkFixture) -> None:
    """What a Metadata answer costs with the building of its objects."""
    benchmark.group = "build and encode Metadata response 12, 100x3"
    benchmark(lambda: encode_response(metadata_response(), 12, 7))
