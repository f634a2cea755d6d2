"""Every message in every version, both directions, against kio 0.5.0 and kafka-python 3.

A message is drawn from the schema and encoded; an oracle decodes it and must see the same values; the oracle
encodes what it saw, and our decoder must see the same values again. Our decoder must also read back what our
encoder wrote as an equal message.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastlog.wire import (
    APIS,
    ApiKey,
    Message,
    Request,
    RequestHeader,
    Response,
    decode_body,
    decode_request,
    decode_response,
    encode_body,
    encode_request,
    encode_response,
)
from fastlog.wire.messages.api_versions import ApiVersionsResponse
from tests.property import oracle_kafka_python, oracle_kio
from tests.property.wire_strategies import MESSAGES, VARIANTS, as_plain, instances

FEW = settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking across all versions takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

CORRELATION_ID = 0x01020304

# What no client sends.
BETWEEN_BROKERS = (
    ApiKey.LEADER_AND_ISR,
    ApiKey.STOP_REPLICA,
    ApiKey.UPDATE_METADATA,
    ApiKey.CONTROLLED_SHUTDOWN,
    ApiKey.ALTER_PARTITION,
    ApiKey.ALLOCATE_PRODUCER_IDS,
)

OF_TOKENS = (
    ApiKey.CREATE_DELEGATION_TOKEN,
    ApiKey.RENEW_DELEGATION_TOKEN,
    ApiKey.EXPIRE_DELEGATION_TOKEN,
    ApiKey.DESCRIBE_DELEGATION_TOKEN,
)
# Messages, and versions of them, that kafka-python does not have as Kafka 3.9 does.
NOT_IN_KAFKA_PYTHON = {
    (f"ConsumerGroup{name}", version)
    for name in ("HeartbeatRequest", "HeartbeatResponse", "DescribeRequest", "DescribeResponse")
    for version in (0, 1)
} | {
    (message.__name__, version)
    for message, version in VARIANTS
    if message.API in (*BETWEEN_BROKERS, *OF_TOKENS)
}

# Versions that came with Kafka 4.
NOT_IN_KIO = {
    (f"ConsumerGroup{name}", 1)
    for name in ("HeartbeatRequest", "HeartbeatResponse", "DescribeRequest", "DescribeResponse")
} | {("DescribeGroupsRequest", 6), ("DescribeGroupsResponse", 6)}
NOT_IN_KIO |= {
    (f"{name}{direction}", version)
    for name, version in (
        ("EndTxn", 5),
        ("Produce", 12),
        ("WriteTxnMarkers", 2),
        ("TxnOffsetCommit", 5),
        ("ListTransactions", 2),
    )
    for direction in ("Request", "Response")
}


def encode(message: Message, version: int) -> bytes:
    """A whole payload, header and all."""
    if isinstance(message, Request):
        return encode_request(message, version, CORRELATION_ID, "a client")[4:]
    assert isinstance(message, Response)
    return encode_response(message, version, CORRELATION_ID)[4:]


def decode(message: type[Message], version: int, payload: bytes) -> Message:
    """Reads a whole payload and checks its header."""
    if issubclass(message, Request):
        header, request = decode_request(payload)
        assert header == RequestHeader(message.API, version, CORRELATION_ID, "a client")
        return request
    correlation_id, response = decode_response(message.API, version, payload)
    assert correlation_id == CORRELATION_ID
    return response


def versions_of(message: type[Message]) -> range:
    return range(APIS[message.API].max_version + 1)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
@FEW
@given(data=st.data())
def test_round_trip(message: type[Message], data: st.DataObject) -> None:
    for version in versions_of(message):
        ours = data.draw(instances(message, version))
        assert decode_body(message, version, encode_body(ours, version)) == ours


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
@FEW
@given(data=st.data())
def test_kio_agrees(message: type[Message], data: st.DataObject) -> None:
    for version in versions_of(message):
        if (message.__name__, version) in NOT_IN_KIO:
            continue
        limits = oracle_kio.limits(message, oracle_kio.entity_class(message, version), version)
        ours = data.draw(instances(message, version, limits))
        body = encode_body(ours, version)
        entity = oracle_kio.decode(message, version, body)
        assert oracle_kio.plain(entity, message, version) == as_plain(ours, version)
        theirs = oracle_kio.encode(entity)
        assert theirs == body
        assert decode_body(message, version, theirs) == ours


@pytest.mark.parametrize(
    "message",
    [message for message in MESSAGES if (message.__name__, 0) not in NOT_IN_KAFKA_PYTHON],
    ids=lambda message: message.__name__,
)
@FEW
@given(data=st.data())
def test_kafka_python_agrees(message: type[Message], data: st.DataObject) -> None:
    theirs = oracle_kafka_python.message_class(message)
    for version in versions_of(message):
        if (message.__name__, version) in NOT_IN_KAFKA_PYTHON:
            continue
        ours = data.draw(instances(message, version, _limits(message)))
        payload = encode(ours, version)
        decoded = oracle_kafka_python.decode(theirs, version, payload)
        assert oracle_kafka_python.plain(decoded, message, theirs, version) == as_plain(ours, version)
        again = oracle_kafka_python.encode(decoded)
        assert again == payload
        assert decode(message, version, again) == ours


def test_kio_has_the_same_nulls_and_defaults() -> None:
    """What values alone do not show: where null is allowed, and what an absent field stands for."""
    found = [
        difference
        for message, version in VARIANTS
        if (message.__name__, version) not in NOT_IN_KIO
        for difference in oracle_kio.differences(message, oracle_kio.entity_class(message, version), version)
    ]
    assert found == []


def test_kafka_python_has_the_same_fields() -> None:
    """Keeps the list of exceptions honest: it names exactly the versions where the tables differ."""
    different = set()
    for message, version in VARIANTS:
        theirs = oracle_kafka_python.message_class(message)
        if theirs is None or not oracle_kafka_python.same_fields(message, theirs, version):
            different.add((message.__name__, version))
    assert different == NOT_IN_KAFKA_PYTHON


def _limits(message: type[Message]) -> dict[tuple[type, str], st.SearchStrategy[int]]:
    # kafka-python reads an ApiVersions response with an error as version 0, whatever it was asked to read.
    return {(ApiVersionsResponse, "error_code"): st.just(0)} if message.API is ApiKey.API_VERSIONS else {}
