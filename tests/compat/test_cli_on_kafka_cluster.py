"""`fastlog` against three brokers of Apache Kafka: moving replicas, electing leaders, brokers that die."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness.cli import fastlog
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient
from tests.integration.transactional_client import batch_of, produce
from tests.peers.apache_kafka import KAFKA_3, JavaTools
from tests.peers.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]
REASSIGN: Final = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    settings = {
        "auto.leader.rebalance.enable": "false",
        "unclean.leader.election.enable": "false",
        "transaction.partition.verification.enable": "false",
    }
    with KafkaCluster(tmp_path_factory.mktemp("kafka"), settings=settings) as cluster:
        wait_until(
            lambda: is_whole(described(cluster)),
            lambda: f"there is no cluster of three: {described(cluster)}",
            seconds=90,
            pause=0.5,
        )
        yield cluster


def said(kafka: KafkaCluster, *words: str, stdin: bytes = b"", code: int | None = 0) -> Any:
    done = fastlog(*words, "-o", "json", bootstrap=kafka.bootstrap, stdin=stdin, code=code)
    return json.loads(done.stdout)


def described(kafka: KafkaCluster) -> dict[str, Any]:
    # A broker that has died just now may be told of still, and cannot be asked.
    found: dict[str, Any] = said(kafka, "cluster", "describe", code=None)
    return found


def is_whole(cluster: dict[str, Any]) -> bool:
    return len(cluster["brokers"]) == 3 and cluster["controller"] is not None


def partitions(kafka: KafkaCluster, topic: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = said(kafka, "topic", "describe", topic)[0]["partitions"]
    return rows


def fill(kafka: KafkaCluster, topic: str, kilobytes: int) -> None:
    value = b"x" * 1000 + b"\n"
    fastlog("produce", topic, stdin=value * kilobytes, bootstrap=kafka.bootstrap)


def settings_of(kafka: KafkaCluster, *what: str) -> set[str]:
    (found,) = said(kafka, "config", "describe", *what)
    return {row["name"] for row in found["configs"] if "throttled" in row["name"]}


def test_replicas_move_and_nothing_is_throttled_after_it(kafka: KafkaCluster, tmp_path: Path) -> None:
    said(kafka, "topic", "create", "moved", "--assignment", "1:2,1:2,2:1")
    fill(kafka, "moved", 3000)
    plan = said(kafka, "topic", "reassign", "plan", "moved", "--to", "2,3")
    assert [row["partition"] for row in plan["partitions"]] == [0, 1, 2]
    assert all(set(row["replicas"]) == {2, 3} for row in plan["partitions"])
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))
    done = fastlog(
        *("topic", "reassign", "apply", "--from-file", str(file), "--throttle", "20M", "--wait"),
        *("--interval", "0.1"),
        bootstrap=kafka.bootstrap,
    )
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "limited to 20.0 MiB/s: topic moved and brokers 1,2,3"
    assert lines[-1] == "removed the throttle of topic moved and brokers 1,2,3"
    found = partitions(kafka, "moved")
    assert [row["replicas"] for row in found] == [row["replicas"] for row in plan["partitions"]]
    assert all(row["isr"] == [2, 3] and row["leader"] in (2, 3) for row in found)
    assert settings_of(kafka, "--topic", "moved") == set()
    for node in "123":
        assert settings_of(kafka, "--broker", node) == set()
    # Kafka's own tool reads the file, and finds it done.
    arguments = ("--bootstrap-server", kafka.bootstrap, "--reassignment-json-file", str(file), "--verify")
    verified = JavaTools(KAFKA_3).run(REASSIGN, *arguments).stdout.decode()
    assert verified.count("is completed") == 3, verified
    assert said(kafka, "topic", "reassign", "apply", "--from-file", str(file))[0]["status"] == "unchanged"


def test_a_move_is_shown_and_cancelled(kafka: KafkaCluster) -> None:
    said(kafka, "topic", "create", "slow", "--assignment", "1:2")
    fill(kafka, "slow", 3000)
    begun = said(kafka, "topic", "reassign", "apply", "slow", "--to", "2,3", "--throttle", "1K")
    assert (begun[0]["status"], begun[0]["error"]) == ("moving", None)
    (move,) = said(kafka, "topic", "reassign", "list", "slow")
    assert (move["target"], move["adding"], move["removing"]) == ([2, 3], [3], [1])
    assert move["percent"] < 100
    (row,) = partitions(kafka, "slow")
    assert (row["adding_replicas"], row["removing_replicas"]) == ([3], [1])
    assert not row["under_replicated"]
    assert described(kafka)["reassigning_partitions"] == 1
    assert settings_of(kafka, "--topic", "slow") != set()
    way_back = said(kafka, "topic", "reassign", "plan", "slow", "--current")
    # Kafka notes the target first, and so forgets the order from before.
    assert way_back["partitions"][0]["replicas"] == [2, 1]
    # Another target only when that is asked for.
    (refused,) = said(kafka, "topic", "reassign", "apply", "slow", "--to", "1,3", code=1)
    assert refused["error"]["code"] == "REASSIGNMENT_IN_PROGRESS"
    (cancelled,) = said(kafka, "topic", "reassign", "cancel", "slow")
    assert (cancelled["status"], cancelled["target"]) == ("cancelled", [2, 1])
    assert said(kafka, "topic", "reassign", "list") == []
    wait_until(
        lambda: partitions(kafka, "slow")[0]["replicas"] == [2, 1], "the move is not undone", seconds=30
    )
    assert settings_of(kafka, "--topic", "slow") == settings_of(kafka, "--broker", "3") == set()


def test_preferred_leaders_come_back(kafka: KafkaCluster) -> None:
    """The order of replicas changes first: the leader stays until one is elected."""
    said(kafka, "topic", "create", "led", "--assignment", "1:2:3,2:3:1")
    plan = {"version": 1, "partitions": [{"topic": "led", "partition": 0, "replicas": [3, 1, 2]}]}
    words = ("topic", "reassign", "apply", "--from-file", "-", "--wait", "--interval", "0.1")
    assert said(kafka, *words, stdin=json.dumps(plan).encode())[0]["status"] == "done"
    elected = said(kafka, "topic", "elect", "led:0,1")
    assert [(row["partition"], row["status"]) for row in elected] == [(0, "elected"), (1, "not_needed")]
    wait_until(lambda: partitions(kafka, "led")[0]["leader"] == 3, "3 does not lead", seconds=30)
    said(kafka, "topic", "elect", "--all")
    assert {row["status"] for row in said(kafka, "topic", "elect", "--all")} == {"not_needed"}
    failed = said(kafka, "topic", "elect", "led:7", "nothere", code=1)
    assert failed == []


def test_a_transaction_that_hangs_is_seen_by_leader_and_follower(kafka: KafkaCluster) -> None:
    """All replicas tell of their producers: the leader, and a broker that is named."""
    said(kafka, "topic", "create", "hung", "--assignment", "1:2")
    identity = (1 << 40, 5)
    with RawClient(kafka.brokers[1].port, timeout=60) as client:
        wait_until(
            lambda: produce(client, "ghost", (("hung", 0), batch_of(identity, 0)))[0][0] == 0,
            "the leader takes it",
            seconds=30,
        )
    for words in (["hung"], ["hung:0", "--broker", "2"], ["--broker", "1"]):
        look = ("transaction", "find-hanging", *words, "--max-timeout", "0s")
        wait_until(lambda look=look: said(kafka, *look), f"{look} sees it", seconds=60)  # type: ignore[misc]
        (found,) = said(kafka, *look)
        assert (found["topic"], found["producer_id"], found["start_offset"]) == ("hung", identity[0], 0)
    said(kafka, "transaction", "describe", "--producers", "hung", "--broker", "3", code=1)
    said(kafka, "transaction", "abort", "hung:0", "--start-offset", "0", "-y")
    assert said(kafka, "transaction", "find-hanging", "--all", "--max-timeout", "0s") == []


def test_brokers_die_the_controller_among_them(kafka: KafkaCluster) -> None:
    """What only the controller does goes on with the next one; a leader that lacks records is elected."""
    first = described(kafka)["controller"]
    second = first % 3 + 1
    said(
        kafka, "topic", "create", "risky", "--assignment", f"{second}:{first}", "-c", "min.insync.replicas=2"
    )
    kafka.brokers[first].kill()
    # Nobody has noticed yet: the metadata still names the dead one.
    said(kafka, "topic", "create", "after", "-r", "2", "-p", "1")
    found = described(kafka)
    assert found["controller"] not in (None, first)
    wait_until(
        lambda: described(kafka)["under_min_isr_partitions"] == 1, "risky is not under min ISR", seconds=30
    )
    names = {row["topic"] for row in said(kafka, "topic", "list", "--under-replicated")}
    assert names >= {"risky", "led"}
    kafka.brokers[second].kill()
    kafka.brokers[first].start()
    wait_until(
        lambda: "risky" in [row["topic"] for row in said(kafka, "topic", "list", "--unavailable")],
        lambda: f"risky is not without a leader: {said(kafka, 'topic', 'list')}",
        seconds=60,
        pause=0.5,
    )
    (row,) = said(kafka, "topic", "elect", "risky", code=1)
    assert row["error"]["code"] == "PREFERRED_LEADER_NOT_AVAILABLE"
    (row,) = said(kafka, "topic", "elect", "risky", "--unclean", "--yes")
    assert row["status"] == "elected"
    wait_until(lambda: partitions(kafka, "risky")[0]["leader"] == first, "nobody leads", seconds=30)
