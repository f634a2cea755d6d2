"""Three brokers: coordinators that leaders ask are elsewhere, and so are leaders that markers go to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from fastlog.wire.messages.topics import CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest
from tests.harness.cli import fastlog
from tests.harness.keeper_process import KeeperProcess
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker
from tests.integration.transactional_client import batch_of, produce

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
SETTINGS = {
    "transaction.state.log.num.partitions": "3",
    "transaction.state.log.replication.factor": "3",
    "offsets.topic.num.partitions": "3",
    "offsets.topic.replication.factor": "3",
    "zookeeper.session.timeout.ms": "6000",
    "fastlog.shutdown.timeout.ms": "1000",
}
REPLICAS = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
FATES = [True, False, True]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, RunningBroker]]:
    """Brokers 1 to 3, with a keeper."""
    directory: Path = tmp_path_factory.mktemp("cluster")
    brokers: dict[int, RunningBroker] = {}
    with KeeperProcess(directory / "keeper", tick_ms=500) as keeper:
        try:
            for number in (1, 2, 3):
                place = {"broker.id": str(number), "zookeeper.connect": keeper.address}
                brokers[number] = RunningBroker(directory / f"broker-{number}", {**SETTINGS, **place})
                brokers[number].start()
            wait_until(
                lambda: all(len(one.broker.services.cluster.brokers()) == 3 for one in brokers.values()),
                "all are known to all",
                seconds=60,
            )
            yield brokers
        finally:
            for broker in brokers.values():
                broker.close()


def test_producers_of_a_cluster_commit_and_abort(brokers: dict[int, RunningBroker]) -> None:
    assignments = [CreatableReplicaAssignment(at, wanted) for at, wanted in enumerate(REPLICAS)]
    topic = CreatableTopic("a", -1, -1, assignments=assignments)
    with brokers[1].connect(timeout=60) as client:
        (made,) = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=60_000), 5).topics
        assert made.error_code == 0, made
    at = {"bootstrap.servers": ",".join(one.bootstrap for one in brokers.values()), "log_level": 2}
    reads = {"isolation.level": "read_committed", "enable.partition.eof": True, "enable.auto.commit": False}
    consumer = Consumer({**at, **reads, "group.id": "g"})
    # Ids whose coordinators are spread, as are the leaders of the topic.
    producers = [Producer({**at, "transactional.id": f"id {number}"}) for number in range(3)]
    for producer in producers:
        producer.init_transactions(60)
    for turn, commits in enumerate(FATES):
        for number, producer in enumerate(producers):
            producer.begin_transaction()
            for partition in range(3):
                producer.produce("a", b"%d %d" % (number, turn), partition=partition)
            position = TopicPartition("a", number, turn + 1)
            producer.send_offsets_to_transaction([position], consumer.consumer_group_metadata(), 60)
            if commits:
                producer.commit_transaction(60)
            else:
                producer.abort_transaction(60)
    committed = sorted(
        b"%d %d" % (number, turn) for turn, commits in enumerate(FATES) if commits for number in range(3)
    )
    for partition in range(3):
        consumer.assign([TopicPartition("a", partition, 0)])
        found: list[bytes] = []
        while True:
            message = consumer.poll(60)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                break
            found.append(message.value() or b"")
        assert sorted(found) == committed
    offsets = consumer.committed([TopicPartition("a", number) for number in range(3)], 60)
    consumer.close()
    assert [found.offset for found in offsets] == [len(FATES)] * 3


def test_commands_ask_all_coordinators_and_any_replica(brokers: dict[int, RunningBroker]) -> None:
    """`fastlog transaction`, after the test before."""
    servers = ",".join(one.bootstrap for one in brokers.values())

    def said(*words: str, code: int = 0) -> Any:
        done = fastlog("transaction", *words, "-o", "json", bootstrap=servers, code=code)
        return json.loads(done.stdout)

    listed = said("list")
    assert {(row["transactional_id"], row["state"]) for row in listed} == {
        (f"id {number}", "CompleteCommit") for number in range(3)
    }
    assert len({row["coordinator"] for row in listed}) > 1
    described = said("describe", *(row["transactional_id"] for row in listed))
    assert [(row["transactional_id"], row["coordinator"]) for row in described] == [
        (row["transactional_id"], row["coordinator"]) for row in listed
    ]
    # A follower has a transaction that nobody knows, like its leader.
    identity = (1 << 40, 5)
    leader = brokers[1]
    log = leader.broker.services.replicas.get("a", 0)
    assert log is not None
    end = log.log.log_end_offset
    fastlog(
        *("config", "alter", "--broker-default", "--set", "transaction.partition.verification.enable=false"),
        bootstrap=servers,
    )

    def hangs() -> bool:
        with leader.connect(timeout=60) as client:
            ((code, _),) = produce(client, "ghost", (("a", 0), batch_of(identity, 0)))
            return code == 0

    wait_until(hangs, "the setting is in force", seconds=30)
    expected = {"topic": "a", "partition": 0, "producer_id": identity[0], "start_offset": end}
    for words in (["--all"], ["a:0", "--broker", "2"], ["--broker", "3"]):
        wait_until(
            lambda words=words: said("find-hanging", *words, "--max-timeout", "0s"),  # type: ignore[misc]
            f"{words} find it",
            seconds=30,
        )
        (found,) = said("find-hanging", *words, "--max-timeout", "0s")
        assert {name: found[name] for name in expected} == expected
    said("abort", "a:0", "--start-offset", str(end), "-y")
    assert said("find-hanging", "--all", "--max-timeout", "0s") == []
