"""What the broker knows of its connections, from handshake to metrics and logs."""

from __future__ import annotations

import logging

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.cluster import DescribeClusterRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from tests.harness.net import free_port
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import metadata
from tests.integration.running import RawClient, RunningBroker


def of(name: str, version: str = "2.12.0") -> ApiVersionsRequest:
    return ApiVersionsRequest(client_software_name=name, client_software_version=version)


def counts(broker: RunningBroker) -> list[tuple[str, str, str, int]]:
    """(listener, name, version, connections) as the metrics have them."""
    return [(*kind, count) for kind, count in broker.broker.services.metrics.software]


def test_software_is_counted_from_the_handshake_to_the_end(broker: RunningBroker) -> None:
    with broker.connect() as first, broker.connect() as second:
        assert first.ask(of("ignored"), 2).error_code == 0
        assert counts(broker) == []
        assert first.ask(of("librdkafka"), 3).error_code == 0
        assert second.ask(of("librdkafka"), 4).error_code == 0
        assert counts(broker) == [("PLAINTEXT", "librdkafka", "2.12.0", 2)]
        assert second.ask(of("not a name"), 4).error_code == ErrorCode.INVALID_REQUEST
        assert counts(broker) == [("PLAINTEXT", "librdkafka", "2.12.0", 2)]
    with broker.connect() as third:
        # The broker has seen the others end before it takes what comes on a new connection, or soon after.
        while counts(broker):
            third.ask(of("ignored"), 0)


def test_a_connection_that_is_cut_is_logged_with_its_software(
    broker: RunningBroker, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fastlog.server"):
        client.ask(of("apache-kafka-java", "3.9.1"), 4)
        client.socket.sendall(b"\x00\x00\x00\x0a\x7f\xff" + bytes(8))
        assert client.is_closed()
    assert [record.getMessage() for record in caplog.records] == [
        "closing the connection from 127.0.0.1 (apache-kafka-java 3.9.1): unknown api key: 32767"
    ]


def test_each_listener_tells_of_itself_and_one_is_for_brokers(start_broker: BrokerFactory) -> None:
    inside = free_port()
    broker = start_broker(
        **{
            "listeners": f"PLAINTEXT://127.0.0.1:0,INSIDE://127.0.0.1:{inside}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT",
            "inter.broker.listener.name": "INSIDE",
        }
    )
    seen = {}
    for port in (broker.port, inside):
        with RawClient(port) as client:
            client.ask(of(f"over-{port}"), 4)
            (node,) = client.ask(metadata(), 12).brokers
            (described,) = client.ask(DescribeClusterRequest(), 1).brokers
            found = client.ask(FindCoordinatorRequest(key="g"), 2)
            while found.error_code:
                found = client.ask(FindCoordinatorRequest(key="g"), 2)
            assert {node.port, described.port, found.port} == {port}
            sessions = [connection.session for connection in broker.broker._table._connections]  # type: ignore[union-attr]
            (session,) = [one for one in sessions if one.software_name == f"over-{port}"]
            assert session.client_id == "raw"
            seen[session.listener.name] = session.listener.is_inter_broker
    assert seen == {"PLAINTEXT": False, "INSIDE": True}
