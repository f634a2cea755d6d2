"""Faults that others have had with replicas, leaders and controllers, as public bug reports tell them.

Each is played to a cluster of three brokers of fastlog, on a tree in a fastlog-keeper.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.partition_admin import ElectLeadersRequest, TopicPartitions
from fastlog.wire.messages.topics import (
    CreatableTopicConfig,
    CreateTopicsRequest,
    DeleteTopicsRequest,
)
from tests.cluster.cluster import Cluster
from tests.cluster.control import give_control
from tests.cluster.tree_state import TreeState
from tests.compat.cluster_answers import Stage
from tests.compat.cluster_of_replicas import alter, fetch, moved, produce
from tests.compat.cluster_of_topics import by_hand, counted
from tests.harness.batches import batch, records
from tests.harness.link import Link
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
_WAIT_MS: Final = 20_000
PREFERRED: Final = 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory, ("fastlog",) * 3, place="keeper") as started:
        yield started
        assert started.tracebacks() == []


@pytest.fixture
def stage(cluster: Cluster) -> Iterator[Stage]:
    """All members run, the first one controls."""
    cluster.heal()
    give_control(cluster, 1)
    with Stage(cluster) as made:
        yield made


def make(stage: Stage, name: str, *rows: list[int], **configs: str) -> None:
    """A topic with these replicas."""
    topic = by_hand(name, *rows)
    topic.configs = [CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()]
    answer = stage.call(1, CreateTopicsRequest([topic], _WAIT_MS), 7)
    assert answer.topics[0].error_code == 0
    stage.settle(lambda state: all(part.whole for part in state.of(name).values()))


def written(stage: Stage, node: int, name: str, data: bytes, acks: int = -1) -> tuple[ErrorCode, int]:
    """(error, first offset) of a batch for partition 0."""
    row = stage.call(node, produce(name, 0, data, acks), 9).responses[0].partition_responses[0]
    return ErrorCode(row.error_code), row.base_offset


def reads(stage: Stage, node: int, name: str) -> list[bytes | None]:
    """What partition 0 has, to who reads there."""
    row = stage.call(node, fetch(stage, 12, name, 0, 0), 12).responses[0].partitions[0]
    assert row.error_code == 0
    return [value for _, value in records(row.records)]


def move(stage: Stage, name: str, replicas: list[int] | None) -> ErrorCode:
    """Moves partition 0, or cancels its move."""
    answer = stage.call(1, alter(moved(name, 0, replicas)), 0)
    return ErrorCode(answer.error_code or answer.responses[0].partitions[0].error_code)


def elect(stage: Stage, name: str) -> ErrorCode:
    """The preferred leader of partition 0."""
    asked = ElectLeadersRequest(PREFERRED, [TopicPartitions(name, [0])], _WAIT_MS)
    answer = stage.call(1, asked, 2)
    return ErrorCode(answer.replica_election_results[0].partition_result[0].error_code)


def until(stage: Stage, name: str, found: Callable[[Any], bool], what: str) -> Any:
    """Partition 0, when it is so."""

    def look(state: TreeState) -> Any:
        part = state.partitions.get((name, 0))
        return part if part is not None and found(part) else None

    return stage.cluster.wait_for(look, what)


def directories(stage: Stage, name: str) -> set[int]:
    """Which brokers have partition 0 on their disks."""
    return {
        number
        for number, path in stage.cluster.data_dirs.items()
        if any(found.name == f"{name}-0" for found in path.iterdir())
    }


def test_a_cancelled_move_leaves_no_replica_behind(stage: Stage) -> None:
    """https://github.com/apache/kafka/pull/13107 (KAFKA-13972): replicas that were to be added stayed,
    since the leader epoch of the order that ended them was not a new one.
    """
    make(stage, "cancelled", [1])
    assert written(stage, 1, "cancelled", batch(b"kept")) == (ErrorCode.NONE, 0)
    stage.cluster.members[3].freeze()
    assert move(stage, "cancelled", [2, 3]) is ErrorCode.NONE
    until(stage, "cancelled", lambda part: 2 in part.isr, "broker 2 does not catch up")
    assert move(stage, "cancelled", None) is ErrorCode.NONE
    stage.cluster.members[3].thaw()
    until(stage, "cancelled", lambda part: part.replicas == part.isr == (1,), "it is not cancelled")
    wait_until(lambda: directories(stage, "cancelled") == {1}, "replicas are left", seconds=30)
    assert move(stage, "cancelled", None) is ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
    assert reads(stage, 1, "cancelled") == [b"kept"]


def test_a_leader_that_another_target_leaves_out_is_replaced(stage: Stage) -> None:
    """https://github.com/apache/kafka/pull/13451 (KAFKA-14808): a broker that was being added led by then,
    and nobody did when the next target had it taken out.
    """
    make(stage, "led", [1, 2])
    stage.stop(2)
    assert move(stage, "led", [3, 1, 2]) is ErrorCode.NONE
    until(stage, "led", lambda part: 3 in part.isr, "broker 3 does not catch up")
    assert elect(stage, "led") is ErrorCode.NONE
    until(stage, "led", lambda part: part.leader == 3, "broker 3 does not lead")
    assert move(stage, "led", [1, 2]) is ErrorCode.NONE
    until(stage, "led", lambda part: part.leader == 1 and part.replicas == (1, 2), "nobody leads")
    assert written(stage, 1, "led", batch(b"x"), 1) == (ErrorCode.NONE, 0)
    stage.start(2)
    until(stage, "led", lambda part: part.whole, "it does not become whole")
    wait_until(lambda: directories(stage, "led") == {1, 2}, "a replica is left", seconds=30)


def test_the_only_copy_is_not_given_up_for_a_cancellation(stage: Stage) -> None:
    """https://github.com/linkedin/kafka/pull/422 (KAFKA-14424): the replicas that a cancelled move would
    go back to were dead, and the partition was left without a leader.
    """
    make(stage, "origin", [3])
    assert written(stage, 3, "origin", batch(b"kept")) == (ErrorCode.NONE, 0)
    stage.cluster.members[2].freeze()
    assert move(stage, "origin", [1, 2]) is ErrorCode.NONE
    until(stage, "origin", lambda part: 1 in part.isr, "broker 1 does not catch up")
    stage.cluster.stop(3)
    until(stage, "origin", lambda part: part.leader == 1, "broker 1 does not lead")
    move(stage, "origin", None)
    assert until(stage, "origin", lambda part: True, "").leader == 1
    stage.cluster.members[2].thaw()
    assert reads(stage, 1, "origin") == [b"kept"]
    assert written(stage, 1, "origin", batch(b"more"), 1) == (ErrorCode.NONE, 1)
    stage.cluster.start(3)
    until(stage, "origin", lambda part: part.whole, "it does not become whole")


def test_a_deletion_waits_for_a_dead_broker_and_for_nothing_else(stage: Stage) -> None:
    """https://github.com/apache/kafka/pull/11285 (KAFKA-10548), https://github.com/apache/kafka/pull/5388
    (KAFKA-6753): a deletion was stuck when a broker was gone, or the controller went meanwhile; brokers
    could not be shut down in order as long as it was.
    """
    make(stage, "doomed", [1, 2, 3])
    stage.topic_id("doomed")
    stage.stop(3)
    answer = stage.call(1, DeleteTopicsRequest(topic_names=["doomed"], timeout_ms=1000), 5)
    assert answer.responses[0].error_code in (ErrorCode.NONE, ErrorCode.REQUEST_TIMED_OUT)
    stage.cluster.move_controller("delete")
    stage.cluster.restart(2)
    assert "doomed" in {name for name, _ in stage.cluster.look().partitions}
    stage.cluster.start(3)
    stage.cluster.wait_for(lambda state: not state.of("doomed"), "it is not deleted")
    wait_until(lambda: directories(stage, "doomed") == set(), "replicas are left", seconds=30)
    give_control(stage.cluster, 1)
    with Stage(stage.cluster) as again:
        make(again, "doomed", [3, 2, 1])
        assert again.topic_id("doomed") != stage.topic_id("doomed")
        assert written(again, 3, "doomed", batch(b"new")) == (ErrorCode.NONE, 0)


def test_a_move_may_be_asked_for_again_and_changed(stage: Stage) -> None:
    """https://github.com/redpanda-data/redpanda/issues/8697: a partition that was being moved could not
    get the same target again, nor another one.
    """
    make(stage, "again", [1])
    stage.cluster.members[3].freeze()
    for target in ([1, 3], [1, 3], [1, 2]):
        assert move(stage, "again", target) is ErrorCode.NONE
    stage.cluster.members[3].thaw()
    until(stage, "again", lambda part: part.whole and part.replicas == (1, 2), "it does not move")
    wait_until(lambda: directories(stage, "again") == {1, 2}, "a replica is left", seconds=30)


def test_another_order_of_replicas_gives_another_preferred_leader(stage: Stage) -> None:
    """https://github.com/redpanda-data/redpanda/issues/9043: with the same brokers in another order
    nothing changed.
    """
    make(stage, "ordered", [1, 2, 3])
    assert move(stage, "ordered", [2, 3, 1]) is ErrorCode.NONE
    part = until(stage, "ordered", lambda part: part.replicas == (2, 3, 1), "it is not ordered")
    assert part.leader == 1
    assert elect(stage, "ordered") is ErrorCode.NONE
    until(stage, "ordered", lambda part: part.leader == 2, "broker 2 does not lead")
    assert elect(stage, "ordered") is ErrorCode.ELECTION_NOT_NEEDED


def test_topics_may_have_two_replicas(stage: Stage) -> None:
    """https://github.com/redpanda-data/redpanda/issues/10379: an even number of replicas was refused."""
    topic = counted("even", 3, 2, min_insync_replicas="2")
    answer = stage.call(1, CreateTopicsRequest([topic], _WAIT_MS), 7)
    assert (answer.topics[0].error_code, answer.topics[0].replication_factor) == (0, 2)
    until(stage, "even", lambda part: part.whole and len(part.replicas) == 2, "it is not whole")
    leader = stage.cluster.leader("even")
    assert written(stage, leader, "even", batch(b"x")) == (ErrorCode.NONE, 0)


