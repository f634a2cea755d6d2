"""Bytes from nowhere: MalformedMessage or UnsupportedVersion, and no memory for what is only announced."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from fastlog.wire import (
    APIS,
    ApiKey,
    MalformedMessage,
    Message,
    Request,
    UnsupportedVersion,
    decode_body,
    decode_request,
    encode_body,
)
from fastlog.wire.messages.cluster import DescribableLogDirTopic, DescribeLogDirsRequest
from fastlog.wire.messages.fetch import FetchResponse
from fastlog.wire.messages.groups import JoinGroupRequest, JoinGroupRequestProtocol
from fastlog.wire.messages.metadata import MetadataRequest, MetadataResponse
from fastlog.wire.messages.produce import ProduceRequest
from fastlog.wire.primitives import skip_tags
from tests.property.wire_samples import payload, samples
from tests.property.wire_strategies import MESSAGES

SAMPLES = samples()


def versions_of(message: type[Message]) -> list[tuple[Message, int]]:
    return [(sample, version) for sample, version in SAMPLES if type(sample) is message]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_every_truncation_is_malformed(message: type[Message]) -> None:
    for sample, version in versions_of(message):
        body = encode_body(sample, version)
        assert decode_body(message, version, body) == sample
        for size in range(len(body)):
            with pytest.raises(MalformedMessage):
                decode_body(message, version, body[:size])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_trailing_bytes_are_malformed_in_responses_and_ignored_in_requests(message: type[Message]) -> None:
    for sample, version in versions_of(message):
        longer = encode_body(sample, version) + b"\0\1\0"
        if isinstance(sample, Request):
            assert decode_body(message, version, longer) == sample
        else:
            with pytest.raises(MalformedMessage, match="bytes too many"):
                decode_body(message, version, longer)


def test_truncated_frames_are_malformed() -> None:
    for sample, version in SAMPLES:
        if isinstance(sample, Request):
            frame = payload(sample, version)
            for size in range(0, len(frame), 3):
                with pytest.raises(MalformedMessage):
                    decode_request(frame[:size])


def mutate(body: bytes, rng: random.Random) -> bytes:
    """A few random edits: bytes set (to extremes, often), runs deleted, copied or inserted."""
    out = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0 if at < len(out):
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 1:
                del out[at : at + rng.randint(1, 8)]
            case 2:
                out[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                out[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
            case _:
                out[at:at] = out[at // 2 : at // 2 + 8]
    return bytes(out)


@pytest.mark.parametrize("seed", range(10))
def test_mutations_are_malformed_or_valid(seed: int) -> None:
    """2,000 in all. What is read as valid has a form again, which reads the same."""
    rng = random.Random(seed)
    valid = 0
    for _ in range(200):
        sample, version = rng.choice(SAMPLES)
        message = type(sample)
        body = mutate(encode_body(sample, version), rng)
        try:
            decoded = decode_body(message, version, body)
        except MalformedMessage:
            continue
        valid += 1
        assert decode_body(message, version, encode_body(decoded, version)) == decoded
    assert 0 < valid < 200


@pytest.mark.parametrize("seed", range(5))
def test_random_frames(seed: int) -> None:
    rng = random.Random(seed)
    refused = 0
    for _ in range(400):
        key = rng.choice((*APIS, 999))
        head = key.to_bytes(2, "big") + rng.randrange(-1, 19).to_bytes(2, "big", signed=True)
        try:
            decode_request(head + rng.randbytes(rng.randrange(80)))
        except (MalformedMessage, UnsupportedVersion):
            refused += 1
    assert refused > 300


HUGE = [
    (ProduceRequest, 9, "00" + "ffff" + "00007530" + "ffffffff0f"),
    (ProduceRequest, 3, "ffff" + "ffff" + "00007530" + "7fffffff"),
    (ProduceRequest, 3, "ffff" + "ffff" + "00007530" + "00000001" + "0001" + "74" + "40000000"),
    (ProduceRequest, 9, "00" + "ffff" + "00007530" + "02" + "0274" + "02" + "00000000" + "ffffffff0f"),
    (MetadataRequest, 12, "ffffffff0f"),
    (MetadataRequest, 12, "feffffff07"),
    (MetadataRequest, 1, "7fffffff"),
    (MetadataRequest, 1, "40000000" + "00" * 64),
    (MetadataResponse, 12, "00000000" + "01" + "ffffffff0f"),
    (MetadataResponse, 1, "00000000" + "00000000" + "20000000" + "00" * 64),
    (FetchResponse, 12, "00000000" + "0000" + "00000000" + "81808008" + "00" * 64),
]


@pytest.mark.parametrize(("message", "version", "body"), HUGE)
def test_announced_sizes_cost_nothing(message: type[Message], version: int, body: str) -> None:
    data = bytes.fromhex(body)
    with pytest.raises(MalformedMessage):
        decode_body(message, version, data)  # compiles the decoder
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="not possible with"):
            decode_body(message, version, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_requests_have_a_limited_number_of_elements() -> None:
    """Two bytes on the wire become an object each: 200 KiB of them are refused before the first is built."""
    data = (100_000).to_bytes(4, "big") + bytes(200_000)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="more than 65536 elements"):
            decode_body(MetadataRequest, 1, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


@pytest.mark.parametrize(("topics", "fits"), [(65, True), (66, False)])
def test_nested_elements_count_together(topics: int, fits: bool) -> None:
    request = DescribeLogDirsRequest([DescribableLogDirTopic("t", [0] * 1000)] * topics)
    body = encode_body(request, 2)
    if fits:
        assert decode_body(DescribeLogDirsRequest, 2, body) == request
    else:
        with pytest.raises(MalformedMessage, match="more than 65536 elements"):
            decode_body(DescribeLogDirsRequest, 2, body)


BAD = [
    (MetadataRequest, 1, "fffffffe", "length -2"),
    (MetadataRequest, 0, "ffffffff", "length -1"),
    (MetadataRequest, 1, "00000001" + "ffff", "length -1"),
    (MetadataRequest, 1, "00000001" + "8000", "length -32768"),
    (MetadataRequest, 1, "00000001" + "0005" + "6162", "length 5 is not possible with 2 bytes left"),
    (MetadataRequest, 9, "02" + "06" + "6162", "length 5 is not possible with 2 bytes left"),
    (MetadataResponse, 12, "00000000" + "01" + "06" + "6162", "length 5 is not possible with 2 bytes left"),
    (MetadataRequest, 9, "02" + "00" + "00" + "010000" + "00", "length -1"),
    (MetadataResponse, 12, "0000000001" + "0000000000" + "21" + "00" * 64, "length 32 is not possible"),
    (MetadataRequest, 1, "00000001" + "2aab" + "ff" * 0x2AAB, "utf-8"),
    (MetadataRequest, 9, "80808080" + "8000", "32 bits"),
    (MetadataRequest, 9, "02" + "81" + "8002" + "61" * 32768 + "00" + "010000" + "00", "length 32768"),
]


@pytest.mark.parametrize(("message", "version", "body", "complaint"), BAD)
def test_bad_lengths_and_texts(message: type[Message], version: int, body: str, complaint: str) -> None:
    with pytest.raises(MalformedMessage, match=complaint):
        decode_body(message, version, bytes.fromhex(body))


def test_any_buffer_is_taken() -> None:
    frame = payload(MetadataRequest(topics=None), 9)
    for buffer in (frame, bytearray(frame), memoryview(b"xx" + frame)[2:]):
        header, message = decode_request(buffer)
        assert header.api_key is ApiKey.METADATA
        assert message == MetadataRequest(topics=None)


def test_some_apis_take_fewer_elements() -> None:
    """Nobody has ten thousand ways of assigning partitions."""
    protocols = [JoinGroupRequestProtocol("p")] * 10_240
    body = encode_body(JoinGroupRequest(protocols=protocols), 5)
    assert len(decode_body(JoinGroupRequest, 5, body).protocols) == 10_240
    body = encode_body(JoinGroupRequest(protocols=[*protocols, JoinGroupRequestProtocol("q")]), 5)
    with pytest.raises(MalformedMessage, match="more than 10240 elements"):
        decode_body(JoinGroupRequest, 5, body)


def test_there_are_only_so_many_tags() -> None:
    def section(count: int) -> bytes:
        return bytes([count]) + b"".join(bytes([tag, 0]) for tag in range(count))

    assert skip_tags(section(64), 0, 129) == 129
    with pytest.raises(MalformedMessage, match="65 tagged fields"):
        skip_tags(section(65), 0, 131)
