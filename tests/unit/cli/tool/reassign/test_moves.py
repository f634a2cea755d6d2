"""How moves are measured, limited and told of."""

from __future__ import annotations

from fastlog.cli.tool.reassign.progress import Progress, measure, row_of, summary
from fastlog.cli.tool.reassign.throttles import Move, throttled_replicas
from fastlog.client import PartitionInfo, TopicPartition
from fastlog.client.admin.reassignments import Reassignment
from fastlog.errors import ErrorCode
from fastlog.verbs.health import is_under_replicated

T0 = TopicPartition("t", 0)
MOVE = Reassignment((3, 4, 1, 2), (3, 4), (1, 2))


def info(leader: int = 1, isr: tuple[int, ...] = (1, 2), replicas: tuple[int, ...] = (1, 2)) -> PartitionInfo:
    return PartitionInfo("t", 0, leader, 5, replicas, isr, (), ErrorCode.NONE)


def test_the_replica_that_lacks_most_says_how_far_it_is() -> None:
    sizes = {(T0, 1): 1000, (T0, 3): 900, (T0, 4): 250}
    found = measure(T0, MOVE, info(), sizes)
    assert (found.percent, found.remaining_bytes) == (25, 850)
    # One that is not known of has nothing yet, one in sync lacks nothing.
    assert measure(T0, MOVE, info(isr=(1, 2, 4)), {(T0, 1): 1000}).percent == 0
    found = measure(T0, MOVE, info(isr=(1, 2, 3, 4)), sizes)
    assert (found.percent, found.remaining_bytes) == (100, 0)


def test_all_bytes_are_not_all_before_it_is_in_sync() -> None:
    same = {(T0, node): 1000 for node in (1, 3, 4)}
    assert measure(T0, MOVE, info(), same).percent == 99
    assert measure(T0, MOVE, info(), dict.fromkeys(same, 0)).percent == 99
    assert measure(T0, Reassignment((1, 2), (), (2,)), info(), {}).percent == 100


def test_without_a_leader_nothing_is_known() -> None:
    for found in (measure(T0, MOVE, None, {}), measure(T0, MOVE, info(leader=-1), {(T0, 1): 1})):
        assert (found.percent, found.remaining_bytes) == (None, None)


def test_moves_in_a_line_and_as_rows() -> None:
    one = Progress(T0, MOVE, 50, 2048)
    assert summary({T0: one}) == "1 partition moves, 2.0 KiB to go"
    two = {T0: one, TopicPartition("t", 1): Progress(TopicPartition("t", 1), MOVE, None, None)}
    assert summary(two) == "2 partitions move, 2.0 KiB to go"
    assert summary({T0: two[TopicPartition("t", 1)]}) == "1 partition moves"
    assert row_of(one)["target"] == [3, 4]


def test_old_replicas_send_and_new_ones_receive() -> None:
    moves = {
        TopicPartition("t", 1): Move((2,), (3, 4)),
        TopicPartition("t", 0): Move((1, 2), (3,)),
        TopicPartition("u", 0): Move((1, 2), ()),
    }
    assert throttled_replicas(moves) == {"t": ("0:1,0:2,1:2", "0:3,1:3,1:4")}


def test_what_a_move_adds_is_not_missing() -> None:
    partition = info(isr=(1, 2), replicas=(3, 4, 1, 2))
    assert is_under_replicated(partition, None)
    assert is_under_replicated(partition, {})
    assert not is_under_replicated(partition, {T0: MOVE})
    assert is_under_replicated(info(isr=(1,), replicas=(3, 4, 1, 2)), {T0: MOVE})
