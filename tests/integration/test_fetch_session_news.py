"""What happens to partitions between two polls of a fetch session, and while one waits, over the wire.

Every wait here would be longer than the connection's timeout.
"""

from __future__ import annotations

from typing import Any

from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.topics import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    DeleteTopicsRequest,
)
from tests.harness.batches import batch
from tests.integration.requests import make_topic, produce
from tests.integration.running import RawClient, RunningBroker

VERSION = 12
LONG_MS = 120_000


class Session:
    """A fetch session of partition 0 of some topics."""

    def __init__(self, client: RawClient, **offsets: int) -> None:
        self.client = client
        self.id, self.epoch = 0, 0
        self.ask(**offsets)
        self.id = self.receive().session_id
        assert self.id

    def ask(self, wait_ms: int = 0, min_bytes: int = 1, **offsets: int) -> None:
        """Sends the next request, with other offsets for some topics."""
        topics = [
            FetchTopic(
                topic, partitions=[FetchPartition(0, fetch_offset=offset, partition_max_bytes=1 << 20)]
            )
            for topic, offset in offsets.items()
        ]
        request = FetchRequest(
            max_wait_ms=wait_ms,
            min_bytes=min_bytes,
            session_id=self.id,
            session_epoch=self.epoch,
            topics=topics,
        )
        self.client.send(request, VERSION)
        self.epoch += 1

    def receive(self) -> Any:
        """The next answer."""
        _, answer = self.client.receive(ApiKey.FETCH, VERSION)
        assert answer.error_code == 0  # type: ignore[attr-defined]
        return answer

    def news(self) -> dict[str, Any]:
        """The partitions of the next answer, by topic."""
        return {topic.topic: topic.partitions[0] for topic in self.receive().responses}

    def poll(self, **offsets: int) -> dict[str, Any]:
        """What is new, without a wait."""
        self.ask(**offsets)
        return self.news()


def delete_records(client: RawClient, topic: str, offset: int) -> None:
    request = DeleteRecordsRequest(
        topics=[DeleteRecordsTopic(topic, [DeleteRecordsPartition(0, offset)])], timeout_ms=5000
    )
    (row,) = client.ask(request, 2).topics[0].partitions
    assert (row.error_code, row.low_watermark) == (0, offset)


def test_a_log_start_that_moves_is_news(broker: RunningBroker) -> None:
    with broker.connect() as client, broker.connect() as admin:
        for name in ("cut", "calm"):
            make_topic(admin, name)
            for _ in range(3):
                admin.ask(produce(name, batch(b"x")), 9)
        session = Session(client, cut=3, calm=3)
        assert (session.poll(), session.poll()) == ({}, {})
        delete_records(admin, "cut", 2)
        told = session.poll()
        assert {name: row.log_start_offset for name, row in told.items()} == {"cut": 2}
        assert session.poll() == {}


def test_records_that_are_deleted_under_a_wait_end_it(broker: RunningBroker) -> None:
    with broker.connect() as client, broker.connect() as admin:
        make_topic(admin, "cut")
        for _ in range(3):
            admin.ask(produce("cut", batch(b"x")), 9)
        session = Session(client, cut=1)
        session.ask(LONG_MS, min_bytes=1 << 20)
        delete_records(admin, "cut", 2)
        assert session.news()["cut"].error_code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_a_topic_that_goes_and_comes_again_is_read_by_its_name(broker: RunningBroker) -> None:
    with broker.connect() as client, broker.connect() as admin:
        for name in ("comes", "stays"):
            make_topic(admin, name)
        session = Session(client, comes=0, stays=0)
        assert (session.poll(), session.poll()) == ({}, {})
        session.ask(LONG_MS)
        admin.ask(DeleteTopicsRequest(topic_names=["comes"], timeout_ms=5000), 5)
        assert session.news()["comes"].error_code in (
            ErrorCode.NOT_LEADER_OR_FOLLOWER,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        )
        make_topic(admin, "comes")
        admin.ask(produce("comes", batch(b"y")), 9)
        found = session.poll()
        assert found["comes"].records
        assert set(found) == {"comes"}


def test_one_record_among_many_partitions_wakes_the_fetch(broker: RunningBroker) -> None:
    with broker.connect() as client, broker.connect() as admin:
        names = [f"t{number}" for number in range(20)]
        for name in names:
            make_topic(admin, name)
        session = Session(client, **dict.fromkeys(names, 0))
        session.poll()
        session.ask(LONG_MS)
        admin.ask(produce("t13", batch(b"x")), 9)
        assert set(session.news()) == {"t13"}
        session.ask(LONG_MS, t13=1)
        admin.ask(produce("t7", batch(b"x")), 9)
        assert set(session.news()) == {"t7"}
