"""Followers that fetch from a broker as Kafka's do, over the wire; the controller is the test.

The partition gets its other replicas behind the back of the metadata. Every wait here would be longer than
the timeout of the connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.cluster_view import BrokerInfo
from fastlog.errors import ErrorCode
from fastlog.replication.isr import InSyncSet
from fastlog.replication.partition import Partition
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ReplicaState
from fastlog.wire.messages.offsets import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from fastlog.wire.messages.topics import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from tests.harness.batches import batch
from tests.integration.requests import fetch, list_offset, make_topic, produce
from tests.integration.running import RawClient, RunningBroker

VERSION = 17
LONG_MS = 120_000
MEMBERS = frozenset({1, 2, 3})
ALL = (1, 2, 3)


class Follower:
    """One follower: a fetch session of partition 0 of some topics, by their ids."""

    def __init__(self, client: RawClient, node: int, *topics: bytes, epoch: int = 7) -> None:
        self.client = client
        self.node, self.epoch = node, epoch
        self.session, self.number = 0, 0
        self.topics = topics

    def request(
        self, offset: int = 0, *, known: int = -1, last: int = -1, wait_ms: int = 0, start: int = 0
    ) -> FetchRequest:
        """A request for all of its topics at one offset."""
        row = FetchPartition(
            0,
            fetch_offset=offset,
            partition_max_bytes=1 << 20,
            current_leader_epoch=known,
            last_fetched_epoch=last,
            log_start_offset=start,
        )
        return FetchRequest(
            max_wait_ms=wait_ms,
            min_bytes=1,
            session_id=self.session,
            session_epoch=self.number,
            replica_state=ReplicaState(self.node, self.epoch),
            topics=[FetchTopic(topic_id=topic, partitions=[row]) for topic in self.topics],
        )

    def send(self, request: FetchRequest) -> None:
        self.client.send(request, VERSION)

    def receive(self) -> Any:
        answer: Any = self.client.receive(FetchRequest.API, VERSION)[1]
        if answer.error_code == 0:
            self.session, self.number = answer.session_id, self.number + 1
        return answer

    def ask(self, offset: int = 0, **how: Any) -> Any:
        """One fetch; its only partition."""
        self.send(self.request(offset, **how))
        return only(self.receive())

    def go_on(self, wait_ms: int = 0) -> Any:
        """The next request of the session, which changes nothing."""
        request = self.request(wait_ms=wait_ms)
        request.topics = []
        self.send(request)
        return self.receive()


class Controller:
    """Notes what leaders want."""

    def __init__(self) -> None:
        self.asked: list[tuple[Partition, InSyncSet]] = []

    def propose(self, partition: Partition, wanted: InSyncSet) -> None:
        """As `IsrManager.propose`."""
        self.asked.append((partition, wanted))


class Cluster:
    """The broker, and its partition 0 of the topic `t`."""

    def __init__(self, broker: RunningBroker) -> None:
        self.broker = broker
        self.clients: list[RawClient] = []
        self.client = self.connect()
        self.id = make_topic(self.client, "t")
        self.controller = Controller()
        services = broker.broker.services
        services.in_sync_sets = self.controller  # type: ignore[assignment]
        self.services = services

    def lead(self, in_sync: frozenset[int] = MEMBERS, epoch: int = 1, least: int = 1) -> Partition:
        """Becomes the leader of three replicas whose brokers are alive."""

        async def lead() -> Partition:
            me = self.services.cluster.brokers()[0]
            others = [BrokerInfo(node, f"rack-{node}", me.endpoints) for node in (2, 3)]
            self.services.cluster.set_brokers((BrokerInfo(1, "rack-1", me.endpoints), *others))
            found = self.services.replicas.get("t", 0)
            assert found is not None
            await self.services.logs.lead("t", 0, epoch)
            settings = type(found.settings)(min_insync_replicas=least)
            return self.services.replicas.become_leader(
                "t",
                self.id,
                0,
                found.log,
                leader_epoch=epoch,
                in_sync=in_sync,
                settings=settings,
                replicas=ALL,
            )

        return self.broker.run(lead())

    def call(self, function: Any, *arguments: Any) -> Any:
        """Calls something of the broker's on its loop."""

        async def call() -> Any:
            return function(*arguments)

        return self.broker.run(call())

    def connect(self) -> RawClient:
        """A connection that is closed at the end."""
        self.clients.append(self.broker.connect())
        return self.clients[-1]

    def follower(self, node: int, **how: Any) -> Follower:
        return Follower(self.connect(), node, self.id, **how)

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()


