"""Every API in every version, each field at the edges of its type: an answer each time, and no surprise."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import OF_CLUSTERS
from fastlog.server.requests.handler_modules import OF_TRANSACTIONS
from fastlog.server.requests.registry import load_handlers
from fastlog.wire import ApiKey, decode_response
from fastlog.wire.messages import request_type
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from fastlog.wire.schema import struct_fields
from tests.harness.broker_process import BrokerProcess
from tests.harness.edge_requests import LONGEST, NOT_UTF8, Edge, codes, edges, frame_of
from tests.harness.group_requests import commit_request
from tests.harness.link import Link
from tests.harness.net import free_port
from tests.harness.scrape import scrape
from tests.integration.transaction_broker import Producer, TransactionBroker

APIS = [ApiKey(key) for key in sorted(load_handlers()) if key not in OF_CLUSTERS]
CLIENT_IDS = (None, "", "c" * LONGEST, "😀" * (LONGEST // 4), NOT_UTF8)
USUAL: dict[str, Any] = {
    **dict.fromkeys(("topic", "name", "resource_name", "key"), "t"),
    **dict.fromkeys(("acks", "num_partitions", "replication_factor", "endpoint_type", "node_id"), 1),
    **dict.fromkeys(("session_timeout_ms", "rebalance_timeout_ms"), 1),
    **dict.fromkeys(("partition_max_bytes", "max_bytes", "timeout_ms", "transaction_timeout_ms"), 1000),
    **dict.fromkeys(("replica_id", "session_epoch", "current_leader_epoch", "last_fetched_epoch"), -1),
    **dict.fromkeys(("generation_id_or_member_epoch", "retention_time_ms", "commit_timestamp"), -1),
    **dict.fromkeys(("committed_leader_epoch", "producer_id", "producer_epoch", "offset"), -1),
    **dict.fromkeys(("client_software_name", "client_software_version"), "x"),
    **dict.fromkeys(("resource_type_filter", "pattern_type_filter", "operation", "permission_type"), 1),
    "resource_type": 2,
    "count": 2,
    "protocol_type": "consumer",
    "validate_only": True,
    "subscribed_topic_names": ["t"],
}


@pytest.fixture(scope="module")
def http_port() -> int:
    """Where the broker's metrics are."""
    return free_port()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, http_port: int) -> Iterator[BrokerProcess]:
    """With the topic `t`, and ready to coordinate groups, whose members are soon forgotten."""
    settings = {
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1",
        "offsets.topic.num.partitions": "2",
        "fastlog.http.port": str(http_port),
    }
    directory: Path = tmp_path_factory.mktemp("edges")
    with BrokerProcess(directory, settings=settings) as process:
        with Link(process.port) as link:
            link.call(CreateTopicsRequest(topics=[CreatableTopic("t", 1, 1)], timeout_ms=10_000), 5)
            link.call(FindCoordinatorRequest(key="x"), 0)
            commit = commit_request(group_id="ready", topic="t", offset=1)
            while link.call(commit, 2).topics[0].partitions[0].error_code:  # type: ignore[attr-defined]
                pass
        yield process
        assert "Traceback" not in process.log_text, process.log_text[-4000:]


@pytest.fixture(scope="module")
def transactional(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """(Port, that of metrics) of a broker that coordinates transactions and has the topic `t`."""
    running = TransactionBroker(
        tmp_path_factory.mktemp("transactional"),
        {"auto.create.topics.enable": "false", "fastlog.http.port": "0"},
    )
    running.start()
    with running.connect() as client:
        client.ask(CreateTopicsRequest(topics=[CreatableTopic("t", 1, 1)], timeout_ms=10_000), 5)
        Producer(client, "t").initialized()
    endpoint = running.broker.http_endpoint
    assert endpoint is not None
    yield running.port, endpoint[1]
    running.close()


@pytest.fixture
def ports(request: pytest.FixtureRequest, key: ApiKey) -> tuple[int, int]:
    """(Port, that of metrics) of a broker that serves this API."""
    if key in OF_TRANSACTIONS:
        found: tuple[int, int] = request.getfixturevalue("transactional")
        return found
    return request.getfixturevalue("broker").port, request.getfixturevalue("http_port")


def requests(key: ApiKey) -> Iterator[tuple[Edge, str | None]]:
    """(request, client id) of one API."""
    numbers = itertools.count()

    def usual(name: str) -> Any:
        if name in ("group", "group_id"):
            return f"{key.name}-{next(numbers)}"
        return "gone" if key is ApiKey.DELETE_TOPICS and name == "name" else USUAL.get(name)

    registration = load_handlers()[key]
    for edge in edges(key, registration.min_version, registration.max_version, usual):
        if (key, edge.what) == (ApiKey.PRODUCE, "acks=0"):
            continue  # has no answer
        yield edge, "edge"
        if edge.what == "usual":
            for client_id in CLIENT_IDS:
                yield edge, client_id


@pytest.mark.timeout(120)
@pytest.mark.parametrize("key", APIS, ids=lambda key: key.name)
def test_answers_at_the_edges(ports: tuple[int, int], key: ApiKey) -> None:
    """Each request has an answer on this connection, none UNKNOWN_SERVER_ERROR; metrics know each code."""
    port, http_port = ports
    told = Counter(errors_of(http_port, key))
    surprises = []
    with Link(port, timeout=20) as link:
        for number, (edge, client_id) in enumerate(requests(key)):
            link.socket.sendall(frame_of(edge, number, client_id))
            try:
                correlation_id, response = decode_response(key, edge.version, link.receive_frame())
            except ConnectionError as error:
                pytest.fail(f"version {edge.version}, {edge.what}: {error}")
            assert correlation_id == number
            found = codes(response)
            told.update(ErrorCode.of(code).name for code in found)
            if ErrorCode.UNKNOWN_SERVER_ERROR in found:
                surprises.append(f"version {edge.version}, {edge.what}, client id of {len(client_id or '')}")
    assert not surprises
    assert errors_of(http_port, key) == told


def errors_of(port: int, key: ApiKey) -> dict[str, int]:
    """Error codes of one API that were counted so far, by name."""
    series = scrape(port).series("fastlog_request_errors_total")
    found = {}
    for labels, value in series.items():
        named = dict(labels)
        if named["api"] == _label(key):
            found[named["error"]] = int(value)
    return found


def _label(key: ApiKey) -> str:
    return request_type(key).__name__.removesuffix("Request")


def test_the_samples_reach_every_field() -> None:
    """Each field of each request is at an edge once: nothing is left out by the way the samples are made."""
    for key in APIS:
        reached = {edge.what.split("=")[0] for edge, _ in requests(key)}
        for field in struct_fields(request_type(key)):
            assert any(what.split(".")[0] == field.name for what in reached), (key.name, field.name)
