"""Metadata and directories side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastlog.coordination.startup_plan import other_owners, plan_startup
from fastlog.coordination.store import PartitionRecord, TopicRecord
from fastlog.storage.adopt import FoundPartition

A, B = bytes([1] * 16), bytes([2] * 16)
HERE = PartitionRecord((1,), (1,), 1)
ELSEWHERE = PartitionRecord((2,), (2,), 2)
TOPIC = TopicRecord("t", A, (HERE, HERE), materialised=2)


def found(topic: str, partition: int, topic_id: bytes | None = A, epoch: int = -1) -> FoundPartition:
    return FoundPartition(topic, partition, Path(f"/d/{topic}-{partition}"), topic_id, latest_epoch=epoch)


def test_known_directories_are_opened() -> None:
    entries = [found("t", 0), found("t", 1, None)]
    plan = plan_startup({"t": TOPIC}, entries, 1)
    assert plan.open == [(entry, A) for entry in entries]
    assert not (plan.adopted or plan.grown or plan.stray or plan.remove or plan.lost or plan.left_alone)


def test_unknown_topics_are_adopted_and_keep_everything() -> None:
    plan = plan_startup(
        {}, [found("old", 0, A, 4), found("old", 2, A), found("older", 0, None)], 1, new_id=lambda: B
    )
    old, older = plan.adopted
    assert (old.topic_id, older.topic_id) == (A, B)
    assert [part.leader_epoch for part in old.partitions] == [5, 0, 0]
    assert old.materialised == 3
    assert old.configs == {"retention.ms": "-1", "retention.bytes": "-1"}
    assert plan.lost == [(("old", 1), A)]
    assert {(entry.topic, entry.partition) for entry, _ in plan.open} == {
        ("old", 0),
        ("old", 2),
        ("older", 0),
    }


def test_internal_topics_are_adopted_as_compacted() -> None:
    plan = plan_startup({}, [found("__consumer_offsets", 0), found("__transaction_state", 0, B)], 1)
    assert all(record.configs["cleanup.policy"] == "compact" for record in plan.adopted)
    assert not any("retention.ms" in record.configs for record in plan.adopted)


def test_what_cannot_be_a_topic_is_left_alone() -> None:
    entries = [found("x", 0, A), found("x", 1, B), found("bad name", 0, bytes([3] * 16))]
    plan = plan_startup({}, entries, 1)
    assert [entry for entry, _ in plan.left_alone] == entries
    assert not plan.adopted
    assert not plan.open


def test_a_directory_that_carries_another_topics_id_is_left_alone() -> None:
    copied = found("copy", 0, A)
    plan = plan_startup({"t": TOPIC}, [found("t", 0), found("t", 1), copied], 1)
    assert [entry for entry, _ in plan.left_alone] == [copied]


def test_an_earlier_topic_of_the_name_is_stray() -> None:
    stale = found("t", 1, B)
    plan = plan_startup({"t": TOPIC}, [found("t", 0), stale], 1)
    assert [entry for entry, _ in plan.stray] == [stale]
    assert plan.lost == [(("t", 1), A)]
    deleting = replace(TOPIC, deleting=True)
    plan = plan_startup({"t": deleting}, [found("t", 0), stale], 1)
    assert [entry for entry, _ in plan.stray] == [stale]
    assert plan.remove == [found("t", 0)]
    assert plan.lost == []


def test_a_topic_grows_to_what_is_on_the_disk() -> None:
    plan = plan_startup({"t": TOPIC}, [found("t", number, A, number) for number in range(4)], 1)
    (grown,) = plan.grown
    assert [part.leader_epoch for part in grown.partitions] == [0, 0, 3, 4]
    assert grown.materialised == 4
    assert len(plan.open) == 4
    nameless = found("t", 2, None)
    plan = plan_startup({"t": TOPIC}, [found("t", 0), found("t", 1), nameless], 1)
    assert not plan.grown
    assert [entry for entry, _ in plan.stray] == [nameless]


def test_replicas_of_other_brokers_are_left_where_they_are() -> None:
    record = replace(TOPIC, partitions=(HERE, ELSEWHERE))
    entry = found("t", 1)
    plan = plan_startup({"t": record}, [found("t", 0), entry], 1)
    assert [item for item, _ in plan.left_alone] == [entry]
    assert plan.stray == plan.lost == []
    assert other_owners({"t": record}, 1) is None
    assert other_owners({"t": record}, 7) == "brokers 1, 2"


def test_damage_is_neither_opened_nor_lost() -> None:
    damaged = replace(found("t", 1, None), problem="damaged")
    plan = plan_startup({"t": TOPIC}, [found("t", 0), damaged], 1)
    assert plan.damaged == [(damaged, A)]
    assert plan.open == [(found("t", 0), A)]
    assert plan.lost == []


def test_only_what_was_once_made_can_be_lost() -> None:
    record = replace(TOPIC, partitions=(HERE, HERE, HERE), materialised=1)
    plan = plan_startup({"t": record}, [], 1)
    assert plan.lost == [(("t", 0), A)]