def only(answer: Any) -> Any:
    """The only partition of an answer."""
    assert answer.error_code == 0
    ((row,),) = (topic.partitions for topic in answer.responses)
    return row


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    broker = RunningBroker(tmp_path)
    try:
        broker.start()
        made = Cluster(broker)
        try:
            yield made
        finally:
            made.close()
    finally:
        broker.close()


def test_followers_move_the_high_watermark_and_acknowledge(cluster: Cluster) -> None:
    partition = cluster.lead()
    two, three = cluster.follower(2), cluster.follower(3)
    assert (two.ask().high_watermark, three.ask().high_watermark) == (0, 0)
    producer = cluster.connect()
    producer.send(produce("t", batch(b"a", b"b")), 9)
    # The news of the append wakes both, who get what no consumer may read yet.
    for follower in (two, three):
        answer = only(follower.go_on(LONG_MS))
        assert (answer.high_watermark, bool(answer.records), answer.log_start_offset) == (0, True, 0)
    assert not fetch_now(cluster.client).records
    two.send(two.request(2))
    assert two.receive().responses == []
    assert three.ask(2).high_watermark == 2
    assert producer.receive(produce("t", b"").API, 9)[1].responses[0].partition_responses[0].error_code == 0  # type: ignore[attr-defined]
    assert fetch_now(cluster.client).records
    assert [follower.end_offset for follower in partition.followers.values()] == [2, 2]
    # The other one learns of the watermark with its next answer, which the news alone do not bring.
    assert only(two.go_on()).high_watermark == 2
    assert two.go_on().responses == []


def fetch_now(client: RawClient) -> Any:
    return client.ask(fetch("t", 0), 12).responses[0].partitions[0]


def test_a_follower_that_has_caught_up_is_proposed_until_it_is_in(cluster: Cluster) -> None:
    partition = cluster.lead(frozenset({1}))
    two = cluster.follower(2)
    two.ask()
    # From now on there is nothing to tell it.
    assert two.go_on().responses == []
    ((asked, wanted),) = cluster.controller.asked
    assert (asked, wanted.proposed) == (partition, frozenset({1, 2}))
    cluster.call(partition.on_isr_refused, wanted, ErrorCode.INELIGIBLE_REPLICA)
    # Nothing of the partition has changed, and the request does not name it.
    assert two.go_on().responses == []
    assert len(cluster.controller.asked) == 2
    cluster.call(partition.on_isr_confirmed, cluster.controller.asked[1][1], {1, 2}, 1)
    two.go_on()
    assert (len(cluster.controller.asked), partition.in_sync) == (2, frozenset({1, 2}))


def test_a_follower_that_waits_at_the_end_has_caught_up_until_the_next_append(cluster: Cluster) -> None:
    partition = cluster.lead()
    two, three = cluster.follower(2), cluster.follower(3)
    two.ask(), three.ask()
    long_ago = [cluster.call(lambda f=f: setattr(f, "caught_up_ms", 0)) for f in partition.followers.values()]
    assert long_ago == [None, None]
    asked = cluster.call(cluster.services.replicas.now_ms)
    while (before := cluster.call(cluster.services.replicas.now_ms)) == asked:
        time.sleep(0.001)
    two.go_on()
    cluster.client.ask(produce("t", batch(b"a"), acks=1), 9)
    caught_up = {node: follower.caught_up_ms for node, follower in partition.followers.items()}
    assert caught_up[2] >= before > caught_up[3] > 0


def test_what_is_no_replica_of_this_epoch_is_refused(cluster: Cluster) -> None:
    cluster.lead(epoch=4)
    stranger = cluster.follower(5)
    assert stranger.ask().error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert stranger.ask(known=4).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    two = cluster.follower(2)
    assert two.ask(known=3).error_code == ErrorCode.FENCED_LEADER_EPOCH
    assert two.ask(known=5).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    assert two.ask(known=4).error_code == 0
    assert two.ask(1, known=4).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    found = cluster.services.replicas.get("t", 0)
    assert found is not None
    assert {node: follower.end_offset for node, follower in found.followers.items()} == {2: 0, 3: -1}


