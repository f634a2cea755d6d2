"""UpdateMetadata and StopReplica: what they change, and what they leave."""

from __future__ import annotations

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode
from tests.unit.coordination.member.receiving import ME, OTHER, OTHER_ID, Receiving, part, seen

NONE = ErrorCode.NONE
DELETED = -2


async def test_brokers_are_replaced_and_partitions_merged(broker: Receiving) -> None:
    await broker.update(seen("t", (0, ME, 1), (1, OTHER, 1)), brokers={1: 11, 2: 12})
    assert broker.view.controller_id == OTHER
    assert [(info.id, info.rack, info.endpoints) for info in broker.view.brokers()] == [
        (1, "r", {"CLIENTS": ("host", 11)}),
        (2, "r", {"CLIENTS": ("host", 12)}),
    ]
    await broker.update(seen("t", (1, ME, 2)), brokers={2: 22})
    assert [info.id for info in broker.view.brokers()] == [2]
    partitions = broker.view.topics["t"].partitions
    assert [(state.leader, state.leader_epoch, state.partition_epoch) for state in partitions] == [
        (ME, 1, 7),
        (ME, 2, 7),
    ]


async def test_partitions_that_nothing_was_said_of_have_no_leader(broker: Receiving) -> None:
    await broker.update(seen("t", (2, ME, 1)))
    assert [state.leader for state in broker.view.topics["t"].partitions] == [-1, -1, ME]


async def test_a_topic_that_is_deleted_is_out_of_sight(broker: Receiving) -> None:
    await broker.update(seen("t", (0, ME, 1), (1, ME, 1)), seen("u", (0, ME, 1), topic_id=OTHER_ID))
    await broker.update(seen("t", (0, DELETED, 1), (1, DELETED, 1)))
    assert set(broker.view.topics) == {"u"}
    assert broker.observer.told == [("deleted", "t", 2)]
    assert [[topic.name for topic in changed.gone] for changed in broker.changes] == [[], ["t"]]
    # Its settings are not those of another one of its name.
    broker.configs.nodes["t"] = b'{"version":1,"config":{"retention.ms":"5"}}'
    await broker.update(seen("t", (0, ME, 0)))
    assert broker.view.topics["t"].configs == {"retention.ms": "5"}


async def test_another_topic_of_the_same_name_takes_its_place(broker: Receiving) -> None:
    await broker.update(seen("t", (0, ME, 1), (1, ME, 1)))
    await broker.update(seen("t", (0, OTHER, 0), topic_id=OTHER_ID))
    assert broker.view.topics["t"].topic_id == OTHER_ID
    assert len(broker.view.topics["t"].partitions) == 1
    assert broker.observer.told == [("deleted", "t", 2)]


async def test_all_partitions_of_the_groups_topic_are_shown(broker: Receiving) -> None:
    # Which partition a group is in depends on how many there are, led or not.
    broker.partitions = 5
    await broker.update(seen(GROUP_METADATA_TOPIC, (0, ME, 1), (1, ME, 1)))
    assert len(broker.view.topics[GROUP_METADATA_TOPIC].partitions) == 5
    await broker.update(seen(GROUP_METADATA_TOPIC, (1, OTHER, 2)))
    assert len(broker.view.topics[GROUP_METADATA_TOPIC].partitions) == 5


async def test_changed_overrides_are_seen_and_in_force(broker: Receiving) -> None:
    await broker.assign(part(0, ME, 1))
    await broker.update(seen("t", (0, ME, 1)))
    assert await broker.receiver.set_overrides({"t": {"retention.ms": "7"}, "unknown": {"x": "y"}}) == {}
    assert broker.view.topics["t"].configs == {"retention.ms": "7"}
    assert broker.host.configs == [("t", {"retention.ms": "7"})]
    await broker.update(seen("t", (0, ME, 2)))
    assert broker.view.topics["t"].configs == {"retention.ms": "7"}


async def test_a_stopped_partition_follows_nobody_and_stays(broker: Receiving) -> None:
    await broker.assign(part(0, ME, 4), part(1, ME, 4))
    broker.observer.told.clear()
    assert await broker.stop_replica((0, 3), (1, 4), delete=False) == {
        0: ErrorCode.FENCED_LEADER_EPOCH,
        1: NONE,
    }
    assert broker.assigned() == {0: (ME, 4), 1: (-1, 4)}
    assert broker.observer.told == [("resigned", "t", 1)]
    assert broker.directories() == ["t-0", "t-1"]
    # The same epoch does not bring it back, a higher one does.
    assert await broker.assign(part(1, ME, 4)) == {1: ErrorCode.STALE_CONTROLLER_EPOCH}
    assert await broker.assign(part(1, ME, 5)) == {1: NONE}


async def test_a_deleted_partition_is_gone(broker: Receiving) -> None:
    await broker.assign(part(0, ME, 4), part(1, ME, 4), part(2, ME, 4))
    assert await broker.stop_replica((0, -1), (1, 3), (2, -2), delete=True) == {
        0: NONE,
        1: ErrorCode.FENCED_LEADER_EPOCH,
        2: NONE,
    }
    assert broker.assigned() == {1: (ME, 4)}
    assert broker.logs.get("t", 0) is None
    assert [name for name in broker.directories() if not name.endswith("-delete")] == ["t-1"]
    # Once more: it may be sent again.
    assert await broker.stop_replica((0, -2), (1, 4), delete=True) == {0: NONE, 1: NONE}
    assert broker.reconciler.view.get("t") is None


async def test_leftovers_that_were_never_assigned_are_deleted(broker: Receiving) -> None:
    await broker.logs.create("t", OTHER_ID, 0, broker.logs.settings)  # type: ignore[arg-type]
    assert await broker.stop_replica((0, 9), (7, 9), delete=True) == {0: NONE, 7: NONE}
    assert broker.logs.get("t", 0) is None


async def test_a_deletion_that_fails_is_told(broker: Receiving) -> None:
    await broker.assign(part(0, ME, 1))

    def before(step: str, topic: str, number: int) -> None:
        raise OSError("no")

    broker.host.before = before
    assert await broker.stop_replica((0, -2), delete=True) == {0: ErrorCode.KAFKA_STORAGE_ERROR}
    broker.host.before = None
    assert await broker.stop_replica((0, -2), delete=True) == {0: NONE}
    assert broker.logs.get("t", 0) is None
