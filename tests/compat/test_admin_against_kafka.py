"""The same administration requests to Apache Kafka and to fastlog: the answers are the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fastlog.config import BROKER_KEYS
from fastlog.errors import ErrorCode
from fastlog.wire import Request, decode_response
from fastlog.wire.messages import alter_configs as legacy
from fastlog.wire.messages import incremental_alter_configs as incremental
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.compat.odd_requests import ODD
from tests.harness.broker_process import BrokerProcess
from tests.harness.edge_requests import Edge, codes, frame_of
from tests.harness.link import Link
from tests.peers.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]

TOPIC, BROKER = 2, 4
SET, DELETE, APPEND = 0, 1, 2
SETTINGS = {"log.roll.hours": "5", "message.max.bytes": "900000"}


@dataclass
class Pair:
    """A connection to each of the two brokers."""

    kafka: Link
    fastlog: Link

    def call(self, request: Request, version: int) -> tuple[Any, Any]:
        """(Kafka's answer, fastlog's answer)."""
        return self.kafka.call(request, version), self.fastlog.call(request, version)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both brokers, each with the topic `t` of one partition and `c`, which is compacted."""
    directory = tmp_path_factory.mktemp("admin")
    with (
        ApacheKafka(directory / "kafka", settings=SETTINGS, heap="512m") as kafka,
        BrokerProcess(directory / "fastlog", settings={**SETTINGS, "node.id": "1"}) as fastlog,
        Link(kafka.port, timeout=60) as to_kafka,
        Link(fastlog.port, timeout=60) as to_fastlog,
    ):
        both = Pair(to_kafka, to_fastlog)
        topics = [new("t", retention_ms="5000"), new("c", cleanup_policy="compact")]
        for answer in both.call(CreateTopicsRequest(topics=topics), 7):
            assert [topic.error_code for topic in answer.topics] == [0, 0]
        yield both


def new(name: str, partitions: int = 1, replicas: int = 1, **configs: str | None) -> CreatableTopic:
    """A topic to create; config names with underscores for dots."""
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=replicas,
        configs=[CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()],
    )


def assigned(*replicas: list[int], first: int = 0) -> CreatableTopic:
    """A topic with an assignment by hand."""
    rows = [CreatableReplicaAssignment(first + index, nodes) for index, nodes in enumerate(replicas)]
    return CreatableTopic("by-hand", -1, -1, rows)


def twice(*values: str) -> CreatableTopic:
    """A topic with a setting that stands there more than once."""
    return CreatableTopic(
        "x", 1, 1, configs=[CreatableTopicConfig("retention.ms", value) for value in values]
    )