def test_a_former_life_of_a_broker_is_refused(cluster: Cluster) -> None:
    cluster.lead()
    assert cluster.follower(2, epoch=9).ask().error_code == 0
    before = cluster.follower(2, epoch=8)
    before.send(before.request())
    assert before.receive().error_code == ErrorCode.STALE_BROKER_EPOCH
    assert cluster.follower(2, epoch=-1).ask().error_code == 0
    assert cluster.follower(3, epoch=8).ask().error_code == 0


def test_one_that_leaves_the_leaders_log_is_told_where_and_does_not_count(cluster: Cluster) -> None:
    partition = cluster.lead(epoch=1)
    cluster.client.ask(produce("t", batch(b"a", b"b"), acks=1), 9)
    cluster.lead(epoch=3)
    cluster.client.ask(produce("t", batch(b"c"), acks=1), 9)
    two = cluster.follower(2)
    # It has more of epoch 1, and of an epoch that this log does not have; also beyond the log's end.
    for offset, last in ((3, 1), (3, 2), (9, 2), (9, 1)):
        row = two.ask(offset, known=3, last=last)
        assert (row.error_code, row.diverging_epoch.epoch, row.diverging_epoch.end_offset) == (0, 1, 2)
        assert not row.records
    assert two.ask(9, known=3, last=3).diverging_epoch.end_offset == 3
    assert two.ask(2, known=3, last=4).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert partition.followers[2].end_offset == -1
    assert two.ask(2, known=3, last=1).records
    assert partition.followers[2].end_offset == 2


def test_a_new_leader_wakes_a_follower_that_waits(cluster: Cluster) -> None:
    cluster.lead()
    two = cluster.follower(2)
    two.ask(known=1)
    request = two.request(known=1, wait_ms=LONG_MS)
    two.send(request)
    cluster.lead(epoch=2)
    assert only(two.receive()).error_code == ErrorCode.FENCED_LEADER_EPOCH


def test_offsets_for_followers_and_while_the_watermark_lags(cluster: Cluster) -> None:
    cluster.client.ask(produce("t", batch(b"a", b"b")), 9)
    cluster.lead()
    cluster.client.ask(produce("t", batch(b"c"), acks=1), 9)

    def latest(version: int, replica: int = -1, timestamp: int = -1) -> tuple[int, int]:
        request = list_offset("t", timestamp)
        request.replica_id = replica
        row = cluster.client.ask(request, version).topics[0].partitions[0]
        return row.error_code, row.offset

    assert (latest(9), latest(9, replica=2)) == ((0, 2), (0, 3))
    cluster.lead(epoch=2)
    assert (latest(9), latest(4), latest(9, 2), latest(9, timestamp=-2)) == (
        (ErrorCode.OFFSET_NOT_AVAILABLE, -1),
        (ErrorCode.LEADER_NOT_AVAILABLE, -1),
        (0, 3),
        (0, 0),
    )
    asked = OffsetForLeaderPartition(0, current_leader_epoch=2, leader_epoch=1)
    topics = [OffsetForLeaderTopic("t", [asked])]
    request = OffsetForLeaderEpochRequest(replica_id=2, topics=topics)
    row = cluster.client.ask(request, 4).topics[0].partitions[0]
    assert (row.error_code, row.leader_epoch, row.end_offset) == (0, 1, 3)


def delete_records(offset: int, timeout_ms: int) -> DeleteRecordsRequest:
    rows = [DeleteRecordsPartition(0, offset)]
    return DeleteRecordsRequest(topics=[DeleteRecordsTopic("t", rows)], timeout_ms=timeout_ms)


def deleted(answer: Any) -> tuple[int, int]:
    (row,) = answer.topics[0].partitions
    return row.error_code, row.low_watermark


