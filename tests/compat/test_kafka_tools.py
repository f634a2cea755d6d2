"""Apache Kafka's own command-line tools and kcat, as their users run them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.client_programs import CODECS, JAVA_3
from tests.harness.broker_process import BrokerProcess
from tests.harness.dataset import plain_record, records, write_file
from tests.peers.apache_kafka import (
    CONFIG_COMMAND,
    CONSOLE_CONSUMER,
    DELETE_RECORDS,
    FEATURE_COMMAND,
    GET_OFFSETS,
    KAFKA_3,
    KAFKA_4,
    LOG_DIRS,
    PRODUCER_PERFORMANCE,
    TOPIC_COMMAND,
    JavaTools,
    console_producer_class,
    dump_log_class,
)
from tests.peers.kcat import kcat

BOTH = pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])


@BOTH
@pytest.mark.timeout(120)
def test_console_producer_and_consumer(version: str, broker: BrokerProcess) -> None:
    """Keys, headers and nulls typed in come out as they were."""
    tools = JavaTools(version)
    topic = f"console-{version}"
    lines = b"".join(b"h1:v1,h2:v2\tkey-%d\tvalue %d\n" % (index, index) for index in range(1000))
    lines += b"h1:v1\tkey-null\tNULL\n"
    tools.run(
        console_producer_class(version),
        *("--bootstrap-server", broker.bootstrap, "--topic", topic),
        *("--property", "parse.key=true", "--property", "parse.headers=true"),
        *("--property", "null.marker=NULL", "--compression-codec", "zstd"),
        stdin=lines,
    )
    done = tools.run(
        CONSOLE_CONSUMER,
        *("--bootstrap-server", broker.bootstrap, "--topic", topic, "--partition", "0"),
        *("--offset", "earliest", "--max-messages", "1001", "--timeout-ms", "30000"),
        *("--property", "print.key=true", "--property", "print.headers=true"),
        *("--property", "null.literal=NULL"),
    )
    # 4.x opens with a warning that --property has a new name.
    assert done.stdout.endswith(lines)
    assert done.stdout.count(b"key-") == 1001


@BOTH
@pytest.mark.timeout(120)
def test_producer_performance(version: str, broker: BrokerProcess) -> None:
    """The perf test runs to its end and its records are all there."""
    tools = JavaTools(version)
    topic = f"perf-{version}"
    done = tools.run(
        PRODUCER_PERFORMANCE,
        *("--topic", topic, "--num-records", "100000", "--record-size", "200", "--throughput", "-1"),
        *("--producer-props", f"bootstrap.servers={broker.bootstrap}"),
    )
    assert b"100000 records sent" in done.stdout
    offsets = tools.run(GET_OFFSETS, "--bootstrap-server", broker.bootstrap, "--topic", topic)
    assert offsets.stdout.strip() == f"{topic}:0:100000".encode()


@BOTH
@pytest.mark.timeout(120)
def test_topics_configs_records_and_log_dirs(version: str, broker: BrokerProcess) -> None:
    """kafka-topics, kafka-configs, kafka-delete-records, kafka-get-offsets and kafka-log-dirs."""
    tools = JavaTools(version)
    topic = f"admin-{version}"
    server = ("--bootstrap-server", broker.bootstrap)
    tools.run(
        TOPIC_COMMAND,
        *(*server, "--create", "--topic", topic, "--partitions", "3", "--replication-factor", "1"),
        *("--config", "retention.ms=86400000"),
    )
    tools.run(TOPIC_COMMAND, *server, "--alter", "--topic", topic, "--partitions", "5")
    described = tools.run(TOPIC_COMMAND, *server, "--describe", "--topic", topic).stdout.decode()
    assert re.search(
        r"PartitionCount:\s*5\s+ReplicationFactor:\s*1\s+Configs:.*retention.ms=86400000", described
    )
    assert len(re.findall(r"Partition:\s*\d+\s+Leader:\s*\d+\s+Replicas:\s*\d+\s+Isr:\s*\d+", described)) == 5
    assert topic in tools.run(TOPIC_COMMAND, *server, "--list").stdout.decode().split()

    entity = ("--entity-type", "topics", "--entity-name", topic)
    tools.run(CONFIG_COMMAND, *server, "--alter", *entity, "--add-config", "max.message.bytes=2000000")
    shown = tools.run(CONFIG_COMMAND, *server, "--describe", *entity).stdout.decode()
    assert "max.message.bytes=2000000" in shown
    assert "DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000" in shown

    text = b"".join(b"value %d\n" % index for index in range(100))
    tools.run(console_producer_class(version), *server, "--topic", topic, stdin=text)
    ends = tools.run(GET_OFFSETS, *server, "--topic", topic, "--time", "-1").stdout.decode().split()
    totals = {int(line.split(":")[1]): int(line.split(":")[2]) for line in ends}
    assert sum(totals.values()) == 100
    partition, end = max(totals.items(), key=lambda item: item[1])
    cut = {"topic": topic, "partition": partition, "offset": end - 1}
    file = broker.directory / f"delete-{version}.json"
    file.write_text(json.dumps({"partitions": [cut], "version": 1}))
    tools.run(DELETE_RECORDS, *server, "--offset-json-file", str(file))
    starts = tools.run(GET_OFFSETS, *server, "--topic", topic, "--time", "-2").stdout.decode().split()
    assert f"{topic}:{partition}:{end - 1}" in starts

    directories = tools.run(LOG_DIRS, *server, "--describe", "--topic-list", topic).stdout.decode()
    assert directories.count(f'"partition":"{topic}-') == 5
    assert str(broker.data_dir) in directories

    tools.run(TOPIC_COMMAND, *server, "--delete", "--topic", topic)
    assert topic not in tools.run(TOPIC_COMMAND, *server, "--list").stdout.decode().split()


@pytest.mark.timeout(120)
def test_kcat(broker: BrokerProcess) -> None:
    """Lists, produces and consumes with keys, headers and every codec."""
    command, environment = kcat()

    def run(*args: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            [command, "-b", broker.bootstrap, *args],
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    for codec in CODECS:
        topic = f"kcat-{codec}"
        items = [plain_record(index) for index in range(2000)]
        lines = b"".join(b"%s:%s\n" % (item.key, item.value) for item in items)
        run("-P", "-t", topic, "-p", "0", "-K", ":", "-z", codec, "-H", "trace=abc", stdin=lines)
        got = run("-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%k:%s|%h|%o\n")
        expected = b"".join(
            b"%s:%s|trace=abc|%d\n" % (item.key, item.value, offset) for offset, item in enumerate(items)
        )
        assert got == expected
    listing = run("-L").decode()
    assert f"broker 1 at {broker.bootstrap}" in listing or broker.bootstrap in listing
    assert 'topic "kcat-zstd" with 1 partitions' in listing


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Segment files of every codec, many rolls, sealed and active, after a clean stop."""
    directory = tmp_path_factory.mktemp("segments")
    # By size and, since the records are a millisecond apart, by time after every 2000 of them.
    settings = {"log.segment.bytes": str(1024 * 1024), "log.roll.ms": "2000", "log.retention.ms": "-1"}
    with BrokerProcess(directory, settings=settings) as process:
        sent = directory / "sent"
        write_file(sent, records(9000, start=15_000))
        for codec in CODECS:
            JAVA_3.run(
                "produce",
                sent,
                bootstrap=process.bootstrap,
                topic=f"dump-{codec}",
                codec=codec,
                count=9000,
                timeout=120,
            )
    yield sorted(process.data_dir.glob("dump-*/*.log"))


