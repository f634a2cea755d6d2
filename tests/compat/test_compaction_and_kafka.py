"""Compacted logs and a real Apache Kafka: its checks of our files, our taking over of what it compacted."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.compat.client_programs import CODECS
from tests.harness.broker_process import BrokerProcess
from tests.harness.compacted import EAGER, CompactedTopic, cleaned_to
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka, JavaTools, dump_log_class

COMPLAINTS = ("Mismatches", "Non-consecutive", "Found invalid", "corrupt", "Non-monotonic", "out of order")


def records(count: int, seed: int) -> list[tuple[bytes, bytes | None]]:
    """Values and some tombstones for a few keys."""
    chooser = random.Random(seed)
    return [
        (b"key-%d" % chooser.randrange(40), None if chooser.random() < 0.1 else b"%d" % index * 20)
        for index in range(count)
    ]


@pytest.mark.java
@pytest.mark.timeout(240)
def test_kafkas_dump_log_has_no_complaint(tmp_path: Path) -> None:
    """Both releases, every codec, segments and indexes, after several compactions."""
    with BrokerProcess(tmp_path, settings=EAGER) as broker:
        topics = [
            CompactedTopic(broker.bootstrap, broker.data_dir, f"t-{codec}", codec=codec) for codec in CODECS
        ]
        for seed in range(3):
            for topic in topics:
                topic.produce(records(1500, seed))
                topic.wait_clean(topic.roll())
        expected = sum(len(topic.read()) for topic in topics)
    files = [path for topic in topics for path in sorted(topic.directory.glob("*.log"))]
    assert expected < 2000 * len(CODECS)
    for version in (KAFKA_3, KAFKA_4):
        tools, dump = JavaTools(version), dump_log_class(version)
        deep = tools.run(dump, "--deep-iteration", "--files", ",".join(map(str, files)), heap="256m")
        words = deep.stdout.decode()
        assert len(re.findall(r"^\| offset: ", words, re.MULTILINE)) == expected
        assert "isvalid: false" not in words
        for suffix in (".index", ".timeindex"):
            indexes = ",".join(str(path.with_suffix(suffix)) for path in files)
            words += tools.run(dump, "--files", indexes, heap="256m").stdout.decode()
            words += tools.run(dump, "--index-sanity-check", "--files", indexes, heap="256m").stdout.decode()
        for sign in COMPLAINTS:
            assert sign.lower() not in words.lower(), words[words.lower().index(sign.lower()) :][:1000]


@pytest.mark.java
@pytest.mark.timeout(240)
def test_a_directory_that_kafka_compacted(tmp_path: Path) -> None:
    """Records, checkpoint and all: our cleaner goes on where Kafka's stopped."""
    eager = {
        "log.cleaner.backoff.ms": "50",
        "log.cleaner.dedupe.buffer.size": "4194304",
        "log.cleaner.min.cleanable.ratio": "0.01",
        "log.segment.delete.delay.ms": "0",
        "log.segment.bytes": "16384",
    }
    with ApacheKafka(tmp_path / "kafka", settings=eager, heap="256m") as kafka:
        topic = CompactedTopic(kafka.bootstrap, kafka.data_dir, codec="lz4")
        topic.produce(records(3000, 1))
        end = topic.roll()
        topic.wait_clean(end)
        assert topic.read_below(end) == topic.latest(end)
    theirs = cleaned_to(kafka.data_dir, "t")
    assert theirs >= end
    ours = tmp_path / "ours"
    ours.mkdir()
    kafka.data_dir.rename(ours / "data")
    # Kafka keeps topic configs in its own metadata.
    with BrokerProcess(ours, settings={**eager, "log.cleanup.policy": "compact"}) as broker:
        topic.bootstrap, topic.data_dir = broker.bootstrap, broker.data_dir
        assert topic.read_below(end) == topic.latest(end)
        topic.produce(records(3000, 2))
        end = topic.roll()
        topic.wait_clean(end)
        assert topic.read_below(end) == topic.latest(end)
        starts = re.findall(r"compacted t-0 from offset (\d+) to", broker.log_text)
        assert int(starts[0]) == theirs
        assert broker.stop() == 0
    again = BrokerProcess(ours, settings={**eager, "log.cleanup.policy": "compact"})
    with again:
        topic.bootstrap = again.bootstrap
        assert topic.read_below(end) == topic.latest(end)
