"""The same `fastlog` commands against this broker and a real Apache Kafka: same answers and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness.broker_process import BrokerProcess
from tests.harness.cli import fastlog
from tests.peers.apache_kafka import CONSUMER_GROUPS, KAFKA_3, KAFKA_4, ApacheKafka, JavaTools

# Five seconds are little on a machine that has much to do.
PATIENT = ("--timeout", "60000")
VERSIONS = [KAFKA_3, KAFKA_4]
ONE_BROKER = {"offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0"}
# What must differ between two brokers, is the disk's, or is worded in its own way.
_OWN = {"message", "topic_id", "cluster_id", "host", "port", "size_bytes", "coordinator", "leader_epoch"}

SCRIPT = [
    "topic create orders -p 3 -c retention.ms=86400000",
    "topic create orders",
    "topic create orders --if-not-exists",
    "topic create wrong -c nonsense=1",
    "topic create bad/name",
    "topic list",
    "topic list ord*",
    "topic describe orders",
    "topic describe nothere orders",
    "topic alter orders -p 4",
    "topic alter orders -p 2",
    "topic alter orders -c max.message.bytes=2000000",
    "topic alter orders --delete-config retention.ms",
    "topic describe orders",
    "topic trim orders:0=2 orders:1=end -y",
    "topic trim orders:0=99 -y",
    "group list",
    "group describe nobody",
    "group reset-offsets billing --topic orders --to-latest",
    "group reset-offsets billing --topic orders --to-latest --execute",
    "group reset-offsets billing --topic orders:0,2 --shift-by -1 --execute",
    "group reset-offsets billing --topic orders:1 --to-offset 99 --execute",
    "group reset-offsets billing --all-topics --to-earliest --execute",
    "group reset-offsets billing --topic orders:0 --to-datetime 2001-01-01T00:00:00Z --execute",
    "group reset-offsets billing --topic orders:2 --by-duration PT0S --execute",
    "group reset-offsets billing --all-topics --to-current",
    "group reset-offsets billing --topic nothere --to-latest",
    "group list",
    "group describe billing",
    "group describe billing --state",
    "group describe",
    "config describe --topic orders",
    "config describe --topic nothere",
    "config alter --topic orders --set segment.bytes=2097152 --dry-run",
    "config alter --topic orders --set segment.bytes=2097152 --set cleanup.policy=compact",
    "config alter --topic orders --append cleanup.policy=delete",
    "config alter --topic orders --delete segment.bytes",
    "config alter --topic orders --set segment.bytes=many",
    "config describe --topic orders",
    "group delete billing --yes",
    "group delete billing --yes",
    "topic delete orders --yes",
    "topic delete orders --yes",
    "topic delete orders --yes --if-exists",
]


def comparable(value: Any) -> Any:
    """Without what is each broker's own."""
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items() if name not in _OWN}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


Played = tuple[str, int, Any, list[str]]


def played(bootstrap: str) -> Iterator[Played]:
    """Command, exit code, document on stdout, and the codes of the errors on stderr."""
    for line in SCRIPT:
        done = fastlog(*line.split(), "-o", "json", bootstrap=bootstrap, code=None)
        document = json.loads(done.stdout) if done.stdout.strip() else None
        errors = [
            json.loads(text)["error"]["code"] for text in done.stderr.splitlines() if text.startswith(b"{")
        ]
        yield line, done.returncode, comparable(document), errors
        if line.startswith("topic alter orders -p 4"):
            for partition in range(4):
                values = b"".join(b"%d\n" % number for number in range(5))
                fastlog("produce", "orders", "-p", str(partition), stdin=values, bootstrap=bootstrap)


@pytest.mark.timeout(120)
def test_offsets_that_were_reset_are_those_that_kafka_shows(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings=ONE_BROKER) as broker:
        fastlog("topic", "create", "t", "-p", "2", bootstrap=broker.bootstrap)
        for partition in ("0", "1"):
            fastlog("produce", "t", "-p", partition, stdin=b"a\nb\nc\n", bootstrap=broker.bootstrap)
        reset = ("group", "reset-offsets", "g", "--execute", "--topic")
        fastlog(*reset, "t", "--to-latest", bootstrap=broker.bootstrap)
        fastlog(*reset, "t:1", "--shift-by", "-2", bootstrap=broker.bootstrap)
        arguments = ("--bootstrap-server", broker.bootstrap, "--describe", "--group", "g", *PATIENT)
        shown = JavaTools(KAFKA_3).run(CONSUMER_GROUPS, *arguments).stdout.decode()
        rows = [line.split()[:6] for line in shown.splitlines() if line.startswith("g ")]
        assert sorted(rows) == [["g", "t", "0", "3", "3", "0"], ["g", "t", "1", "1", "3", "2"]], shown


@pytest.fixture(scope="module")
def kafkas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[ApacheKafka]]]:
    """One of each release, while they start: none needs both processors all the time."""

    def started(version: str) -> ApacheKafka:
        directory = tmp_path_factory.mktemp(f"kafka-{version}")
        kafka = ApacheKafka(directory, version=version, settings=ONE_BROKER, heap="256m")
        ending.callback(kafka.kill)
        kafka.start()
        return kafka

    with ExitStack() as ending, ThreadPoolExecutor() as threads:
        yield {version: threads.submit(started, version) for version in VERSIONS}


@pytest.fixture(scope="module")
def ours(kafkas: object, tmp_path_factory: pytest.TempPathFactory) -> list[Played]:
    """The script played against this broker, once, while Kafka starts."""
    with BrokerProcess(tmp_path_factory.mktemp("ours"), settings=ONE_BROKER) as broker:
        return list(played(broker.bootstrap))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_commands(kafkas: dict[str, Future[ApacheKafka]], ours: list[Played], version: str) -> None:
    kafka = kafkas[version].result()
    differences = [
        f"ours:  {mine}\nkafka: {theirs}"
        for mine, theirs in zip(ours, played(kafka.bootstrap), strict=True)
        if mine != theirs
    ]
    assert not differences, "\n".join(differences)
