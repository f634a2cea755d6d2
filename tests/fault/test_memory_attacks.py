"""Whatever clients make the broker keep: under a limit of its address space it goes on serving.

Each attack takes one holder of memory (`config/memory_shares.py`) far beyond its share.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.wire import Request, encode_request
from fastlog.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from fastlog.wire.messages.groups import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.batches import batch
from tests.harness.link import Link
from tests.harness.memory_limit import ROOM_MB, under_attack

MIB = 1 << 20
MAX_SIZE_REACHED = 81
UNKNOWN_SERVER_ERROR = -1
pytestmark = pytest.mark.timeout(180)


@contextlib.contextmanager
def sockets(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections."""
    with contextlib.ExitStack() as stack:
        links = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
        for link in links:
            stack.enter_context(link)
        yield links


def push(link: socket.socket, data: bytes, seconds: float = 2.0) -> None:
    """Sends as much as the broker takes within some seconds."""
    link.settimeout(seconds)
    with contextlib.suppress(OSError):
        link.sendall(data)


def test_large_frames_that_never_end(tmp_path: Path) -> None:
    with under_attack(tmp_path) as broker, sockets(broker.port, 3) as links:
        for link in links:
            push(link, struct.pack(">ihhi", 100 * MIB, 0, 9, 1) + bytes(90 * MIB), 0.3)
        time.sleep(1)


def test_small_frames_that_never_end(tmp_path: Path) -> None:
    begun = [struct.pack(">ihhi", 65_000, 0, 9, 1) + bytes(60_000), struct.pack(">ihhi", 4000, 0, 9, 1)]
    with under_attack(tmp_path) as broker, sockets(broker.port, 3000) as links:
        for number, link in enumerate(links):
            link.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                link.send(begun[number % 2])
        time.sleep(2)


def test_connections_that_are_idle(tmp_path: Path) -> None:
    with under_attack(tmp_path) as broker, sockets(broker.port, 4000) as links:
        for link in links:
            link.send(struct.pack(">ihhi", 8, 18, 0, 1))


def test_metadata_of_members(tmp_path: Path) -> None:
    """Requests whose connections are gone; what is too large is refused, and so is what is too much."""
    codes = []
    with under_attack(tmp_path) as broker:
        for number, size in enumerate([90 * MIB, 12 * MIB, *40 * [5 * MIB]]):
            with Link(broker.port, timeout=60) as link:
                link.send(join(f"g{number}", bytes(size)), 3)
                if size > 6 * MIB or number > 35:
                    answer = link.receive(join("", b""), 3)
                    assert isinstance(answer, JoinGroupResponse)
                    codes.append(answer.error_code)
                else:
                    time.sleep(0.02)
    assert set(codes) == {MAX_SIZE_REACHED}


def join(group: str, metadata: bytes) -> JoinGroupRequest:
    """A member that waits long."""
    return JoinGroupRequest(
        group_id=group,
        session_timeout_ms=1_800_000,
        rebalance_timeout_ms=1_800_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", metadata)],
    )


def test_subscriptions_of_members(tmp_path: Path) -> None:
    names = [f"{number:06}" + "x" * 8000 for number in range(450)]
    # A subscription is one record.
    large = {"message.max.bytes": str(8 * MIB)}
    with under_attack(tmp_path, large) as broker, Link(broker.port, timeout=60) as link:
        codes = [beat(link, f"g{number}", topics=names) for number in range(40)]
    assert codes[0] == 0
    assert codes[-1] == MAX_SIZE_REACHED


def test_subscriptions_that_are_too_large_to_be_stored(tmp_path: Path) -> None:
    names = [f"{number:06}" + "x" * 8000 for number in range(450)]
    with under_attack(tmp_path) as broker, Link(broker.port, timeout=60) as link:
        codes = {beat(link, f"g{number}", topics=names) for number in range(40)}
    assert codes == {UNKNOWN_SERVER_ERROR}


def beat(link: Link, group: str, *, topics: list[str] | None = None, regex: str | None = None) -> int:
    """A member of a group of its own joins."""
    request = ConsumerGroupHeartbeatRequest(
        group_id=group,
        member_id=f"m-{group}",
        member_epoch=0,
        rebalance_timeout_ms=60_000,
        subscribed_topic_names=topics,
        subscribed_topic_regex=regex,
        topic_partitions=[],
    )
    answer = link.call(request, 1)
    assert isinstance(answer, ConsumerGroupHeartbeatResponse)
    return answer.error_code


def test_patterns(tmp_path: Path) -> None:
    """Large ones, and such as take long to match: topics are created all the same."""
    names = ["".join("ab"[(number >> bit) & 1] for bit in range(200)) for number in range(1000, 1020)]
    with under_attack(tmp_path) as broker, Link(broker.port, timeout=60) as link:
        link.call(CreateTopicsRequest(topics=[CreatableTopic(name, 1, 1) for name in names]), 2)
        for number in range(40):
            assert beat(link, f"large{number}", regex=f"x{number}(?:{'a' * 490}){{10}}") == 0
        for number in range(8):
            assert beat(link, f"slow{number}", regex=f"(?:.*){{1000}}.*a.{{{100 + number}}}") == 0
        link.call(CreateTopicsRequest(topics=[CreatableTopic("another", 1, 1)]), 2)


