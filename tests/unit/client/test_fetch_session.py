"""What a fetch asks for: only what has changed, in the leader's epoch, from the nearest replica."""

from __future__ import annotations

import pytest

from fastlog.client import ClientError, Cluster, TopicPartition
from fastlog.client.consumer import BEGINNING, Position, Reader, ReaderConfig
from fastlog.client.consumer.fetch_session import FetchSession, Wanted
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Request
from fastlog.wire.messages.fetch import FetchRequest, FetchResponse
from fastlog.wire.messages.metadata import MetadataRequest
from fastlog.wire.messages.offsets import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)
from tests.unit.client.fake_log import TOPIC_ID, FakeLogBroker
from tests.unit.client.test_consumer import fill, offsets
from tests.unit.net.fake_broker import Answer

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


def asked(request: FetchRequest) -> tuple[int, int, list[tuple[int, int]], list[int]]:
    """(session id, epoch, (partition, offset) that are named, partitions that are forgotten)."""
    named = [(row.partition, row.fetch_offset) for topic in request.topics for row in topic.partitions]
    gone = [index for topic in request.forgotten_topics_data for index in topic.partitions]
    return request.session_id, request.session_epoch, named, gone


def of(offset: int, topic_id: bytes = TOPIC_ID) -> Wanted:
    return Wanted(topic_id, offset, 3, 100)


def test_only_what_has_changed_is_named() -> None:
    session = FetchSession()

    def ask(wanted: dict[TopicPartition, Wanted]) -> tuple[int, int, list[tuple[int, int]], list[int]]:
        request = FetchRequest()
        session.fill(request, wanted)
        return asked(request)

    assert ask({ZERO: of(0), ONE: of(0)}) == (0, 0, [(0, 0), (1, 0)], [])
    assert session.is_full
    session.answered(7)
    assert not session.is_full
    assert ask({ZERO: of(5), ONE: of(0)}) == (7, 1, [(0, 5)], [])
    session.answered(7)
    assert ask({ONE: of(0)}) == (7, 2, [], [0])
    session.answered(7)
    assert ask({ZERO: of(5), ONE: of(0)}) == (7, 3, [(0, 5)], [])
    session.answered(7)
    # A topic that was made again under its name.
    other = b"x" * 16
    assert ask({ZERO: of(0, other), ONE: of(0, other)}) == (7, 4, [(0, 0), (1, 0)], [0, 1])
    session.reset()
    assert ask({ZERO: of(5)}) == (0, 0, [(0, 5)], [])
    session.answered(0)  # a broker that keeps none
    assert ask({ZERO: of(5)}) == (0, 0, [(0, 5)], [])


class SessionBroker(FakeLogBroker):
    """Keeps one session, and loses it once, at its third request."""

    def __init__(self) -> None:
        super().__init__(2, before=self._before)
        self.epochs: list[int] = []
        self._has: dict[int, int] = {}
        self._lost = False

    def _before(self, request: Request) -> Answer:
        if not isinstance(request, FetchRequest):
            return None
        self.epochs.append(request.session_epoch)
        if request.session_epoch == 2 and not self._lost:
            self._lost = True
            return FetchResponse(error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if request.session_epoch == 0:
            self._has.clear()
        for topic in request.topics:
            self._has.update({row.partition: row.fetch_offset for row in topic.partitions})
        for gone in request.forgotten_topics_data:
            for index in gone.partitions:
                del self._has[index]
        whole = FetchRequest()
        names = {TopicPartition("t", index): of(offset) for index, offset in self._has.items()}
        FetchSession().fill(whole, names)
        answer = self.fetch(whole)
        answer.session_id = 9
        return answer


async def test_a_session_that_the_broker_has_lost_begins_anew() -> None:
    async with SessionBroker() as broker, Cluster(broker.address) as cluster:
        fill(broker, 4, per_batch=1)
        fill(broker, 4, per_batch=1, partition=1)
        async with Reader(cluster) as reader:
            await reader.assign({ZERO: BEGINNING, ONE: BEGINNING})
            records = []
            for count in (8, 10, 12):
                while len(records) < count:
                    records += await reader.poll(5000, max_records=2)
                fill(broker, 2, per_batch=1)
        assert offsets(records) == list(range(8))
        assert offsets(records, 1) == list(range(4))
    assert broker.epochs.count(0) == 2, broker.epochs
    assert broker.epochs[:4] == [0, 1, 2, 0]


@pytest.mark.parametrize("reset", ["none", "earliest"])
async def test_what_a_new_leader_has_lost_is_out_of_range(reset: str) -> None:
    epoch = [0]

    def before(request: Request) -> Answer:
        if isinstance(request, MetadataRequest) and request.topics:
            found = broker.describe()
            for row in found.topics[0].partitions:
                row.leader_epoch = epoch[0]
            return found
        if isinstance(request, OffsetForLeaderEpochRequest):
            row = request.topics[0].partitions[0]
            assert (row.leader_epoch, row.current_leader_epoch) == (0, 5)
            ends = [EpochEndOffset(0, row.partition, 0, 4)]
            return OffsetForLeaderEpochResponse(topics=[OffsetForLeaderTopicResult("t", ends)])
        if isinstance(request, FetchRequest):
            (row_of_fetch,) = request.topics[0].partitions
            if row_of_fetch.current_leader_epoch != epoch[0]:
                answer = broker.fetch(request)
                answer.responses[0].partitions[0].error_code = ErrorCode.FENCED_LEADER_EPOCH
                answer.responses[0].partitions[0].records = b""
                return answer
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        fill(broker, 10, per_batch=1)
        # Batches say in which epoch they were written.
        log = broker.logs[0]
        log.batches = [(base, data[:12] + b"\0\0\0\0" + data[16:]) for base, data in log.batches]
        async with Reader(cluster, ReaderConfig(auto_offset_reset=reset)) as reader:  # type: ignore[arg-type]
            await reader.assign({ZERO: Position("offset", 0)})
            assert offsets(await reader.poll(5000)) == list(range(10))
            epoch[0] = 5
            if reset == "none":
                with pytest.raises(ClientError, match="offset 10 is not in the log"):
                    await reader.poll(20_000)
            else:
                assert offsets(await reader.poll(20_000))[0] == 0


async def test_a_consumer_goes_to_the_replica_that_its_leader_names() -> None:
    async with FakeLogBroker() as near:
        near.node_id = 2

        def before(request: Request) -> Answer:
            if isinstance(request, MetadataRequest):
                found = leader.describe()
                found.brokers += near.metadata().brokers
                return found
            if isinstance(request, FetchRequest):
                assert request.rack_id == "here"
                answer = leader.fetch(request)
                answer.responses[0].partitions[0].preferred_read_replica = 2
                answer.responses[0].partitions[0].records = b""
                return answer
            return None

        async with FakeLogBroker(before=before) as leader, Cluster(leader.address) as cluster:
            fill(leader, 3)
            fill(near, 3)
            async with Reader(cluster, ReaderConfig(client_rack="here")) as reader:
                await reader.assign({ZERO: BEGINNING})
                assert offsets(await reader.poll(10_000)) == [0, 1, 2]
        assert len(leader.asked(ApiKey.FETCH)) == 1
        assert near.asked(ApiKey.FETCH)
