"""1,000,000 records in all: every client produces every codec, and what it sent is read back byte-equal.

Each topic is read by librdkafka, Java and one more client in turn, so that every client reads every codec.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.client_programs import (
    AIOKAFKA,
    CODECS,
    CONFLUENT,
    JAVA_3,
    JAVA_4,
    KAFKA_PYTHON_2_CLIENT,
    KAFKA_PYTHON_3_CLIENT,
    ClientProgram,
)
from tests.harness.broker_process import BrokerProcess
from tests.harness.dataset import first_difference, records, write_file

# Records per codec; with five codecs the column adds up to 1,000,000.
PRODUCERS = {
    "confluent": (CONFLUENT, 84_000),
    "java-3": (JAVA_3, 46_000),
    "java-4": (JAVA_4, 30_000),
    "kafka-python-3": (KAFKA_PYTHON_3_CLIENT, 15_000),
    "aiokafka": (AIOKAFKA, 15_000),
    "kafka-python-2": (KAFKA_PYTHON_2_CLIENT, 10_000),
}
OTHER_READERS = (KAFKA_PYTHON_3_CLIENT, AIOKAFKA, KAFKA_PYTHON_2_CLIENT, JAVA_3, JAVA_4)


def test_a_million_records_in_all() -> None:
    """The table above keeps the promise of this module."""
    assert sum(count for _, count in PRODUCERS.values()) * len(CODECS) == 1_000_000


@pytest.mark.timeout(300)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", PRODUCERS)
def test_what_one_client_sends_others_read_byte_equal(
    name: str, codec: str, broker: BrokerProcess, tmp_path: Path
) -> None:
    """In order, with nulls, headers, empty and 1 MB records."""
    producer, count = PRODUCERS[name]
    topic = f"round-trip-{name}-{codec}"
    sent = tmp_path / "sent"
    # Every topic has 1 MB records: a start just before one, so that small runs meet it too.
    start = CODECS.index(codec) * 1000 + 15_000
    write_file(sent, records(count, start=start, every_null=producer.every_null))
    producer.run(
        "produce", sent, bootstrap=broker.bootstrap, topic=topic, codec=codec, count=count, timeout=120
    )
    for reader in _readers(name, codec):
        got = tmp_path / "got"
        reader.run(
            "consume", got, bootstrap=broker.bootstrap, topic=topic, codec=codec, count=count, timeout=120
        )
        difference = first_difference(sent, got)
        assert difference is None, f"{reader.name} read {topic}: {difference}"
    broker_codec_is_kept(broker, topic, codec)


def broker_codec_is_kept(broker: BrokerProcess, topic: str, codec: str) -> None:
    """The producer's codec is in the batches on disk (attributes, bits 0-2): nobody fell back to another."""
    segment = broker.data_dir / f"{topic}-0" / "00000000000000000000.log"
    with segment.open("rb") as source:
        header = source.read(61)
    assert header[22] & 7 == CODECS.index(codec), f"{topic} holds codec {header[22] & 7}"


def _readers(name: str, codec: str) -> list[ClientProgram]:
    turn = (list(PRODUCERS).index(name) + CODECS.index(codec)) % len(OTHER_READERS)
    return [CONFLUENT, OTHER_READERS[turn]]