@BOTH
@pytest.mark.timeout(180)
def test_dump_log_segments_has_no_complaint(version: str, segments: list[Path]) -> None:
    """kafka-dump-log with deep iteration, and its checks of both indexes, over every file."""
    tools = JavaTools(version)
    assert len(segments) > 10
    files = ",".join(str(path) for path in segments)
    dump = dump_log_class(version)
    deep = tools.run(dump, "--deep-iteration", "--files", files, timeout=170).stdout.decode()
    assert len(re.findall(r"^\| offset: ", deep, re.MULTILINE)) == 9000 * len(CODECS)
    assert "isvalid: false" not in deep
    _no_complaint(deep)
    for suffix in (".index", ".timeindex"):
        indexes = ",".join(str(path.with_suffix(suffix)) for path in segments)
        checked = tools.run(dump, "--files", indexes, timeout=170).stdout.decode()
        _no_complaint(checked)
        assert re.search(r"^(offset|timestamp): \d+", checked, re.MULTILINE), "no index entry at all was seen"
        sane = tools.run(dump, "--index-sanity-check", "--files", indexes, timeout=170).stdout.decode()
        # A segment that begins with a large batch and holds little else has no entry.
        passed, empty = sane.count("passed sanity check"), sane.count("is empty")
        assert passed + empty == len(segments)
        assert passed > len(CODECS)
    snapshots = ",".join(str(path) for path in sorted(segments[0].parent.glob("*.snapshot")))
    assert "producerId:" in tools.run(dump, "--files", snapshots).stdout.decode()


def _no_complaint(words: str) -> None:
    for sign in (
        "Mismatches",
        "Non-consecutive",
        "Found invalid",
        "corrupt",
        "Non-monotonic",
        "out of order",
    ):
        assert sign.lower() not in words.lower(), words[words.lower().index(sign.lower()) :][:2000]


@BOTH
@pytest.mark.timeout(120)
def test_features_are_described(version: str, broker: BrokerProcess) -> None:
    done = JavaTools(version).run(FEATURE_COMMAND, "--bootstrap-server", broker.bootstrap, "describe")
    found = re.findall(
        r"Feature: (\S+)\s.*MaxVersion: (\d+)\s+FinalizedVersionLevel: (\d+)\s", done.stdout.decode()
    )
    assert sorted(found) == [("group.version", "1", "1"), ("transaction.version", "2", "2")], done.stdout
