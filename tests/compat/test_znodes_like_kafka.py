"""The same commands, to an Apache Kafka 3.9 in ZooKeeper mode and to a fastlog, leave the same nodes.

Both have broker.id 1, a chroot of their own and the same keeper. Path by path: data field by field, null data
apart from empty data, versions of data and of children, ephemeral or not, access rules. What must differ:

| field                            | why                                                         |
|----------------------------------|-------------------------------------------------------------|
| timestamp                        | the time of the start                                       |
| port, endpoints                  | of each broker its own                                      |
| id of /cluster/id, topic_id      | made at random                                              |
| order of the keys of an object   | JSON has none, and Kafka's is that of a hash table          |
| transaction.version of features  | Kafka 3.9 has it among its unstable features only           |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic

from tests.compat.cluster_operator import BROKER, TOPIC, Operator
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.tree import Node, tree_at
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KafkaOnZooKeeper

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]
_RACK: Final = {"broker.rack": "r 1"}
_ANY: Final = {"timestamp", "port", "endpoints", "id", "topic_id"}


class Pair:
    """Both brokers, and their trees."""

    def __init__(self, kafka: KafkaOnZooKeeper, fastlog: BrokerProcess, address: str) -> None:
        self.operators = [Operator(kafka.bootstrap), Operator(fastlog.bootstrap)]
        self.kafka_tree, self.fastlog_tree = f"{address}/kafka", f"{address}/fastlog"

    def trees(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What Kafka has, and what fastlog has."""
        return _comparable(tree_at(self.kafka_tree)), _comparable(tree_at(self.fastlog_tree))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory: Path = tmp_path_factory.mktemp("pair")
    with KeeperProcess(directory / "keeper") as keeper:
        fastlog = BrokerProcess(
            directory / "fastlog",
            settings={
                "zookeeper.connect": f"{keeper.address}/fastlog",
                "broker.id": "1",
                # Kafka 3.9 finalizes nothing by itself.
                "fastlog.default.transaction.version": "0",
                **_RACK,
            },
        )
        with (
            KafkaOnZooKeeper(directory / "kafka", f"{keeper.address}/kafka", settings=_RACK) as kafka,
            fastlog,
        ):
            pair = Pair(kafka, fastlog, keeper.address)
            for operator in pair.operators:
                operator.wait_until_it_serves()
            yield pair


def _comparable(tree: dict[str, Node]) -> dict[str, Any]:
    return {
        path: (
            _plain(node.data),
            node.stat.version,
            node.stat.cversion,
            node.stat.aversion,
            node.stat.ephemeral_owner != 0,
            node.stat.children,
        )
        for path, node in tree.items()
    }


def _plain(data: bytes | None) -> object:
    try:
        document = json.loads(data or b"")
    except ValueError:
        return data
    if not isinstance(document, dict):
        return data
    if isinstance(features := document.get("features"), dict):
        features.pop("transaction.version", None)
    return {name: _kind(value) if name in _ANY else value for name, value in document.items()}


def _kind(value: object) -> object:
    """The type, and the length of a text: "22 characters" of an id."""
    return [_kind(entry) for entry in value] if isinstance(value, list) else type(value).__name__


def _compare(pair: Pair) -> None:
    def same() -> bool:
        kafka, fastlog = pair.trees()
        return kafka == fastlog

    try:
        # Kafka deletes, and leads, after it has answered.
        wait_until(same, "", seconds=15, pause=0.5)
    except AssertionError:
        kafka, fastlog = pair.trees()
        assert fastlog == kafka


def test_a_broker_that_has_started(pair: Pair) -> None:
    kafka, _ = pair.trees()
    assert len(kafka) > 20
    _compare(pair)


def _alter(kind: ConfigResource.Type, name: str, key: str, value: str | None) -> Any:
    return lambda operator: operator.alter(kind, name, key, value)


_COMMANDS: Final = {
    "create a topic": lambda operator: operator.create(NewTopic("plain", 3, 1)),
    "create several": lambda operator: operator.create(
        NewTopic("kept", 1, 1), NewTopic("grown", 2, 1), NewTopic("gone", 2, 1)
    ),
    "create with configs": lambda operator: operator.create(
        NewTopic("settings", 1, 1, config={"retention.ms": "5000", "cleanup.policy": "compact,delete"})
    ),
    "create with an assignment": lambda operator: operator.create(
        NewTopic("assigned", 2, replica_assignment=[[1], [1]])
    ),
    "set a topic config": _alter(TOPIC, "plain", "retention.ms", "7000"),
    "set another": _alter(TOPIC, "plain", "segment.bytes", "1048576"),
    "replace one": _alter(TOPIC, "settings", "retention.ms", "6000"),
    "remove one": _alter(TOPIC, "plain", "retention.ms", None),
    "remove the last one": _alter(TOPIC, "plain", "segment.bytes", None),
    "set a config to what it is": _alter(TOPIC, "settings", "retention.ms", "6000"),
    "grow": lambda operator: operator.grow("grown", 5),
    "grow one with configs": lambda operator: operator.grow("settings", 2),
    "set a broker config": _alter(BROKER, "1", "log.cleaner.threads", "2"),
    "set one of all brokers": _alter(BROKER, "", "log.retention.ms", "90000000"),
    "remove the broker config": _alter(BROKER, "1", "log.cleaner.threads", None),
    "remove that of all brokers": _alter(BROKER, "", "log.retention.ms", None),
    "delete": lambda operator: operator.delete("gone"),
    "delete one with configs": lambda operator: operator.delete("settings"),
    "create one anew": lambda operator: operator.create(NewTopic("gone", 1, 1)),
    "produce with a producer id": lambda operator: operator.produce("kept", **{"enable.idempotence": True}),
    "produce again": lambda operator: operator.produce("kept", **{"enable.idempotence": True}),
}


@pytest.mark.parametrize("command", _COMMANDS)
def test_the_same_command_leaves_the_same_nodes(pair: Pair, command: str) -> None:
    for operator in pair.operators:
        _COMMANDS[command](operator)
    _compare(pair)


def test_commands_that_are_refused_leave_nothing(pair: Pair) -> None:
    before = pair.trees()
    for refused in (
        lambda operator: operator.create(NewTopic("plain", 1, 1)),
        lambda operator: operator.create(NewTopic("no/name", 1, 1)),
        lambda operator: operator.create(NewTopic("unknown", 1, 1, config={"no.such": "1"})),
        lambda operator: operator.create(NewTopic("many", 1, 3)),
        lambda operator: operator.grow("plain", 2),
        lambda operator: operator.alter(TOPIC, "plain", "retention.ms", "x"),
        lambda operator: operator.alter(TOPIC, "missing", "retention.ms", "1"),
        lambda operator: operator.delete("missing"),
    ):
        for operator in pair.operators:
            with pytest.raises(KafkaException):
                refused(operator)
    assert pair.trees() == before


def test_ids_and_names_have_kafkas_form(pair: Pair) -> None:
    for tree in (tree_at(pair.kafka_tree), tree_at(pair.fastlog_tree)):
        assert len(json.loads(tree["/brokers/topics/plain"].data or b"")["topic_id"]) == 22
        assert len(json.loads(tree["/cluster/id"].data or b"")["id"]) == 22
        own = json.loads(tree["/brokers/ids/1"].data or b"")
        assert own["endpoints"] == [f"PLAINTEXT://{own['host']}:{own['port']}"]
        assert own["timestamp"].isdecimal()
