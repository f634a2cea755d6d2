"""Random fetch sessions with Apache Kafka and with fastlog: the same partitions, codes, offsets and sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.native import build_batch
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.peers.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]

TOPICS = ("a", "b", "c")
PARTITIONS = (0, 1)
BY_ID = 13
PATIENCE = {"broker.session.timeout.ms": "120000", "auto.create.topics.enable": "false"}
Row = tuple[str, int, int, int, int]
"""(topic, partition, offset, bytes, leader epoch)"""


@dataclass
class Side:
    """One broker, and what a session with it has come to."""

    link: Link
    ids: dict[str, bytes] = field(default_factory=dict)
    session: int = 0

    def prepare(self) -> None:
        """Makes the topics and learns their ids."""
        self.link.call(CreateTopicsRequest([CreatableTopic(name, 2, 1) for name in TOPICS], 30_000), 5)
        for name in TOPICS:
            for partition in PARTITIONS:
                while self.produce(name, partition):
                    pass
            asked = MetadataRequest([MetadataRequestTopic(name=name)])
            self.ids[name] = bytes(self.link.call(asked, 12).topics[0].topic_id)  # type: ignore[attr-defined]

    def produce(self, topic: str, partition: int) -> int:
        """One batch; the error code."""
        data = PartitionProduceData(partition, build_batch([(b"k", b"v", [], 1_700_000_000_000)]))
        answer: Any = self.link.call(ProduceRequest(None, -1, 9000, [TopicProduceData(topic, [data])]), 9)
        code: int = answer.responses[0].partition_responses[0].error_code
        return code

    def named(self, topic: str, version: int) -> dict[str, Any]:
        """A topic as requests of the version name it; one that is not there too."""
        return {"topic_id": self.ids.get(topic, b"\7" * 16)} if version >= BY_ID else {"topic": topic}

    def fetch(self, version: int, epoch: int, rows: list[Row], gone: list[tuple[str, int]]) -> Any:
        """(error code, whether there is a session, the partitions); goes on with the session."""
        request = FetchRequest(
            max_wait_ms=0,
            session_id=self.session,
            session_epoch=epoch,
            topics=[
                FetchTopic(**self.named(topic, version), partitions=[partition])
                for topic, partition in (
                    (topic, FetchPartition(part, known, at, partition_max_bytes=size))
                    for topic, part, at, size, known in rows
                )
            ],
            forgotten_topics_data=[
                ForgottenTopic(**self.named(topic, version), partitions=[part]) for topic, part in gone
            ],
        )
        answer: Any = self.link.call(request, version)
        self.session = answer.session_id
        names = {topic_id: name for name, topic_id in self.ids.items()}
        found = [
            (
                topic.topic or names.get(bytes(topic.topic_id), "another"),
                row.partition_index,
                ErrorCode.of(row.error_code).name,
                (row.high_watermark, row.last_stable_offset, row.log_start_offset),
                len(row.records or b""),
            )
            for topic in answer.responses
            for row in topic.partitions
        ]
        return ErrorCode.of(answer.error_code).name, answer.session_id > 0, sorted(found)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """(Kafka, fastlog), with the same records."""
    directory = tmp_path_factory.mktemp("sessions")
    with (
        ApacheKafka(directory / "kafka", settings=PATIENCE, heap="384m", quick=True) as kafka,
        BrokerProcess(directory / "fastlog", settings={"auto.create.topics.enable": "false"}) as fastlog,
        Link(kafka.port, timeout=60) as to_kafka,
        Link(fastlog.port, timeout=60) as to_fastlog,
    ):
        both = Side(to_kafka), Side(to_fastlog)
        for side in both:
            side.prepare()
        yield both
        kafka.kill()


def steps(chance: random.Random) -> Iterator[tuple[list[Row], list[tuple[str, int]], tuple[str, int] | None]]:
    """(partitions to add or change, to forget, to append to before) of one request after the other."""
    while True:
        names = (*TOPICS, "unknown")
        rows = [
            (
                chance.choice(names),
                chance.choice((0, 1, 2)),
                chance.choice((0, 0, 1, 99, -1)),
                chance.choice((100, 1000)),
                chance.choice((-1, -1, 0, 3)),
            )
            for _ in range(chance.choice((0, 0, 1, 3)))
        ]
        gone = [(chance.choice(names), chance.choice(PARTITIONS)) for _ in range(chance.choice((0, 0, 1)))]
        written = (chance.choice(TOPICS), chance.choice(PARTITIONS)) if chance.random() < 0.4 else None
        # A partition that one request both names and forgets: see docs/protocol.md.
        yield rows, [item for item in gone if item not in [row[:2] for row in rows]], written


@pytest.mark.parametrize("version", [7, 9, 11, 12, 13, 15, 17])
def test_the_same_sessions(sides: tuple[Side, Side], version: int) -> None:
    for seed in range(25):
        chance = random.Random(seed)
        said: list[Any] = []
        for side in sides:
            side.session = 0
        for epoch, (rows, gone, written) in zip(range(12), steps(chance), strict=False):
            if written is not None:
                assert [side.produce(*written) for side in sides] == [0, 0]
            asked = rows if epoch else [("a", 0, 0, 100, -1), *rows]
            # Now and then a request that is out of turn.
            of_request = epoch + 3 if epoch and chance.random() < 0.1 else epoch
            said.append((of_request, asked, gone))
            kafka, fastlog = (side.fetch(version, of_request, asked, gone if epoch else []) for side in sides)
            assert fastlog == kafka, (seed, said)
            if kafka[0] != "NONE" or not kafka[1]:
                break
