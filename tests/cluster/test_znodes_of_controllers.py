"""The same commands, to a cluster under Apache Kafka's controller and under fastlog's, leave the same nodes.

One mixed cluster, whose controller is moved: `tests/compat/test_znodes_like_kafka.py` does it with brokers
that are alone. Here are the states that only clusters come to: after elections, failures, moves of replicas.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka.admin import NewPartitions

from tests.cluster.cluster import Cluster
from tests.cluster.control import Parts, give_control, of_kind, settled
from tests.cluster.kinds import Kind
from tests.cluster.operator import admin, create_topic, elect_preferred, until_it_works
from tests.compat.cluster_operator import TOPIC, Operator
from tests.peers.apache_kafka import KAFKA_3, JavaTools

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(900)]
_KINDS: Final[tuple[Kind, Kind]] = ("kafka", "fastlog")
Step = Callable[[Cluster, Parts, str], None]


def _create(cluster: Cluster, parts: Parts, topic: str) -> None:
    first, second, third = parts.replicas
    rows = [[first, second, third], [second, third, first], [third, first, second]]
    create_topic(cluster, topic, rows, config={"retention.ms": "86400000"})


def _grow(cluster: Cluster, parts: Parts, topic: str) -> None:
    def grow() -> None:
        asked = NewPartitions(topic, 4, [parts.replicas[::-1]])
        client = admin(cluster)
        client.create_partitions([asked])[topic].result(30)

    until_it_works(grow, f"{topic} does not grow")
    cluster.wait_for(lambda state: len(state.of(topic)) == 4, f"{topic} does not grow")
    cluster.wait_whole(topic)


def _configure(cluster: Cluster, parts: Parts, topic: str) -> None:
    Operator(cluster.members[parts.fastlog].address).alter(TOPIC, topic, "retention.ms", "43200000")


def _stop(cluster: Cluster, parts: Parts, _: str) -> None:
    cluster.stop(parts.target)
    cluster.wait_gone(parts.target)


def _kill(cluster: Cluster, parts: Parts, topic: str) -> None:
    cluster.kill(parts.target)
    cluster.wait_gone(parts.target)
    cluster.wait_led_by_others(topic, parts.target)


def _start(cluster: Cluster, parts: Parts, _: str) -> None:
    cluster.start(parts.target)
    cluster.wait_whole()


def _elect(cluster: Cluster, _: Parts, topic: str) -> None:
    elect_preferred(cluster, topic)


def _reassign(assignment: Callable[[Parts], dict[int, list[int]]]) -> Step:
    def step(cluster: Cluster, parts: Parts, topic: str) -> None:
        wanted = assignment(parts)
        plan = {
            "version": 1,
            "partitions": [
                {"topic": topic, "partition": number, "replicas": replicas}
                for number, replicas in wanted.items()
            ],
        }
        path = cluster.members[1].directory / "plan.json"
        path.write_text(json.dumps(plan))
        _reassign_tool(cluster, path, "--execute")
        cluster.wait_for(
            lambda state: all(
                (part := state.partitions[topic, number]).whole and list(part.replicas) == replicas
                for number, replicas in wanted.items()
            ),
            f"{topic} is not reassigned",
        )
        said = _reassign_tool(cluster, path, "--verify")
        assert said.count("is completed") == len(wanted), said

    return step


def _reassign_tool(cluster: Cluster, plan: Path, what: str) -> str:
    return (
        JavaTools(KAFKA_3)
        .run(
            "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
            *("--bootstrap-server", cluster.bootstrap, "--reassignment-json-file", str(plan), what),
            heap="128m",
        )
        .stdout.decode()
    )


def _delete(cluster: Cluster, _: Parts, topic: str) -> None:
    def delete() -> None:
        client = admin(cluster)
        client.delete_topics([topic])[topic].result(30)

    until_it_works(delete, f"{topic} is not deleted")
    cluster.wait_for(lambda state: not state.of(topic), f"{topic} stays")


_STEPS: Final[dict[str, Step]] = {
    "create": _create,
    "grow": _grow,
    "configure": _configure,
    "a leader is shut down": _stop,
    "it comes back": _start,
    "preferred leaders": _elect,
    "a leader is killed": _kill,
    "it comes back again": _start,
    "preferred leaders again": _elect,
    "replicas are removed": _reassign(lambda parts: {0: parts.replicas[1:], 1: parts.replicas[:2]}),
    "replicas are moved": _reassign(lambda parts: {0: parts.replicas[:2], 1: parts.replicas[::2]}),
    "replicas are added": _reassign(lambda parts: {0: parts.replicas, 1: parts.replicas[::-1]}),
    "delete": _delete,
}


@pytest.mark.whole
def test_each_step_leaves_the_same_nodes(mixed: Cluster) -> None:
    controllers = {kind: of_kind(mixed, kind) for kind in _KINDS}
    (target,) = mixed.members.keys() - controllers.values()
    seen: dict[Kind, dict[str, dict[str, Any]]] = {}
    for kind in _KINDS:
        number = controllers[kind]
        give_control(mixed, number)
        # The same members have the same parts in both rounds, whoever controls.
        parts = Parts(controllers["kafka"], controllers["fastlog"], target)
        topic = f"under-{kind}"
        seen[kind] = {}
        for name, step in _STEPS.items():
            step(mixed, parts, topic)
            seen[kind][name] = settled(mixed, topic)
            assert mixed.controller() == number
    differences = [
        f"{name}: {path}: Kafka {kafka.get(path)}, fastlog {fastlog.get(path)}"
        for name in _STEPS
        for kafka, fastlog in [(seen["kafka"][name], seen["fastlog"][name])]
        for path in sorted(kafka.keys() | fastlog.keys())
        if kafka.get(path) != fastlog.get(path)
    ]
    assert not differences, "\n".join(differences)
    assert seen["fastlog"]["create"].keys() > seen["fastlog"]["delete"].keys() == set()
    assert mixed.tracebacks() == []
