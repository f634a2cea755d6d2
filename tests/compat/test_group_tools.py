"""Apache Kafka's kafka-consumer-groups and its decoder of `__consumer_offsets` against fastlog's groups."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import (
    CONSOLE_CONSUMER,
    CONSUMER_GROUPS,
    KAFKA_3,
    KAFKA_4,
    ApacheKafka,
    JavaTools,
    console_producer_class,
    dump_log_class,
)

COUNT = 100


@pytest.mark.java
@pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])
@pytest.mark.timeout(180)
def test_kafka_consumer_groups(version: str, tmp_path: Path) -> None:
    """Consume in a group, list, describe, reset, delete offsets and groups; the log tells the same story."""
    settings = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "1"}
    with BrokerProcess(tmp_path, settings=settings) as broker:
        tools = JavaTools(version)
        server = ("--bootstrap-server", broker.bootstrap)
        lines = b"".join(b"%d\n" % number for number in range(COUNT))
        tools.run(console_producer_class(version), *server, "--topic", "t", stdin=lines)
        done = tools.run(
            CONSOLE_CONSUMER,
            *(*server, "--topic", "t", "--group", "readers", "--from-beginning"),
            *("--max-messages", str(COUNT), "--timeout-ms", "30000"),
        )
        assert done.stdout == lines

        def groups(*args: str) -> str:
            return tools.run(CONSUMER_GROUPS, *server, *args).stdout.decode()

        assert groups("--list").split() == ["readers"]
        assert re.search(r"readers +Empty", groups("--list", "--state"))
        row = rf"readers +t +0 +{COUNT} +{COUNT} +0 "
        assert re.search(row, groups("--describe", "--group", "readers"))
        group = ("--group", "readers")
        groups("--reset-offsets", *group, "--topic", "t", "--to-offset", "40", "--execute")
        assert re.search(rf"readers +t +0 +40 +{COUNT} +{COUNT - 40} ", groups("--describe", *group))
        groups("--delete", *group)
        assert groups("--list").split() == []
        log = broker.data_dir / "__consumer_offsets-0" / ("0" * 20 + ".log")
        dumped = tools.run(dump_log_class(version), "--files", str(log), "--offsets-decoder").stdout.decode()
    records = re.findall(r"key: (\{.*?\}) payload: (<DELETE>|\{.*\})", dumped)
    story = [(json.loads(key)["data"], value) for key, value in records]
    offset_key, group_key = {"group": "readers", "topic": "t", "partition": 0}, {"group": "readers"}
    committed = [json.loads(value)["data"]["offset"] for key, value in story[:-2] if key == offset_key]
    assert committed[-2:] == [COUNT, 40]
    generations = [json.loads(value)["data"] for key, value in story[:-2] if key == group_key]
    assert [(item["generation"], len(item["members"])) for item in generations] == [(1, 1), (2, 0)]
    assert story[-2:] == [(offset_key, "<DELETE>"), (group_key, "<DELETE>")]


@pytest.mark.java
@pytest.mark.timeout(180)
def test_groups_of_kafka_3_9_are_taken_over(tmp_path: Path) -> None:
    """A consumer that committed at a real Kafka goes on at our broker on the same data directory."""
    tools = JavaTools(KAFKA_3)
    lines = b"".join(b"%d\n" % number for number in range(COUNT))

    def consume(bootstrap: str, count: int) -> bytes:
        return tools.run(
            CONSOLE_CONSUMER,
            *("--bootstrap-server", bootstrap, "--topic", "t", "--group", "readers", "--from-beginning"),
            *("--max-messages", str(count), "--timeout-ms", "30000"),
        ).stdout

    with ApacheKafka(tmp_path / "kafka", settings={"offsets.topic.num.partitions": "3"}) as kafka:
        server = ("--bootstrap-server", kafka.bootstrap)
        tools.run(console_producer_class(KAFKA_3), *server, "--topic", "t", stdin=lines)
        seen = consume(kafka.bootstrap, 60)
    ours = tmp_path / "ours"
    ours.mkdir()
    kafka.data_dir.rename(ours / "data")
    with BrokerProcess(ours) as broker:
        seen += consume(broker.bootstrap, COUNT - 60)
    assert seen == lines
