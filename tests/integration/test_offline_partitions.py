"""What clients and administrators are told of partitions that are offline: in Kafka's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.describe_topic_partitions import DescribeTopicPartitionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from tests.harness.batches import batch
from tests.harness.cli import fastlog
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import metadata, produce
from tests.integration.running import RawClient, RunningBroker


def told(client: RawClient, topic: str, version: int = 9) -> tuple[int, int, list[int], list[int]]:
    """(error code, leader, in-sync replicas, offline replicas) of partition 0."""
    row = client.ask(metadata(topic), version).topics[0].partitions[0]
    return row.error_code, row.leader_id, row.isr_nodes, row.offline_replicas


def fail(broker: RunningBroker, topic: str, partition: int = 0) -> None:
    """Takes one partition offline."""

    async def take() -> None:
        table, failures = broker.broker.services.logs.table, broker.broker.services.logs.failures
        entry = table.get(topic, partition)
        assert entry is not None
        failures.partition_failed(entry, "a test")

    broker.run(take())


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """A broker with one partition to a topic."""
    return start_broker(**{"num.partitions": "1", "offsets.topic.num.partitions": "1"})


def test_metadata_has_no_leader_for_it(broker: RunningBroker, client: RawClient) -> None:
    sound = (0, 1, [1], [])
    for topic in ("t", "u"):
        client.ask(metadata(topic), 9)
        assert told(client, topic) == sound
    fail(broker, "t")
    for version in (5, 9, 12):
        offline = (int(ErrorCode.LEADER_NOT_AVAILABLE), -1, [1], [1])
        assert told(client, "t", version) == offline
        assert told(client, "u", version) == sound
    (topic, other) = client.ask(DescribeTopicPartitionsRequest(), 0).topics
    rows = [
        (row.error_code, row.leader_id, row.offline_replicas)
        for row in (*topic.partitions, *other.partitions)
    ]
    assert rows == [(int(ErrorCode.LEADER_NOT_AVAILABLE), -1, [1]), (0, 1, [])]
    # Who comes all the same hears why.
    answer = client.ask(produce("t", batch(b"x")), 8).responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR


def test_groups_have_no_coordinator_there(broker: RunningBroker, client: RawClient) -> None:
    def find(version: int) -> int:
        if version < 4:
            return int(client.ask(FindCoordinatorRequest(key="g"), version).error_code)
        answer = client.ask(FindCoordinatorRequest(coordinator_keys=["g"]), version)
        return int(answer.coordinators[0].error_code)

    assert [find(3), find(4)] == [0, 0]
    fail(broker, "__consumer_offsets")
    assert [find(3), find(4)] == [int(ErrorCode.COORDINATOR_NOT_AVAILABLE)] * 2


def test_one_that_is_damaged_at_the_start_is_told_too(broker: RunningBroker, tmp_path: Path) -> None:
    with broker.connect() as client:
        client.ask(metadata("t"), 9)
        assert client.ask(produce("t", batch(b"x")), 8).responses[0].partition_responses[0].error_code == 0
    broker.stop()
    (segment,) = broker.directory.glob("t-0/*.log")
    segment.write_bytes(b"")
    broker.start()
    with broker.connect() as client:
        assert told(client, "t")[1] == -1


def test_the_command_line_shows_it(broker: RunningBroker, client: RawClient) -> None:
    for topic in ("t", "u"):
        client.ask(metadata(topic), 9)
    before = fastlog("topic", "describe", "t", bootstrap=broker.bootstrap).stdout.decode()
    assert "OFFLINE" not in before
    fail(broker, "t")
    shown = fastlog("topic", "describe", "--unavailable", bootstrap=broker.bootstrap).stdout.decode()
    header, row = (line.split() for line in shown.splitlines()[-2:])
    assert shown.count("topic:") == 1
    found = dict(zip(header, row, strict=True))
    # The controller of a cluster takes the leader away in an epoch of its own.
    assert found.pop("EPOCH") in ("0", "1")
    assert found == {
        "PARTITION": "0",
        "LEADER": "none",
        "REPLICAS": "1",
        "ISR": "1",
        "EARLIEST": "-",
        "LATEST": "-",
        "SIZE": "-",
        "OFFLINE": "1",
    }
    (topic,) = json.loads(fastlog("topic", "describe", "t", "-o", "json", bootstrap=broker.bootstrap).stdout)
    assert topic["partitions"][0]["leader"] is None
    assert topic["partitions"][0]["offline_replicas"] == [1]
    cluster = json.loads(fastlog("cluster", "describe", "-o", "json", bootstrap=broker.bootstrap).stdout)
    assert (cluster["unavailable_partitions"], cluster["offline_replicas"]) == (1, 1)
    assert "offline replicas: 1" in fastlog("cluster", "describe", bootstrap=broker.bootstrap).stdout.decode()
