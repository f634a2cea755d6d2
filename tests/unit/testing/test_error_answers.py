"""Answers that the proxy makes itself: for every API in every version, with codes wherever there are any."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.server.requests.response_errors import errors_in
from fastlog.testing.error_answers import refusal, with_code
from fastlog.wire import APIS, ApiKey, decode_response, encode_response, request_type, response_type
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.schema import struct_fields
from tests.property.wire_samples import sample

CODE = 7
EVERY = [(key, version) for key, api in APIS.items() for version in range(api.max_version + 1)]
# Their answers have rows for what the request does not name.
WITHOUT_CODES = {ApiKey.METADATA, ApiKey.ELECT_LEADERS}


@pytest.mark.parametrize(("key", "version"), EVERY, ids=lambda value: getattr(value, "name", str(value)))
def test_a_refusal_is_an_answer_with_the_code(key: ApiKey, version: int) -> None:
    request = sample(request_type(key), version)
    answer = refusal(request, version, CODE)
    frame = encode_response(answer, version, 1)
    _, decoded = decode_response(key, version, frame[4:])
    codes = dict(errors_in(decoded, version))
    if has_codes(response_type(key), version) and key not in WITHOUT_CODES:
        assert codes
    assert set(codes) <= {CODE}


@pytest.mark.parametrize(("key", "version"), EVERY, ids=lambda value: getattr(value, "name", str(value)))
def test_an_answer_gets_the_code_wherever_it_has_one(key: ApiKey, version: int) -> None:
    before = sample(response_type(key), version)
    count = sum(times for _, times in errors_in(before, version))
    answer = with_code(before, version, CODE)
    assert errors_in(answer, version) == (((CODE, count),) if count else ())
    encode_response(answer, version, 1)


def has_codes(struct: type[Any], version: int) -> bool:
    return any(
        version in field.wire.versions
        and (
            field.name.endswith("error_code")
            or (field.wire.struct is not None and has_codes(field.wire.struct, version))
        )
        for field in struct_fields(struct)
    )


def test_rows_are_those_of_the_request() -> None:
    data = [PartitionProduceData(index=3, records=b""), PartitionProduceData(index=5, records=b"")]
    answer: Any = refusal(ProduceRequest(acks=-1, topic_data=[TopicProduceData("t", data)]), 9, CODE)
    (topic,) = answer.responses
    assert topic.name == "t"
    assert [(row.index, row.error_code) for row in topic.partition_responses] == [(3, CODE), (5, CODE)]


def test_rows_by_topic_id_and_of_groups() -> None:
    fetch = FetchRequest(topics=[FetchTopic(topic_id=b"i" * 16, partitions=[FetchPartition(partition=4)])])
    answer: Any = refusal(fetch, 13, CODE)
    assert answer.error_code == CODE
    assert answer.responses[0].topic_id == b"i" * 16
    assert answer.responses[0].partitions[0].partition_index == 4
    wanted = [OffsetFetchRequestTopics(name="t", partition_indexes=[1, 2])]
    group = OffsetFetchRequestGroup(group_id="g", topics=wanted)
    answer = refusal(OffsetFetchRequest(groups=[group]), 8, CODE)
    (row,) = answer.groups
    assert (row.group_id, row.error_code, row.topics[0].name) == ("g", CODE, "t")
    assert [part.partition_index for part in row.topics[0].partitions] == [1, 2]
