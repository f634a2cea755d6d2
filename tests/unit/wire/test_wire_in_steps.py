"""Codecs in steps: the same bytes and messages, the same errors, and never many elements in one step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastlog.wire import (
    MalformedMessage,
    Request,
    Response,
    UnencodableMessage,
    UnsupportedVersion,
    decode_request,
    decode_request_in_steps,
    decode_response,
    decode_response_in_steps,
    encode_request,
    encode_request_in_steps,
    encode_response,
    encode_response_in_steps,
)
from fastlog.wire.in_steps import run
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from fastlog.wire.pieces import PIECE_BYTES, Pieces, join_parts
from tests.property.wire_samples import samples

SAMPLES = samples()
REQUESTS = [(message, version) for message, version in SAMPLES if isinstance(message, Request)]
RESPONSES = [(message, version) for message, version in SAMPLES if isinstance(message, Response)]


def test_every_request_is_decoded_in_the_same_way() -> None:
    for message, version in REQUESTS:
        payload = encode_request(message, version, 7, "me")[4:]
        assert run(decode_request_in_steps(payload)) == decode_request(payload)


def test_every_request_is_encoded_in_the_same_way() -> None:
    for message, version in REQUESTS:
        expected = encode_request(message, version, 7, "me")
        assert run(encode_request_in_steps(message, version, 7, "me")) == expected


def test_every_response_is_decoded_in_the_same_way() -> None:
    for message, version in RESPONSES:
        payload = encode_response(message, version, 7)[4:]
        decoded = run(decode_response_in_steps(message.API, version, payload))
        assert decoded == decode_response(message.API, version, payload)
        with pytest.raises(MalformedMessage):
            run(decode_response_in_steps(message.API, version, payload[:-1]))


def test_a_large_request_is_in_pieces() -> None:
    topics = [MetadataRequestTopic(name="x" * 200) for _ in range(20_000)]
    request = MetadataRequest(topics=topics)
    encoded = run(encode_request_in_steps(request, 12, 7, "me"))
    assert isinstance(encoded, Pieces)
    whole = encode_request(request, 12, 7, "me")
    assert (b"".join(encoded.pieces), len(encoded)) == (whole, len(whole))
    assert sum(1 for _ in encode_request_in_steps(request, 12, 7)) > 20_000 // 64
    with pytest.raises(UnsupportedVersion):
        run(encode_request_in_steps(request, 13, 7))


def test_every_response_is_encoded_in_the_same_way() -> None:
    for message, version in RESPONSES:
        assert run(encode_response_in_steps(message, version, 7)) == encode_response(message, version, 7)


def test_errors_are_the_same() -> None:
    payload = encode_request(MetadataRequest(topics=[MetadataRequestTopic(name="t")]), 12, 7)[4:]
    for size in range(10, len(payload)):
        with pytest.raises(MalformedMessage) as whole:
            decode_request(payload[:size])
        with pytest.raises(MalformedMessage) as in_steps:
            run(decode_request_in_steps(payload[:size]))
        assert str(whole.value) == str(in_steps.value)
    wrong = MetadataResponse(topics=[MetadataResponseTopic(name="x" * 40_000)])
    with pytest.raises(UnencodableMessage, match=r"topics\[0\]\.name has 40000 bytes"):
        run(encode_response_in_steps(wrong, 12, 7))


def test_steps_are_small_however_elements_are_nested() -> None:
    topics = [MetadataRequestTopic(name=str(index)) for index in range(10_000)]
    payload = encode_request(MetadataRequest(topics=topics), 12, 7)[4:]
    assert sum(1 for _ in decode_request_in_steps(payload)) > 10_000 // 64
    partitions = [MetadataResponsePartition(partition_index=index) for index in range(10_000)]
    response = MetadataResponse(topics=[MetadataResponseTopic(name="t", partitions=partitions)])
    assert sum(1 for _ in encode_response_in_steps(response, 12, 7)) > 10_000 // 64


def test_many_pieces_are_joined_on_the_way() -> None:
    def names() -> Iterator[MetadataResponseTopic]:
        for index in range(20_000):
            yield MetadataResponseTopic(name=f"topic-{index}")

    response = MetadataResponse(topics=list(names()))
    assert run(encode_response_in_steps(response, 12, 7)) == encode_response(response, 12, 7)


def test_short_arrays_within_arrays_make_steps_too() -> None:
    partitions = [MetadataResponsePartition(partition_index=index) for index in range(40)]
    response = MetadataResponse(topics=[MetadataResponseTopic(name="t", partitions=partitions)] * 100)
    assert sum(1 for _ in encode_response_in_steps(response, 12, 7)) > 100 * 40 // 64


def test_a_large_frame_is_in_pieces_of_bounded_size_and_is_counted_as_it_grows() -> None:
    topics = [MetadataResponseTopic(name=f"{index:05}" + "x" * 20_000) for index in range(200)]
    topics += [MetadataResponseTopic(name=f"{index:05}") for index in range(20_000)]
    response = MetadataResponse(topics=topics)
    grown: list[int] = []
    encoded = run(encode_response_in_steps(response, 12, 7, grown.append))
    assert isinstance(encoded, Pieces)
    whole = encode_response(response, 12, 7)
    assert (b"".join(encoded.pieces), len(encoded)) == (whole, len(whole))
    assert max(map(len, encoded.pieces)) <= PIECE_BYTES + 20_100
    assert 0.9 * len(whole) < sum(grown) <= len(whole)


def test_a_large_part_is_not_copied() -> None:
    large = bytes(PIECE_BYTES)
    parts: list[bytes | memoryview] = [b"a", b"b", large, b"c", b"d"]
    pieces: list[bytes | memoryview] = []
    join_parts(parts, pieces)
    assert (pieces, parts) == ([b"ab", large, b"cd"], [])
    assert pieces[1] is large
