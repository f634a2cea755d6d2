"""Control goes from one kind of broker to the other; Kafka's own tools work with a fastlog that has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.cluster import Cluster, Move
from tests.cluster.control import give_control, of_kind
from tests.cluster.extent import RATE, RECORDS
from tests.cluster.load import Load
from tests.cluster.operator import create_topic, elect_preferred, rotations
from tests.cluster.verdict import assert_kept
from tests.peers.apache_kafka import CONFIG_COMMAND, KAFKA_3, TOPIC_COMMAND, JavaTools

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]
_ELECTION: Final = "org.apache.kafka.tools.LeaderElectionCommand"
_REASSIGNMENT: Final = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
_SHELL: Final = "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka"


@pytest.mark.parametrize("move", ["kill", "stop"])
def test_control_goes_to_the_other_kind_and_back(move: Move, mixed: Cluster, tmp_path: Path) -> None:
    mixed.heal()
    kinds = [member.kind for member in mixed.members.values()]
    # Whoever of the other two takes over is of the other kind.
    alone = next(number for number, member in mixed.members.items() if kinds.count(member.kind) == 1)
    topic = f"through-{move}"
    create_topic(mixed, topic, rotations([*mixed.members]))
    with Load(mixed.bootstrap, topic, 3, tmp_path, rate=RATE) as load:
        give_control(mixed, alone)
        load.wait_for_acks(100)
        assert mixed.move_controller(move) == alone
        assert mixed.members[mixed.controller()].kind != mixed.members[alone].kind
        mixed.wait_led_by_others(topic, alone)
        load.wait_for_acks(100)
        mixed.start(alone)
        mixed.wait_whole()
        elect_preferred(mixed, topic)
        give_control(mixed, alone)
        # What the former controller was told last is the beginning of what the next one does.
        create_topic(mixed, f"{topic}-after", rotations([*mixed.members]))
        mixed.restart(next(number for number in mixed.members if number != alone))
        mixed.wait_whole()
        elect_preferred(mixed, topic)
        load.wait_for_acks(100)
        assert_kept(mixed, load, at_least=RECORDS)


def _run(main_class: str, *args: str) -> str:
    return JavaTools(KAFKA_3).run(main_class, *args, heap="128m").stdout.decode()


class _Tools:
    """Kafka's tools on a cluster."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster, self._directory = cluster, directory

    def run(self, main_class: str, *args: str) -> str:
        return _run(main_class, "--bootstrap-server", self._cluster.bootstrap, *args)

    def shell(self, *args: str) -> str:
        return _run(_SHELL, "-server", self._cluster.connect, *args)

    def file(self, name: str, document: object) -> str:
        path = self._directory / name
        path.write_text(json.dumps(document))
        return str(path)


def _plan(topic: str, *replicas: list[int]) -> dict[str, Any]:
    rows = [{"topic": topic, "partition": number, "replicas": row} for number, row in enumerate(replicas)]
    return {"version": 1, "partitions": rows}


@pytest.fixture
def tools(mixed: Cluster, tmp_path: Path) -> _Tools:
    mixed.heal()
    give_control(mixed, of_kind(mixed, "fastlog"))
    return _Tools(mixed, tmp_path)


def test_kafka_topics(mixed: Cluster, tools: _Tools) -> None:
    made = ("--create", "--topic", "tooled", "--partitions", "3", "--replication-factor", "3")
    tools.run(TOPIC_COMMAND, *made, "--config", "retention.ms=86400000")
    mixed.wait_whole("tooled")
    tools.run(TOPIC_COMMAND, "--alter", "--topic", "tooled", "--partitions", "5")
    mixed.wait_for(lambda state: len(state.of("tooled")) == 5, "it does not grow")
    mixed.wait_whole("tooled")
    assert {len(part.replicas) for part in mixed.look().of("tooled").values()} == {3}
    said = tools.run(TOPIC_COMMAND, "--describe", "--topic", "tooled")
    assert "PartitionCount: 5" in said and "ReplicationFactor: 3" in said
    assert "retention.ms=86400000" in said
    assert tools.run(TOPIC_COMMAND, "--describe", "--under-replicated-partitions").strip() == ""
    tools.run(TOPIC_COMMAND, "--delete", "--topic", "tooled")
    mixed.wait_for(lambda state: not state.of("tooled"), "it stays")
    mixed.wait_for(
        lambda _: not [path for path in mixed.data_dirs.values() if [*path.glob("tooled-?")]],
        "its logs stay",
    )
    assert "tooled" not in tools.run(TOPIC_COMMAND, "--list")


