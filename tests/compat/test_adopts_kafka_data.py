"""A data directory written by a real Apache Kafka 3.9 opens as it is and serves all its records."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.client_programs import CODECS, CONFLUENT, JAVA_3, KAFKA_PYTHON_3_CLIENT
from tests.harness.broker_process import BrokerProcess
from tests.harness.dataset import first_difference, records, write_file
from tests.peers.apache_kafka import ApacheKafka

COUNT = 12_000
SEGMENTS = {"log.segment.bytes": str(1024 * 1024), "log.retention.ms": "-1"}


@pytest.mark.timeout(240)
def test_a_directory_of_kafka_3_9(tmp_path: Path) -> None:
    """Every codec, many segments; then our broker appends to the same logs, and idempotence goes on."""
    sent = tmp_path / "sent"
    write_file(sent, records(COUNT, start=15_000))
    with ApacheKafka(tmp_path / "kafka", settings=SEGMENTS) as kafka:
        for codec in CODECS:
            JAVA_3.run(
                "produce",
                sent,
                bootstrap=kafka.bootstrap,
                topic=f"kept-{codec}",
                codec=codec,
                count=COUNT,
                timeout=120,
            )
    ours = tmp_path / "ours"
    ours.mkdir()
    kafka.data_dir.rename(ours / "data")
    before = {path.name: path.read_bytes() for path in sorted((ours / "data/kept-zstd-0").glob("*.log"))}
    with BrokerProcess(ours, settings=SEGMENTS) as broker:
        got = tmp_path / "got"
        for codec in CODECS:
            CONFLUENT.run(
                "consume",
                got,
                bootstrap=broker.bootstrap,
                topic=f"kept-{codec}",
                codec=codec,
                count=COUNT,
                timeout=60,
            )
            assert first_difference(sent, got) is None
        CONFLUENT.run(
            "produce",
            sent,
            bootstrap=broker.bootstrap,
            topic="kept-zstd",
            codec="zstd",
            count=COUNT,
            timeout=60,
        )
        twice = tmp_path / "twice"
        twice.write_bytes(sent.read_bytes() * 2)
        KAFKA_PYTHON_3_CLIENT.run(
            "consume",
            got,
            bootstrap=broker.bootstrap,
            topic="kept-zstd",
            codec="zstd",
            count=2 * COUNT,
            timeout=60,
        )
        assert first_difference(twice, got) is None
    for name, content in before.items():
        assert (ours / "data/kept-zstd-0" / name).read_bytes().startswith(content), f"{name} was rewritten"