def test_one_replica_is_enough_where_there_is_but_one(stage: Stage) -> None:
    """https://github.com/edenhill/kcat/issues/184, https://github.com/faust-streaming/faust/issues/390:
    with min.insync.replicas=2 for all topics those of one replica could not be written with acks=all.
    """
    make(stage, "single", [2])
    assert written(stage, 2, "single", batch(b"x")) == (ErrorCode.NONE, 0)


def test_in_an_epoch_there_is_one_leader_and_epochs_rise(stage: Stage) -> None:
    """https://github.com/redpanda-data/redpanda/pull/31668, https://github.com/twmb/franz-go/issues/119: a
    broker named several leaders in one epoch, or an epoch of before, and clients went in circles.
    """
    make(stage, "flips", [2, 3, 1])
    seen: list[tuple[int, bytes, int, int]] = []
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(stage.cluster, "flips", seen, ended))
    thread.start()
    try:
        stage.cluster.kill(2)
        stage.cluster.wait_led_by_others("flips", 2)
        stage.cluster.move_controller("delete")
        stage.cluster.start(2)
        until(stage, "flips", lambda part: part.whole, "it does not become whole")
        give_control(stage.cluster, 1)
        assert elect(stage, "flips") is ErrorCode.NONE
        stage.cluster.wait_for(lambda state: state.partitions["flips", 0].leader == 2, "2 does not lead")
    finally:
        ended.set()
        thread.join()
    leaders: dict[tuple[bytes, int], set[int]] = {}
    last: dict[tuple[int, bytes], int] = {}
    for node, topic_id, leader, epoch in seen:
        if leader >= 0:
            leaders.setdefault((topic_id, epoch), set()).add(leader)
        # A broker that has been started again is told of the present epoch before it says anything.
        assert epoch >= last.get((node, topic_id), -1)
        last[node, topic_id] = epoch
    assert len(leaders) > 2
    assert {len(found) for found in leaders.values()} == {1}


