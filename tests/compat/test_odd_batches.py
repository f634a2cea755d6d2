"""The same odd batches to Apache Kafka and to us: what is refused, with which code, and what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.odd_fates import DIFFERENT, Fate, fates, right_codes
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]

TOPIC = "odd"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Fate], dict[str, Fate]]]:
    """(in Kafka, in ours)."""
    directory = tmp_path_factory.mktemp("odd")
    with (
        ApacheKafka(directory / "kafka", heap="384m", quick=True) as kafka,
        BrokerProcess(directory / "fastlog") as fastlog,
    ):
        for port in (kafka.port, fastlog.port):
            make_topic(port)
        yield fates(kafka.port, TOPIC), fates(fastlog.port, TOPIC)
        assert "Traceback" not in fastlog.log_text, fastlog.log_text[-4000:]
        kafka.kill()


def make_topic(port: int) -> None:
    """Makes the topic and waits until it has a leader."""
    topics = CreateTopicsRequest(topics=[CreatableTopic(TOPIC, 1, 1)], timeout_ms=30_000)
    with Link(port, timeout=60) as link:
        assert link.call(topics, 5).topics[0].error_code == 0  # type: ignore[attr-defined]
        row = ListOffsetsPartition(partition_index=0, timestamp=-1)
        latest = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=TOPIC, partitions=[row])])

        def leads() -> bool:
            answer: Any = link.call(latest, 5)
            return bool(answer.topics[0].partitions[0].error_code == 0)

        wait_until(leads, "the topic has a leader", seconds=60)


def test_codes(seen: tuple[dict[str, Fate], dict[str, Fate]]) -> None:
    kafka, ours = seen
    codes = {name: DIFFERENT[name][0] if name in DIFFERENT else code for name, code in right_codes().items()}
    # What Kafka cannot decompress is a defect of the server to it; here it is a fault of the batch.
    theirs = {
        name: codes[name] if fate.code == -1 and codes[name] == 87 else fate.code
        for name, fate in kafka.items()
    }
    assert theirs == codes
    assert {name: fate.code for name, fate in ours.items()} == right_codes()


def test_what_is_stored(seen: tuple[dict[str, Fate], dict[str, Fate]]) -> None:
    kafka, ours = seen
    both = [name for name, fate in kafka.items() if fate.stored and ours[name].stored]
    assert len(both) > 100
    different = {name: (kafka[name], ours[name]) for name in both if kafka[name] != ours[name]}
    # Kafka keeps the header's time, which none of the records has, and then finds nothing by it.
    assert sorted(different) == [
        "bit 3 and a later max timestamp",
        "bit 3 and a later max timestamp, compressed",
    ]