def test_offsets_with_metadata(tmp_path: Path) -> None:
    codes: set[int] = set()
    with under_attack(tmp_path) as broker, Link(broker.port, timeout=60) as link:
        link.call(CreateTopicsRequest(topics=[CreatableTopic("t", 200, 1)]), 2)
        for number in range(200):
            request = OffsetCommitRequest(
                group_id=f"g{number}",
                generation_id_or_member_epoch=-1,
                topics=[
                    OffsetCommitRequestTopic(
                        name="t",
                        partitions=[
                            OffsetCommitRequestPartition(
                                partition_index=index, committed_offset=1, committed_metadata="x" * 4000
                            )
                            for index in range(200)
                        ],
                    )
                ],
            )
            answer = link.call(request, 7)
            assert isinstance(answer, OffsetCommitResponse)
            codes.update(row.error_code for topic in answer.topics for row in topic.partitions)
    assert codes == {0, 28}, "some are taken, those beyond the share are INVALID_COMMIT_OFFSET_SIZE"


def test_producers_that_many_ask_for(tmp_path: Path) -> None:
    """A request of forty bytes, and an answer of megabytes."""
    asked = encode_request(DescribeProducersRequest(topics=[TopicRequest("t", [0, 1])]), 0, 1, "x")
    with under_attack(tmp_path) as broker:
        with Link(broker.port, timeout=60) as link:
            link.call(CreateTopicsRequest(topics=[CreatableTopic("t", 2, 1)]), 2)
            for first in range(0, 50_000, 500):
                for producer_id in range(first, first + 500):
                    link.send(produce(producer_id), 7)
                for _ in range(500):
                    link.receive_frame()
        with sockets(broker.port, 60) as links:
            for other in links:
                other.sendall(asked)
            time.sleep(8)


def produce(producer_id: int) -> ProduceRequest:
    """The first batch of a producer, in each of two partitions."""
    records = batch(b"v", producer=(producer_id, 0, 0))
    rows = [PartitionProduceData(index=index, records=records) for index in range(2)]
    return ProduceRequest(acks=1, timeout_ms=30_000, topic_data=[TopicProduceData("t", rows)])


@pytest.mark.parametrize("epoch", [0, -1], ids=["sessions", "full"])
def test_fetches_of_many_partitions(tmp_path: Path, epoch: int) -> None:
    request = FetchRequest(
        max_wait_ms=60_000,
        min_bytes=1000,
        max_bytes=MIB,
        session_epoch=epoch,
        topics=[
            FetchTopic(
                topic="t",
                partitions=[
                    FetchPartition(partition=number % 10, partition_max_bytes=MIB) for number in range(20_000)
                ],
            ),
            FetchTopic(
                topic="unknown" if epoch == 0 else "t",
                partitions=[
                    FetchPartition(partition=number, partition_max_bytes=MIB) for number in range(10)
                ],
            ),
        ],
    )
    with under_attack(tmp_path) as broker:
        with Link(broker.port, timeout=60) as link:
            link.call(CreateTopicsRequest(topics=[CreatableTopic("t", 10, 1)]), 2)
        encoded = encode_request(request, 11, 1, "x")
        with sockets(broker.port, 20) as links:
            for link_of_many in links:
                push(link_of_many, encoded)
            time.sleep(3)


def test_sessions_of_many_partitions(tmp_path: Path) -> None:
    partitions = [FetchPartition(partition=number, partition_max_bytes=MIB) for number in range(5_000)]
    request = FetchRequest(
        max_wait_ms=0, max_bytes=MIB, session_epoch=0, topics=[FetchTopic(topic="no", partitions=partitions)]
    )
    with under_attack(tmp_path) as broker:
        for _ in range(20):
            with Link(broker.port, timeout=60) as link:
                link.call(request, 11)


def test_answers_that_nobody_takes(tmp_path: Path) -> None:
    with under_attack(tmp_path) as broker:
        with Link(broker.port, timeout=60) as link:
            link.call(CreateTopicsRequest(topics=[CreatableTopic("t" * 200, 1000, 1)], timeout_ms=60_000), 2)
        asked = encode_request(MetadataRequest(topics=None), 4, 1, "x")
        with sockets(broker.port, 200) as links:
            for link_of_many in links:
                push(link_of_many, 60 * asked, 0.1)
            time.sleep(2)


def test_requests_of_many_elements_at_the_same_time(tmp_path: Path) -> None:
    names = [MetadataRequestTopic(name=f"{number:x}") for number in range(90_000)]
    request: Request = MetadataRequest(topics=names, allow_auto_topic_creation=False)
    with under_attack(tmp_path) as broker, sockets(broker.port, 16) as links:
        encoded = encode_request(request, 4, 1, "x")
        for link in links:
            push(link, encoded)
        time.sleep(5)


def test_a_lack_of_memory_costs_those_who_ask_for_it(tmp_path: Path) -> None:
    """The ceiling is far above what the process may have: frames end with their connections."""
    settings = {"fastlog.memory.max.bytes": str(64 << 30), "fastlog.max.inflight.bytes": str(16 << 30)}
    # Address space that was not in use at rest can be used.
    with under_attack(tmp_path, settings, most_mb=2 * ROOM_MB) as broker, sockets(broker.port, 6) as links:
        for link in links:
            push(link, struct.pack(">ihhi", 100 * MIB, 0, 9, 1) + bytes(70 * MIB), 0.5)
        for number in range(5):
            with Link(broker.port, timeout=60) as link_of_member, contextlib.suppress(ConnectionError):
                link_of_member.send(join(f"g{number}", bytes(15 * MIB)), 3)
        time.sleep(2)