@pytest.mark.whole
def test_kafka_configs(mixed: Cluster, tools: _Tools) -> None:
    create_topic(mixed, "set", [[*mixed.members]])
    where = ("--entity-type", "topics", "--entity-name", "set")
    tools.run(CONFIG_COMMAND, *where, "--alter", "--add-config", "retention.ms=43200000")
    assert "retention.ms=43200000" in tools.run(CONFIG_COMMAND, *where, "--describe")
    assert "43200000" in tools.shell("get", "/config/topics/set")
    tools.run(CONFIG_COMMAND, *where, "--alter", "--delete-config", "retention.ms")
    assert "retention.ms" not in tools.run(CONFIG_COMMAND, *where, "--describe")
    for number in (of_kind(mixed, "kafka"), of_kind(mixed, "fastlog")):
        broker = ("--entity-type", "brokers", "--entity-name", str(number))
        tools.run(CONFIG_COMMAND, *broker, "--alter", "--add-config", "log.cleaner.threads=2")
        assert "log.cleaner.threads=2" in tools.run(CONFIG_COMMAND, *broker, "--describe")


def test_kafka_leader_election(mixed: Cluster, tools: _Tools) -> None:
    rows = rotations([*mixed.members])
    create_topic(mixed, "elected", rows)
    target = next(number for number in mixed.members if number != mixed.controller())
    mixed.restart(target)
    mixed.wait_whole()
    assert target not in {part.leader for part in mixed.look().of("elected").values()}
    said = tools.run(_ELECTION, "--election-type", "preferred", "--all-topic-partitions")
    assert "elected" in said
    leaders = [mixed.look().partitions["elected", number].leader for number in range(len(rows))]
    assert leaders == [row[0] for row in rows]
    # The way of the tools before 2.4, which Kafka's controllers still go.
    mixed.restart(target)
    mixed.wait_whole()
    asked = {"version": 1, "partitions": [{"topic": "elected", "partition": n} for n in range(len(rows))]}
    tools.shell("create", "/admin/preferred_replica_election", json.dumps(asked, separators=(",", ":")))
    mixed.wait_for(
        lambda state: [part.leader for _, part in sorted(state.of("elected").items())] == leaders,
        "nobody elects what the node names",
    )


def test_kafka_reassign_partitions(mixed: Cluster, tools: _Tools, tmp_path: Path) -> None:
    numbers = [*mixed.members]
    create_topic(
        mixed, "moved", [numbers[:1], numbers[1:2], numbers[2:]], config={"min.insync.replicas": "1"}
    )
    with Load(mixed.bootstrap, "moved", 3, tmp_path, rate=RATE) as load:
        load.wait_for_acks(1000)
        plan = tools.file("plan.json", _plan("moved", numbers[1:], numbers[::-1], numbers[:2]))
        asked = ("--reassignment-json-file", plan)
        tools.run(_REASSIGNMENT, *asked, "--execute", "--throttle", "100000000")
        mixed.wait_whole("moved")
        mixed.wait_for(
            lambda state: [len(part.replicas) for _, part in sorted(state.of("moved").items())] == [2, 3, 2],
            "they do not move",
        )
        assert tools.run(_REASSIGNMENT, *asked, "--verify").count("is completed") == 3
        assert "throttled" not in tools.shell("get", "/config/topics/moved")
        assert "No partition reassignments found" in tools.run(_REASSIGNMENT, "--list")
        # The way of the tools before 2.6.
        back = json.dumps(_plan("moved", numbers, numbers, numbers), separators=(",", ":"))
        tools.shell("create", "/admin/reassign_partitions", back)
        mixed.wait_for(
            lambda state: all(
                part.whole and list(part.replicas) == numbers for part in state.of("moved").values()
            ),
            "nobody moves what the node names",
        )
        load.wait_for_acks(100)
        assert_kept(mixed, load, at_least=2000)


def test_zookeeper_shell(mixed: Cluster, tools: _Tools) -> None:
    said = tools.shell("get", "/controller")
    assert f'"brokerid":{mixed.controller()}' in said
    assert "[1, 2, 3]" in tools.shell("ls", "/brokers/ids")
    assert "PLAINTEXT://" in tools.shell("get", "/brokers/ids/1")
