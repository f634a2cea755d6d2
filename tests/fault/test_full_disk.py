"""A full disk: writes are refused, reads go on, nothing acknowledged is lost, and it passes by itself."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.native import build_batch, read_batches
from fastlog.wire.messages.metadata import MetadataRequest
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest, DeleteTopicsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.mounts import free_bytes, small_disk
from tests.integration.requests import fetch, metadata

DISK_MB = 32
BATCH = 200_000
SETTINGS = {
    "log.segment.bytes": str(1024 * 1024),
    "log.segment.delete.delay.ms": "0",
    "fastlog.io.threads": "2",
    "num.partitions": "1",
}
FULL = ErrorCode.KAFKA_STORAGE_ERROR


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    made = BrokerProcess(tmp_path, settings=SETTINGS)
    with small_disk(made.data_dir, DISK_MB), made:
        yield made


class Writer:
    """Sends batches that do not compress and remembers the acknowledged ones by offset."""

    def __init__(self, link: Link, topic: str) -> None:
        self.link = link
        self.topic = topic
        self.acknowledged: dict[int, bytes] = {}
        self._random = random.Random(topic)
        (state,) = link.call(metadata(topic), 9).topics  # type: ignore[attr-defined]
        assert state.error_code == 0

    def send(self, size: int = BATCH) -> int:
        """One batch; the error code of the answer."""
        value = self._random.randbytes(size)
        records = build_batch([(None, value, [], int(time.time() * 1000))])
        data = TopicProduceData(
            name=self.topic, partition_data=[PartitionProduceData(index=0, records=records)]
        )
        answer: Any = self.link.call(ProduceRequest(acks=-1, timeout_ms=10_000, topic_data=[data]), 8)
        (row,) = answer.responses[0].partition_responses
        if row.error_code == 0:
            self.acknowledged[row.base_offset] = value
        return int(row.error_code)

    def fill(self) -> None:
        """Sends until the disk is full, down to small batches."""
        for size in (BATCH, 20_000, 2_000, 200):
            for _ in range(2000):
                code = self.send(size)
                if code != 0:
                    break
            assert code == FULL

    def check(self) -> None:
        """Every acknowledged batch can be read, byte by byte."""
        found: dict[int, bytes | None] = {}
        offset = min(self.acknowledged, default=0)
        while offset <= max(self.acknowledged, default=-1):
            answer: Any = self.link.call(fetch(self.topic, offset), 11)
            (row,) = answer.responses[0].partitions
            assert row.error_code == 0
            records = read_batches(row.records)
            assert records
            found |= {at: value for at, _, _, value, _ in records}
            offset = max(found) + 1
        assert {at: found[at] for at in self.acknowledged} == self.acknowledged


def delete(link: Link, topic: str) -> int:
    answer: Any = link.call(DeleteTopicsRequest(topic_names=[topic], timeout_ms=10_000), 5)
    return int(answer.responses[0].error_code)


def create(link: Link, *names: str) -> dict[str, tuple[int, str | None]]:
    """Error code and message by topic."""
    topics = [CreatableTopic(name=name, num_partitions=1, replication_factor=1) for name in names]
    answer: Any = link.call(CreateTopicsRequest(topics=topics, timeout_ms=10_000), 5)
    return {topic.name: (topic.error_code, topic.error_message) for topic in answer.topics}


def topics_of(link: Link) -> set[str]:
    answer: Any = link.call(MetadataRequest(topics=None), 9)
    return {topic.name for topic in answer.topics}


def fill_up(ballast: Path) -> None:
    """Appends to a file until nothing fits on the disk any more."""
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def test_writes_resume_without_a_restart_when_there_is_room_again(broker: BrokerProcess) -> None:
    ballast = broker.data_dir / "ballast"
    ballast.write_bytes(b"\0" * 8_000_000)
    with Link(broker.port) as link:
        writer = Writer(link, "kept")
        writer.fill()
        assert free_bytes(broker.data_dir) < BATCH
        writer.check()
        assert writer.send() == FULL
        ballast.unlink()
        assert writer.send() == 0
        for _ in range(20):
            assert writer.send() == 0
        writer.fill()
        writer.check()
    # Neither SIGBUS nor an exit: a broker on a full disk also stops as it should, and starts again.
    assert broker.process.poll() is None
    assert broker.stop() == 0
    assert (broker.data_dir / ".kafka_cleanshutdown").exists()
    broker.start()
    with Link(broker.port) as link:
        writer.link = link
        writer.check()
        writer.fill()
        writer.check()
    assert "is offline" not in broker.log_text
    told = f"{broker.data_dir} is full: records for it are refused until there is room"
    assert 1 <= broker.log_text.count(told) <= 3


def test_deleting_a_topic_is_possible_on_a_full_disk_and_makes_room(broker: BrokerProcess) -> None:
    with Link(broker.port) as link:
        kept, doomed = Writer(link, "kept"), Writer(link, "doomed")
        for _ in range(40):
            assert kept.send() == doomed.send() == 0
        doomed.fill()
        kept_before = dict(kept.acknowledged)
        assert delete(link, "doomed") == 0
        deadline = time.monotonic() + 40
        while kept.send() != 0:
            assert time.monotonic() < deadline, "the deleted topic did not make room"
            time.sleep(0.2)
        assert kept_before.items() <= kept.acknowledged.items()
        kept.check()


def test_creations_that_fail_take_no_room_from_deletions_and_leave_nothing(broker: BrokerProcess) -> None:
    """Clients ask again and again for topics that cannot be made."""
    ballast = broker.data_dir / "ballast"
    with Link(broker.port) as link:
        assert {code for code, _ in create(link, "kept", "doomed").values()} == {0}
        for turn in range(100):
            fill_up(ballast)
            outcomes = create(link, *[f"t{turn}-{number}" for number in range(200)])
            assert {code for code, _ in outcomes.values()} == {FULL}
            if any("the metadata is on is full" in str(why) for _, why in outcomes.values()):
                break
        else:
            raise AssertionError("the metadata takes all of the disk")
        assert delete(link, "doomed") == 0
        for _ in range(2):
            broker.kill()
            fill_up(ballast)
            broker.start()
            with Link(broker.port) as again:
                assert topics_of(again) == {"kept"}
        broker.stop()
        fill_up(ballast)
        broker.start()
        with Link(broker.port) as again:
            ballast.unlink()
            assert create(again, "new")["new"][0] == 0


def test_a_crash_on_a_full_disk_loses_nothing(broker: BrokerProcess) -> None:
    ballast = broker.data_dir / "ballast"
    ballast.write_bytes(b"\0" * 4_000_000)
    with Link(broker.port) as link:
        writer = Writer(link, "kept")
        writer.fill()
    broker.kill()
    broker.start()
    with Link(broker.port) as link:
        writer.link = link
        writer.check()
        ballast.unlink()
        deadline = time.monotonic() + 40
        while writer.send() != 0:
            assert time.monotonic() < deadline, broker.log_text[-3000:]
            time.sleep(0.2)
        writer.check()
