"""`__consumer_offsets` is compacted: groups are the same after a restart, Kafka's tools read the topic."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker_process import BrokerProcess
from tests.harness.compacted import EAGER, cleaned_to, read_partition, wait_for
from tests.peers.apache_kafka import CONSOLE_CONSUMER, KAFKA_3, JavaTools, dump_log_class

OFFSETS = "__consumer_offsets"
GROUPS = 5
PARTITIONS = 4
COMMITS = 300
SETTINGS = {
    **EAGER,
    "offsets.topic.num.partitions": "1",
    "offsets.topic.segment.bytes": "16384",
    "log.cleaner.min.cleanable.ratio": "0.01",
    "group.initial.rebalance.delay.ms": "0",
}
Committed = dict[tuple[str, int], tuple[int, str | None]]


def commit(bootstrap: str, group: str, base: int) -> None:
    """Many commits of one group, each for all partitions; the last one is at `base + COMMITS - 1`."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 2})
    for number in range(COMMITS):
        consumer.commit(
            offsets=[TopicPartition("t", index, base + number, f"m{number}") for index in range(PARTITIONS)],
            asynchronous=False,
        )
    consumer.close()


def committed(bootstrap: str, groups: list[str]) -> Committed:
    """What is committed: (group, partition) to (offset, metadata)."""
    found: Committed = {}
    for group in groups:
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 2})
        for row in consumer.committed(
            [TopicPartition("t", index) for index in range(PARTITIONS)], timeout=30
        ):
            found[group, row.partition] = (row.offset, row.metadata)
        consumer.close()
    return found


@pytest.mark.java
@pytest.mark.timeout(240)
def test_groups_outlive_the_compaction_of_their_topic(tmp_path: Path) -> None:
    groups = [f"g{index}" for index in range(GROUPS)]
    with BrokerProcess(tmp_path, settings=SETTINGS) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
        admin.create_topics([NewTopic("t", PARTITIONS, 1)])["t"].result(30)
        for number, group in enumerate(groups):
            commit(broker.bootstrap, group, 1000 * number)
        # One group is deleted again: tombstones.
        for future in admin.delete_consumer_groups([groups.pop()]).values():
            future.result(timeout=30)
        expected = {
            (group, partition): (1000 * number + COMMITS - 1, f"m{COMMITS - 1}")
            for number, group in enumerate(groups)
            for partition in range(PARTITIONS)
        }
        assert committed(broker.bootstrap, groups) == expected
        total = read_partition(broker.bootstrap, OFFSETS)[-1].offset + 1
        assert total >= GROUPS * COMMITS * PARTITIONS
        wait_for(lambda: cleaned_to(broker.data_dir, OFFSETS) > total * 0.8)
        left = read_partition(broker.bootstrap, OFFSETS)
        assert len(left) < total / 2
        for stop in (broker.stop, broker.kill):
            stop()
            broker.start()
            assert committed(broker.bootstrap, groups) == expected
        # Commits go on, and are compacted again.
        commit(broker.bootstrap, groups[0], 50_000)
        expected |= {
            (groups[0], index): (50_000 + COMMITS - 1, f"m{COMMITS - 1}") for index in range(PARTITIONS)
        }
        end = read_partition(broker.bootstrap, OFFSETS)[-1].offset + 1
        wait_for(lambda: cleaned_to(broker.data_dir, OFFSETS) > end - COMMITS * PARTITIONS // 2)
        broker.kill()
        broker.start()
        assert committed(broker.bootstrap, groups) == expected

        tools = JavaTools(KAFKA_3)
        shown = tools.run(
            CONSOLE_CONSUMER,
            *("--bootstrap-server", broker.bootstrap, "--topic", OFFSETS, "--partition", "0"),
            *("--offset", "earliest", "--timeout-ms", "8000"),
            *("--formatter", "org.apache.kafka.tools.consumer.OffsetsMessageFormatter"),
            heap="256m",
        ).stdout.decode()
        assert _by_formatter(shown) == {key: offset for key, (offset, _) in expected.items()}
        assert broker.stop() == 0
        segments = sorted((broker.data_dir / f"{OFFSETS}-0").glob("*.log"))
        dump = ("--files", ",".join(map(str, segments)), "--offsets-decoder")
        dumped = tools.run(dump_log_class(KAFKA_3), *dump, heap="256m").stdout.decode()
        assert "isvalid: false" not in dumped
        assert len(re.findall(r"payload: \{", dumped)) > GROUPS


def _by_formatter(text: str) -> dict[tuple[str, int], int]:
    """The last offset of each group and partition of the topic: JSON documents one after the other."""
    found: dict[tuple[str, int], int] = {}
    decoder, position, text = json.JSONDecoder(), 0, text.strip()
    while position < len(text):
        record, position = decoder.raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        key, value = record["key"]["data"], record["value"]
        if key.get("topic") != "t":
            continue
        if isinstance(value, dict):
            found[key["group"], key["partition"]] = value["data"]["offset"]
        else:
            found.pop((key["group"], key["partition"]), None)
    return found