CREATIONS = {
    "fine": new("x"),
    "exists": new("t"),
    "empty name": new(""),
    "dots": new(".."),
    "bad letter": new("a/b"),
    "too long": new("x" * 250),
    "collides": new("t.a"),
    "no partitions": new("x", 0),
    "negative partitions": new("x", -3),
    "defaults": new("x", -1, -1),
    "no replicas": new("x", 1, 0),
    "too many replicas": new("x", 1, 2),
    "bad value": new("x", retention_ms="-2"),
    "ill-typed": new("x", retention_ms="soon"),
    "unknown config": new("x", no_such="1"),
    "null config": new("x", retention_ms=None),
    "bad policy": new("x", cleanup_policy="shred"),
    "contradiction": new("x", min_compaction_lag_ms="9", max_compaction_lag_ms="8"),
    "config twice, the last one fine": twice("x", "7"),
    "config twice, the first one fine": twice("7", "x"),
    "config before counts": new("x", 0, 9, no_such="1"),
    "replicas before partitions": new("x", 0, 0),
    "partitions before the brokers there are": new("x", 0, 9),
    "by hand": assigned([1]),
    "by hand and counted": CreatableTopic("x", 1, 1, [CreatableReplicaAssignment(0, [1])]),
    "by hand with a gap": assigned([1], first=1),
    "by hand, a node twice": assigned([1, 1]),
    "by hand, no replica": assigned([]),
    "by hand, unknown node": assigned([99]),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_create_topics(pair: Pair, name: str) -> None:
    request = CreateTopicsRequest(topics=[CREATIONS[name]], validate_only=True)
    kafka, fastlog = (ErrorCode(answer.topics[0].error_code) for answer in pair.call(request, 7))
    assert fastlog is kafka


GROWTHS = {
    "fine": CreatePartitionsTopic("t", 2, None),
    "same": CreatePartitionsTopic("t", 1, None),
    "fewer": CreatePartitionsTopic("t", 0, None),
    "unknown": CreatePartitionsTopic("never", 2, None),
    "by hand": CreatePartitionsTopic("t", 2, [CreatePartitionsAssignment([1])]),
    "too few by hand": CreatePartitionsTopic("t", 3, [CreatePartitionsAssignment([1])]),
    "unknown node": CreatePartitionsTopic("t", 2, [CreatePartitionsAssignment([99])]),
}


@pytest.mark.parametrize("name", GROWTHS)
def test_create_partitions(pair: Pair, name: str) -> None:
    request = CreatePartitionsRequest(topics=[GROWTHS[name]], timeout_ms=10_000, validate_only=True)
    kafka, fastlog = (ErrorCode(answer.results[0].error_code) for answer in pair.call(request, 3))
    assert fastlog is kafka


@pytest.mark.parametrize(
    "state",
    [DeleteTopicState("never"), DeleteTopicState(None, b"\7" * 16), DeleteTopicState("t", b"\7" * 16)],
)
def test_delete_topics(pair: Pair, state: DeleteTopicState) -> None:
    request = DeleteTopicsRequest(topics=[state], timeout_ms=10_000)
    kafka, fastlog = (ErrorCode(answer.responses[0].error_code) for answer in pair.call(request, 6))
    assert fastlog is kafka


@pytest.mark.parametrize(
    ("topic", "partition", "offset"),
    [("t", 0, -1), ("t", 0, 0), ("t", 0, 5), ("t", 0, -2), ("t", 9, 0), ("never", 0, 0), ("c", 0, 0)],
)
def test_delete_records(pair: Pair, topic: str, partition: int, offset: int) -> None:
    rows = [DeleteRecordsTopic(topic, [DeleteRecordsPartition(partition, offset)])]
    kafka, fastlog = (
        answer.topics[0].partitions[0]
        for answer in pair.call(DeleteRecordsRequest(topics=rows, timeout_ms=5000), 2)
    )
    assert ErrorCode(fastlog.error_code) is ErrorCode(kafka.error_code)
    assert fastlog.low_watermark == kafka.low_watermark


Change = tuple[str, int, str | None]
CHANGES: dict[str, tuple[int, str, list[Change]]] = {
    "fine": (TOPIC, "t", [("retention.ms", SET, "7000")]),
    "ill-typed": (TOPIC, "t", [("retention.ms", SET, "x")]),
    "unknown key": (TOPIC, "t", [("no.such.key", SET, "1")]),
    "append to a number": (TOPIC, "t", [("retention.ms", APPEND, "1")]),
    "append": (TOPIC, "t", [("cleanup.policy", APPEND, "compact")]),
    "null": (TOPIC, "t", [("retention.ms", SET, None)]),
    "delete": (TOPIC, "t", [("retention.ms", DELETE, None)]),
    "key twice": (TOPIC, "t", [("retention.ms", SET, "1"), ("retention.ms", DELETE, None)]),
    "unknown topic": (TOPIC, "never", [("retention.ms", SET, "1")]),
    "unknown topic, ill-typed": (TOPIC, "never", [("retention.ms", SET, "x")]),
    "unknown topic and key": (TOPIC, "never", [("no.such.key", SET, "1")]),
    "unknown topic, null": (TOPIC, "never", [("retention.ms", SET, None)]),
    "unknown topic, append to a number": (TOPIC, "never", [("retention.ms", APPEND, "1")]),
    "another broker": (BROKER, "99", [("message.max.bytes", SET, "1")]),
    "no number": (BROKER, "me", [("message.max.bytes", SET, "1")]),
    "read-only": (BROKER, "1", [("num.partitions", SET, "5")]),
    "broker, ill-typed": (BROKER, "1", [("message.max.bytes", SET, "many")]),
    "broker, fine": (BROKER, "1", [("message.max.bytes", SET, "5000")]),
    "all brokers, fine": (BROKER, "", [("log.retention.ms", SET, "5000")]),
    "all brokers, per-broker key": (BROKER, "", [("ssl.keystore.location", SET, "x")]),
    "unknown kind": (77, "x", [("a", SET, "b")]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_incremental_alter_configs(pair: Pair, name: str) -> None:
    kind, resource, changes = CHANGES[name]
    configs = [incremental.AlterableConfig(key, operation, value) for key, operation, value in changes]
    request = incremental.IncrementalAlterConfigsRequest(
        resources=[incremental.AlterConfigsResource(kind, resource, configs)], validate_only=True
    )
    kafka, fastlog = (ErrorCode(answer.responses[0].error_code) for answer in pair.call(request, 1))
    assert fastlog is kafka


@pytest.mark.parametrize(
    ("kind", "resource", "configs"),
    [
        (TOPIC, "t", {"retention.ms": "5"}),
        (TOPIC, "t", {"retention.ms": None}),
        (TOPIC, "t", {"retention.ms": "x"}),
        (TOPIC, "t", {"no.such": "x"}),
        (TOPIC, "never", {}),
        (TOPIC, "never", {"retention.ms": "x"}),
        (TOPIC, "never", {"no.such": "x"}),
        (BROKER, "1", {"num.partitions": "5"}),
        (BROKER, "9", {}),
    ],
)
def test_legacy_alter_configs(pair: Pair, kind: int, resource: str, configs: dict[str, str | None]) -> None:
    entries = [legacy.AlterableConfig(key, value) for key, value in configs.items()]
    request = legacy.AlterConfigsRequest(
        resources=[legacy.AlterConfigsResource(kind, resource, entries)], validate_only=True
    )
    kafka, fastlog = (ErrorCode(answer.responses[0].error_code) for answer in pair.call(request, 2))
    assert fastlog is kafka


def described(answer: Any) -> dict[str, Any]:
    """What DescribeConfigs says of each key, without the documentation."""
    (result,) = answer.results
    assert result.error_code == 0
    return {
        entry.name: (
            entry.value,
            entry.config_source,
            entry.read_only,
            entry.is_sensitive,
            entry.config_type,
            [(synonym.name, synonym.value, synonym.source) for synonym in entry.synonyms],
        )
        for entry in result.configs
        if not entry.name.startswith("fastlog.")
    }


@pytest.mark.parametrize("topic", ["t", "c"])
def test_describe_topic(pair: Pair, topic: str) -> None:
    request = DescribeConfigsRequest([DescribeConfigsResource(TOPIC, topic)], include_synonyms=True)
    kafka, fastlog = (described(answer) for answer in pair.call(request, 4))
    assert fastlog == kafka


def test_describe_broker(pair: Pair) -> None:
    """Values differ by ports, directories and roles; everything about the keys themselves does not."""
    request = DescribeConfigsRequest([DescribeConfigsResource(BROKER, "1")], include_synonyms=True)
    kafka, fastlog = (described(answer) for answer in pair.call(request, 4))
    assert set(fastlog) >= set(kafka)
    set_by_one = {
        *("process.roles", "controller.quorum.voters", "controller.listener.names", "log.dir", "log.dirs"),
        *("listener.security.protocol.map", "advertised.listeners", "listeners", "broker.id", "node.id"),
        *("group.initial.rebalance.delay.ms", "offsets.topic.replication.factor"),
        *("transaction.state.log.replication.factor", "transaction.state.log.min.isr"),
        "group.coordinator.rebalance.protocols",  # ours is that of Kafka 4
    }
    different = {
        name: (kafka[name], fastlog[name])
        for name in kafka
        if name not in set_by_one and fastlog[name] != kafka[name]
    }
    assert different == {}


@pytest.mark.parametrize(("kind", "name"), [(TOPIC, "never"), (TOPIC, "a/b"), (BROKER, "99"), (BROKER, "me")])
def test_describe_what_is_not_there(pair: Pair, kind: int, name: str) -> None:
    request = DescribeConfigsRequest([DescribeConfigsResource(kind, name)])
    kafka, fastlog = (ErrorCode(answer.results[0].error_code) for answer in pair.call(request, 4))
    assert fastlog is kafka


@pytest.mark.parametrize(
    ("name", "version"), [(name, version) for name, (_, versions) in ODD.items() for version in versions]
)
def test_odd_requests(pair: Pair, name: str, version: int) -> None:
    """The same error codes, and the connection stays."""
    request, _ = ODD[name]
    found = []
    for link in (pair.kafka, pair.fastlog):
        link.socket.sendall(frame_of(Edge(version, name, request), 77, "odd"))
        correlation_id, answer = decode_response(request.API, version, link.receive_frame())
        assert correlation_id == 77
        found.append([ErrorCode.of(code).name for code in codes(answer)])
    kafka, fastlog = found
    assert fastlog == kafka


@pytest.mark.parametrize(("kind", "name"), [(TOPIC, "t"), (BROKER, "1"), (BROKER, "")])
def test_describe_without_sources(pair: Pair, kind: int, name: str) -> None:
    """Version 0 could only tell whether a value is the default."""
    request = DescribeConfigsRequest([DescribeConfigsResource(kind, name)])
    kafka, fastlog = (
        {
            entry.name: (entry.is_default, entry.read_only, entry.is_sensitive)
            for entry in answer.results[0].configs
        }
        for answer in pair.call(request, 0)
    )
    assert {name: fastlog[name] for name in kafka} == kafka


LISTENER = "listener.name.plaintext."
OTHER_KEYS = (
    *("leader.replication.throttled.rate", "follower.replication.throttled.rate"),
    *("replica.alter.log.dirs.io.max.bytes.per.second", "cruise.control.metrics.topic", "super.users"),
    *(LISTENER + key for key in ("max.connections", "num.network.threads", "connections.max.reauth.ms")),
    *(LISTENER + key for key in ("ssl.keystore.location", "ssl.key.password", "sasl.jaas.config")),
    *("num.partitions", "broker.id", "log.dirs", "fetch.max.bytes"),
)
# Kafka takes what its cleaner then fails at, or stands still at.
STRICTER = {"log.cleaner.io.buffer.load.factor", "log.cleaner.io.max.bytes.per.second"}


@pytest.mark.parametrize(
    "name",
    [
        *(key for key, row in BROKER_KEYS.items() if row.dynamic and not key.startswith("fastlog.")),
        *OTHER_KEYS,
    ],
)
def test_run_time_changes_of_every_key(pair: Pair, name: str) -> None:
    """Accepted or refused as Kafka does, of one broker and of all, whether or not it has an effect here."""
    default = BROKER_KEYS[name].default if name in BROKER_KEYS else None
    values = (default or "x", "", "x", "-2", "-1", "0", "1", "3", "true", "9223372036854775807", "a,b")
    different = []
    for value in dict.fromkeys(values):
        for node in ("1", ""):
            resource = incremental.AlterConfigsResource(
                BROKER, node, [incremental.AlterableConfig(name, SET, value)]
            )
            request = incremental.IncrementalAlterConfigsRequest([resource], validate_only=True)
            kafka, fastlog = (ErrorCode(answer.responses[0].error_code) for answer in pair.call(request, 1))
            if fastlog is not kafka and not (name in STRICTER and fastlog):
                different.append((value, node, kafka.name, fastlog.name))
    assert different == []


@pytest.mark.parametrize(
    "value", ["", "*", "0:1", "0:1,1:1", " 0:1 , 1:1 ", "x", "0", "0:1:2", "0:1,x", "-1:1"]
)
@pytest.mark.parametrize("side", ["leader", "follower"])
def test_throttled_replicas_of_topics(pair: Pair, side: str, value: str) -> None:
    configs = [incremental.AlterableConfig(f"{side}.replication.throttled.replicas", SET, value)]
    request = incremental.IncrementalAlterConfigsRequest(
        [incremental.AlterConfigsResource(TOPIC, "t", configs)], validate_only=True
    )
    kafka, fastlog = (ErrorCode(answer.responses[0].error_code) for answer in pair.call(request, 1))
    assert fastlog is kafka


def test_what_has_no_effect_is_described_as_kafka_does(pair: Pair) -> None:
    keys = {
        "num.io.threads": "9",
        "leader.replication.throttled.rate": "5",
        LISTENER + "max.connections": "9",
    }
    resources = [
        incremental.AlterConfigsResource(
            BROKER, node, [incremental.AlterableConfig(key, SET, value) for key, value in keys.items()]
        )
        for node in ("1", "")
    ]
    for answer in pair.call(incremental.IncrementalAlterConfigsRequest(resources), 1):
        assert [response.error_code for response in answer.responses] == [0, 0]
    for node in ("1", ""):
        request = DescribeConfigsRequest([DescribeConfigsResource(BROKER, node, list(keys))], True)
        deadline = time.monotonic() + 20
        while True:  # Kafka answers before its own view has the change
            kafka, fastlog = (described(answer) for answer in pair.call(request, 4))
            if len(kafka) == len(keys) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if node:
            assert fastlog == kafka
        else:
            # The defaults of all brokers are listed as read-only by Kafka, whatever they are.
            without = [
                {key: (row[0], row[1], *row[3:]) for key, row in rows.items()} for rows in (kafka, fastlog)
            ]
            assert without[1] == without[0]
