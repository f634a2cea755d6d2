"""The protocol's edges over raw connections: versions, framing, order of answers, connections that end."""

from __future__ import annotations

import asyncio
import struct
import threading
import time

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey, decode_response, encode_request
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.metadata import MetadataRequest
from tests.harness.batches import batch
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, make_topic, metadata, produce
from tests.integration.running import RawClient, RunningBroker


@pytest.mark.parametrize("version", range(API_VERSIONS[ApiKey.API_VERSIONS][1] + 1))
def test_api_versions_lists_what_is_served(client: RawClient, version: int) -> None:
    request = ApiVersionsRequest(client_software_name="raw", client_software_version="1.0")
    answer = client.ask(request, version)
    assert answer.error_code == 0
    served = {entry.api_key: (entry.min_version, entry.max_version) for entry in answer.api_keys}
    assert served[ApiKey.PRODUCE] == (0, 12)
    assert served[ApiKey.FETCH] == (0, 17)
    assert served[ApiKey.METADATA] == (0, 12)


def test_api_versions_that_is_too_new_gets_its_range_in_a_version_0_body(client: RawClient) -> None:
    frame = bytearray(encode_request(ApiVersionsRequest(), 4, 77, "new"))
    frame[6:8] = struct.pack(">h", 99)
    client.socket.sendall(frame)
    correlation_id, answer = decode_response(ApiKey.API_VERSIONS, 0, client.receive_frame())
    assert correlation_id == 77
    assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION  # type: ignore[attr-defined]
    (entry,) = answer.api_keys  # type: ignore[attr-defined]
    assert (entry.api_key, entry.min_version, entry.max_version) == (ApiKey.API_VERSIONS, 0, 4)
    # The connection goes on: the client asks again in a version that it was told.
    assert client.ask(ApiVersionsRequest(), 0).error_code == 0


@pytest.mark.parametrize("name", ["", "-kafka", "kafka!"])
def test_a_strange_software_name_is_an_invalid_request(client: RawClient, name: str) -> None:
    answer = client.ask(ApiVersionsRequest(client_software_name=name, client_software_version="1"), 3)
    assert answer.error_code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (struct.pack(">ihhi", 8, 999, 0, 1), "unknown api key"),
        (struct.pack(">ihhi", 8, ApiKey.METADATA, 99, 1), "unsupported version"),
        (struct.pack(">ihhih", 10, ApiKey.METADATA, 12, 1, -1), "malformed request"),
        (struct.pack(">ihhih", 10, ApiKey.PRODUCE, 9, 1, -1), "malformed request"),
        (struct.pack(">ihhih", 10, ApiKey.FETCH, 12, 1, -1), "malformed request"),
        (struct.pack(">i", -1), "bad frame"),
        (struct.pack(">i", 0), "bad frame"),
        (struct.pack(">i", 2**31 - 1), "bad frame"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad frame"),
    ],
)
def test_hostile_bytes_cost_only_their_own_connection(
    broker: RunningBroker, client: RawClient, frame: bytes, reason: str
) -> None:
    with broker.connect() as hostile:
        hostile.socket.sendall(frame)
        assert hostile.is_closed()
    assert broker.broker.services.metrics.closed[reason] == 1
    assert client.ask(ApiVersionsRequest(), 0).error_code == 0


def test_a_large_request_of_an_api_without_bulk_data_is_not_decoded(broker: RunningBroker) -> None:
    with broker.connect() as hostile:
        hostile.send(metadata(*("t" * 10_000 for _ in range(500))), 12)
        assert hostile.is_closed()
    assert broker.broker.services.metrics.closed["oversized request"] == 1


def test_pipelined_requests_are_answered_in_order(client: RawClient) -> None:
    make_topic(client, "order")
    sent = []
    for index in range(50):
        sent.append((client.send(produce("order", batch(b"v%d" % index)), 9), ApiKey.PRODUCE, 9))
        sent.append((client.send(MetadataRequest(topics=None), 9), ApiKey.METADATA, 9))
        sent.append((client.send(fetch("order", index), 12), ApiKey.FETCH, 12))
    offsets = []
    for correlation_id, key, version in sent:
        got, answer = client.receive(key, version)
        assert got == correlation_id
        if key is ApiKey.PRODUCE:
            offsets.append(answer.responses[0].partition_responses[0].base_offset)  # type: ignore[attr-defined]
    assert offsets == list(range(50))


def test_a_request_that_comes_byte_by_byte_is_served(client: RawClient) -> None:
    for byte in encode_request(ApiVersionsRequest(), 0, 5, "slow"):
        client.socket.sendall(bytes([byte]))
    assert client.receive(ApiKey.API_VERSIONS, 0)[0] == 5


def test_a_producer_with_acks_0_that_leaves_at_once_loses_nothing(broker: RunningBroker) -> None:
    with broker.connect() as watcher:
        make_topic(watcher, "leave")
        with broker.connect() as producer:
            for index in range(100):
                producer.send(produce("leave", batch(b"v%d" % index), acks=0), 7)
        end = 0
        while end < 100:
            (topic,) = watcher.ask(fetch("leave", 0), 12).responses
            assert topic.partitions[0].high_watermark >= end
            end = topic.partitions[0].high_watermark


def test_the_broker_answers_what_it_has_received_before_it_stops(broker: RunningBroker) -> None:
    with broker.connect() as client:
        make_topic(client, "stop")
        waiting = client.send(fetch("stop", 0, max_wait_ms=60_000, min_bytes=1), 12)
        with broker.connect() as probe:
            probe.ask(ApiVersionsRequest(), 0)
        assert broker.stop()
        correlation_id, answer = client.receive(ApiKey.FETCH, 12)
        assert correlation_id == waiting
        assert answer.responses[0].partitions[0].error_code == 0  # type: ignore[attr-defined]
        assert client.is_closed()


def test_connection_limits(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"max.connections.per.ip": "2"})
    with broker.connect() as first, broker.connect() as second:
        first.ask(ApiVersionsRequest(), 0)
        second.ask(ApiVersionsRequest(), 0)
        with broker.connect() as third:
            assert third.is_closed()
    assert broker.broker.services.metrics.refused["max.connections.per.ip"] == 1


def test_a_storm_of_connections_does_not_overrun_the_accept_queue(broker: RunningBroker) -> None:
    async def block(seconds: float) -> None:
        await asyncio.to_thread(blocking.set)
        time.sleep(seconds)  # noqa: ASYNC251 - the loop is held up on purpose

    blocking = threading.Event()
    held = threading.Thread(target=lambda: broker.run(block(2)))
    held.start()
    blocking.wait()
    try:
        # A full queue drops the handshake, and the client's kernel tries again a second later.
        clients = [broker.connect(timeout=0.9) for _ in range(300)]
    finally:
        held.join()
    for client in clients:
        client.socket.settimeout(10)
        assert client.ask(ApiVersionsRequest(), 0).error_code == 0
        client.socket.close()