def _watch(
    cluster: Cluster, topic: str, seen: list[tuple[int, bytes, int, int]], ended: threading.Event
) -> None:
    """What each broker says of a topic's first partition: (broker, topic id, leader, its epoch)."""
    while not ended.is_set():
        for node, member in cluster.members.items():
            try:
                with Link(member.port, timeout=5) as link:
                    asked = MetadataRequest([MetadataRequestTopic(name=topic)], False)
                    answer: Any = link.call(asked, 12)
            except (OSError, struct.error):
                continue
            for found in answer.topics:
                topic_id = bytes(found.topic_id)
                seen += [(node, topic_id, part.leader_id, part.leader_epoch) for part in found.partitions]
        ended.wait(0.005)


def test_all_that_was_under_way_when_all_brokers_stopped_is_known(stage: Stage) -> None:
    """https://github.com/confluentinc/librdkafka/issues/3584,
    https://github.com/aio-libs/aiokafka/issues/1017: an idempotent producer sent again what had no
    answer when the cluster went down, and was told of a gap in its sequence, after which it could not
    write any more.
    """
    make(stage, "stopped", [1, 2, 3])
    identity = stage.call(1, InitProducerIdRequest(None, 1000), 0)
    sent = [
        batch(b"a", b"b", producer=(identity.producer_id, identity.producer_epoch, sequence))
        for sequence in range(0, 10, 2)
    ]
    first = [written(stage, 1, "stopped", data) for data in sent]
    assert first == [(ErrorCode.NONE, offset) for offset in range(0, 10, 2)]
    stage.cluster.stop(1, 2, 3)
    stage.cluster.start(1, 2, 3)
    until(stage, "stopped", lambda part: part.whole, "it does not become whole")
    leader = stage.cluster.leader("stopped")
    with Stage(stage.cluster) as again:
        assert [written(again, leader, "stopped", data) for data in sent] == first
        assert len(reads(again, leader, "stopped")) == 10
