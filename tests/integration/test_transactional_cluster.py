"""Three brokers: coordinators that leaders ask are elsewhere, and so are leaders that markers go to."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from fastlog.wire.messages.topics import CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest
from tests.harness.keeper_process import KeeperProcess
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker

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


def test_producers_of_a_cluster_commit_and_abort(tmp_path: Path) -> None:
    brokers: dict[int, RunningBroker] = {}
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        try:
            for number in (1, 2, 3):
                place = {"broker.id": str(number), "zookeeper.connect": keeper.address}
                brokers[number] = RunningBroker(tmp_path / f"broker-{number}", {**SETTINGS, **place})
                brokers[number].start()
            wait_until(
                lambda: all(len(one.broker.services.cluster.brokers()) == 3 for one in brokers.values()),
                "all are known to all",
                seconds=60,
            )
            _commit_and_abort(brokers)
        finally:
            for broker in brokers.values():
                broker.close()


def _commit_and_abort(brokers: dict[int, RunningBroker]) -> None:
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