def test_a_deletion_of_records_waits_for_the_followers_that_are_alive(cluster: Cluster) -> None:
    cluster.client.ask(produce("t", batch(b"a", b"b", b"c")), 9)
    cluster.lead()
    two, three = cluster.follower(2), cluster.follower(3)
    two.ask(3), three.ask(3)
    # In time nobody else has deleted them.
    assert deleted(cluster.client.ask(delete_records(1, 1), 2)) == (ErrorCode.REQUEST_TIMED_OUT, 0)
    two.send(two.request(3, start=1))
    assert only(two.receive()).log_start_offset == 1
    cluster.client.send(delete_records(2, LONG_MS), 2)
    for follower in (two, three):
        follower.send(follower.request(3, start=1))
        follower.receive()
        follower.send(follower.request(3, start=2))
        follower.receive()
    assert deleted(cluster.client.receive(DeleteRecordsRequest.API, 2)[1]) == (0, 2)
    # One whose broker is dead does not count.
    cluster.call(lambda: cluster.services.cluster.set_brokers(cluster.services.cluster.snapshot.brokers[:2]))
    cluster.client.send(delete_records(3, LONG_MS), 2)
    two.send(two.request(3, start=3))
    two.receive()
    assert deleted(cluster.client.receive(DeleteRecordsRequest.API, 2)[1]) == (0, 3)


def test_a_deletion_of_records_ends_with_the_leadership(cluster: Cluster) -> None:
    cluster.client.ask(produce("t", batch(b"a", b"b", b"c")), 9)
    partition = cluster.lead()
    cluster.follower(2).ask(3)
    cluster.client.send(delete_records(1, LONG_MS), 2)
    while not len(cluster.services.purgatory):
        time.sleep(0.01)
    cluster.call(partition.follow, 2, 9)
    answer = cluster.client.receive(DeleteRecordsRequest.API, 2)[1]
    assert deleted(answer) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1)


def test_a_leader_that_resigns_ends_the_waits_of_producers_and_names_the_next_one(cluster: Cluster) -> None:
    partition = cluster.lead()
    cluster.client.send(produce("t", batch(b"a")), 10)
    cluster.client.socket.settimeout(10)
    while not len(cluster.services.purgatory):
        time.sleep(0.01)
    cluster.call(partition.follow, 3, 2)
    answer: Any = cluster.client.receive(produce("t", b"").API, 10)[1]
    row = answer.responses[0].partition_responses[0]
    assert (row.error_code, row.current_leader.leader_id, row.current_leader.leader_epoch) == (
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        3,
        2,
    )
    assert [endpoint.node_id for endpoint in answer.node_endpoints] == [3]
    old = fetch(cluster.id, 0, current_leader_epoch=1)
    fetched = cluster.client.ask(old, 17)
    row = fetched.responses[0].partitions[0]
    assert (row.error_code, row.current_leader.leader_id) == (ErrorCode.FENCED_LEADER_EPOCH, 3)
    assert [endpoint.node_id for endpoint in fetched.node_endpoints] == [3]


def test_acks_of_all_need_enough_in_sync_before_and_after(cluster: Cluster) -> None:
    partition = cluster.lead(frozenset({1}), least=2)
    refused = cluster.client.ask(produce("t", batch(b"a")), 9).responses[0].partition_responses[0]
    assert refused.error_code == ErrorCode.NOT_ENOUGH_REPLICAS
    # One that may join counts for what is under way, not for what is new.
    partition = cluster.lead(frozenset({1, 2}), epoch=2, least=2)
    two = cluster.follower(2)
    two.ask()
    cluster.client.send(produce("t", batch(b"a")), 9)
    two.go_on(LONG_MS)

    def shrunk_and_replicated() -> None:
        partition.isr = partition.isr.without({2}).confirmed({1}, 1)
        partition.high_watermark = 1
        partition._weigh()
        partition.on_log_cut()

    cluster.call(shrunk_and_replicated)
    answer: Any = cluster.client.receive(produce("t", b"").API, 9)[1]
    row = answer.responses[0].partition_responses[0]
    assert row.error_code == ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND


@pytest.mark.parametrize("version", range(4, 18))
def test_followers_of_every_version_are_served(cluster: Cluster, version: int) -> None:
    partition = cluster.lead()
    cluster.client.ask(produce("t", batch(b"a"), acks=1), 9)
    for offset in (0, 1):
        request = fetch(cluster.id if version >= 13 else "t", offset, session_epoch=-1)
        if version >= 15:
            request.replica_state = ReplicaState(2, 7)
        else:
            request.replica_id = 2
        row = cluster.client.ask(request, version).responses[0].partitions[0]
        assert (row.error_code, row.high_watermark, bool(row.records)) == (0, 0, offset == 0)
        assert partition.followers[2].end_offset == offset
