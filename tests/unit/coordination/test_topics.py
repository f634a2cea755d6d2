"""Topics over real directories and a keeper of their own: create, grow, configure, delete, restart."""

from __future__ import annotations

import asyncio
import errno
import itertools
from pathlib import Path

import pytest

from fastlog.coordination import config_changes, serial_changes
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.config_changes import ConfigChange, ConfigKind
from fastlog.coordination.lifecycle import ConfigOp, ConfigOpType
from fastlog.coordination.topic_plan import MorePartitions, NewTopic
from fastlog.coordination.znodes import paths
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.world import Broker, World, code_of
from tests.unit.storage.fakes import storage_error


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def full(broker: Broker, is_full: bool = True) -> None:
    """The disk that the keeper is on has no room for anything new."""
    broker.topics._writes._has_room = lambda: not is_full


async def test_a_topic_is_made_seen_and_there_after_a_restart(world: World) -> None:
    broker = await world.start()
    state = await broker.topics.create("orders", 3, 1, configs={"retention.ms": "5"})
    assert broker.view.topics["orders"] == state
    assert broker.view.topic_by_id(state.topic_id) is state
    assert world.directories() == ["orders-0", "orders-1", "orders-2"]
    assert broker.lifecycle.led == {("orders", number): 0 for number in range(3)}
    await broker.stop()
    again = await world.start()
    assert again.view.topics["orders"] == state
    assert again.lifecycle.led == broker.lifecycle.led
    await again.stop()


async def test_defaults_and_validate_only(world: World) -> None:
    broker = await world.start()
    (state,) = await broker.topics.create_all([NewTopic("t")], validate_only=True)
    assert isinstance(state, TopicState)
    assert len(state.partitions) == 2
    assert world.directories() == []
    assert "t" not in broker.view.topics
    assert await code_of(broker.topics.create("t", configs={"nonsense": "1"})) is ErrorCode.INVALID_CONFIG
    assert await code_of(broker.topics.create("t", replication=2)) is ErrorCode.INVALID_REPLICATION_FACTOR
    await broker.topics.create("t")
    assert await code_of(broker.topics.create("t")) is ErrorCode.TOPIC_ALREADY_EXISTS
    await broker.stop()


async def test_a_policy_may_refuse(world: World) -> None:
    class Policy:
        def check_create(self, topic: TopicState) -> None:
            raise KafkaError(ErrorCode.POLICY_VIOLATION, "not on a Friday")

    broker = await world.start()
    broker.topics._policy = Policy()
    assert await code_of(broker.topics.create("t")) is ErrorCode.POLICY_VIOLATION
    await broker.stop()


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_deleted_topic_is_gone(world: World, by_id: bool) -> None:
    broker = await world.start()
    state = await broker.topics.create("t", 2)
    await broker.delete(state.topic_id if by_id else "t")
    assert "t" not in broker.view.topics
    assert broker.view.topic_by_id(state.topic_id) is None
    assert all(name.endswith("-delete") for name in world.directories())
    assert await code_of(broker.delete("t")) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert await code_of(broker.delete(state.topic_id)) is ErrorCode.UNKNOWN_TOPIC_ID
    again = await broker.topics.create("t", 1)
    assert again.topic_id != state.topic_id
    await broker.stop()
    restarted = await world.start()
    assert restarted.view.topics == {"t": again}
    await restarted.stop()


async def test_a_topic_grows(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    assert len((await broker.grow("t", 3, validate_only=True)).partitions) == 1
    assert len(broker.view.topics["t"].partitions) == 1
    state = await broker.grow("t", 3)
    assert len(state.partitions) == 3
    assert world.directories() == ["t-0", "t-1", "t-2"]
    assert await code_of(broker.grow("t", 3)) is ErrorCode.INVALID_PARTITIONS
    assert await code_of(broker.grow("u", 3)) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    await broker.stop()
    again = await world.start()
    assert again.view.topics["t"] == state
    await again.stop()


async def test_growth_that_failed_is_tried_again(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)

    def no_room(step: str, topic: str, partition: int) -> None:
        if partition == 2:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "full")

    broker.lifecycle.before = no_room
    assert await code_of(broker.grow("t", 3)) is ErrorCode.KAFKA_STORAGE_ERROR
    assert world.directories() == ["t-0", "t-1"]
    broker.lifecycle.before = None
    await broker.member._ask_again()
    assert await broker.topics.waits.until(lambda: ("t", 2) in broker.lifecycle.led, 10)
    assert await code_of(broker.grow("t", 3)) is ErrorCode.INVALID_PARTITIONS
    await broker.stop()


async def test_configs_are_changed_and_told(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1, configs={"retention.ms": "5"})
    ops = [ConfigOp("cleanup.policy", ConfigOpType.APPEND, "compact")]
    await broker.topics.change_config(ConfigKind.TOPIC, "t", ops, validate_only=True)
    assert broker.view.topics["t"].configs == {"retention.ms": "5"}
    await broker.topics.change_config(ConfigKind.TOPIC, "t", ops)
    expected = {"retention.ms": "5", "cleanup.policy": "delete,compact"}
    assert broker.view.topics["t"].configs == expected
    bad = [ConfigOp("bad", ConfigOpType.SET, "1")]
    assert await code_of(broker.topics.change_config(ConfigKind.TOPIC, "t", bad)) is ErrorCode.INVALID_CONFIG
    assert (
        await code_of(broker.topics.change_config(ConfigKind.TOPIC, "u", []))
        is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    )
    await broker.topics.change_config(ConfigKind.TOPIC, "t", {"retention.bytes": "9"})
    assert broker.lifecycle.configs == [("t", expected), ("t", {"retention.bytes": "9"})]
    await broker.stop()
    again = await world.start()
    assert again.view.topics["t"].configs == {"retention.bytes": "9"}
    await again.stop()


async def test_broker_configs_are_kept(world: World) -> None:
    broker = await world.start()
    ops = [ConfigOp("retention.ms", ConfigOpType.SET, "7")]
    assert await broker.topics.change_config(ConfigKind.BROKER, None, ops, validate_only=True) == {
        "retention.ms": "7"
    }
    assert broker.view.broker_config_overrides(1) == {}
    await broker.topics.change_config(ConfigKind.BROKER, None, ops)
    await broker.topics.change_config(ConfigKind.BROKER, 1, {"retention.ms": "8"})
    bad = [ConfigOp("bad", ConfigOpType.SET, "1")]
    assert await code_of(broker.topics.change_config(ConfigKind.BROKER, 1, bad)) is ErrorCode.INVALID_CONFIG
    every, own = {"retention.ms": "7"}, {"retention.ms": "8"}
    # Notifications tell the broker of its own changes once more.
    adopted = [configs for configs, _ in itertools.groupby(broker.lifecycle.configs)]
    assert adopted == [{None: every}, {None: every, 1: own}]
    await broker.topics.change_config(ConfigKind.BROKER, 2, own)
    assert all(2 not in configs for configs in broker.lifecycle.configs)  # another broker's
    await broker.stop()
    again = await world.start()
    assert again.view.broker_config_overrides(1) == {"retention.ms": "8"}
    assert again.view.broker_config_overrides(2) == {"retention.ms": "8"}
    assert again.view.broker_config_overrides(3) == {"retention.ms": "7"}
    await again.topics.change_config(ConfigKind.BROKER, 1, {})
    assert again.view.broker_config_overrides(1) == {"retention.ms": "7"}
    await again.stop()


async def test_group_configs_are_kept(world: World) -> None:
    broker = await world.start()
    key = "consumer.session.timeout.ms"
    ops = [ConfigOp(key, ConfigOpType.SET, "7")]
    assert await broker.topics.change_config(ConfigKind.GROUP, "g", ops, validate_only=True) == {key: "7"}
    assert broker.view.snapshot.group_configs == {}
    await broker.topics.change_config(ConfigKind.GROUP, "g", ops)
    await broker.topics.change_config(ConfigKind.GROUP, "h", {key: "8"})
    bad = [ConfigOp("bad", ConfigOpType.SET, "1")]
    assert await code_of(broker.topics.change_config(ConfigKind.GROUP, "g", bad)) is ErrorCode.INVALID_CONFIG
    await broker.stop()
    again = await world.start()
    assert again.view.snapshot.group_configs == {"g": {key: "7"}, "h": {key: "8"}}
    await again.topics.change_config(ConfigKind.GROUP, "g", [ConfigOp(key, ConfigOpType.DELETE)])
    assert again.view.snapshot.group_configs == {"h": {key: "8"}}
    await again.stop()


async def test_configs_of_many_resources_each_on_its_own_merits(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    await broker.topics.create("u", 1)
    key = "consumer.session.timeout.ms"
    outcomes = await broker.topics.change_configs(
        [
            ConfigChange(ConfigKind.TOPIC, "t", {"retention.ms": "5"}),
            ConfigChange(ConfigKind.TOPIC, "missing", {"retention.ms": "5"}),
            ConfigChange(ConfigKind.GROUP, "g", {key: "7"}),
            ConfigChange(ConfigKind.GROUP, "h", {"bad": "7"}),
            ConfigChange(ConfigKind.TOPIC, "u", {"retention.ms": "6"}),
        ]
    )
    codes = [outcome.code if isinstance(outcome, KafkaError) else None for outcome in outcomes]
    assert codes == [None, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None, ErrorCode.INVALID_CONFIG, None]
    assert broker.lifecycle.configs[:2] == [("t", {"retention.ms": "5"}), ("u", {"retention.ms": "6"})]
    full(broker)
    outcomes = await broker.topics.change_configs(
        [
            ConfigChange(ConfigKind.TOPIC, "t", {}),
            ConfigChange(ConfigKind.GROUP, "g", {"bad": "7"}),
            ConfigChange(ConfigKind.GROUP, "g", {}),
        ]
    )
    codes = [outcome.code if isinstance(outcome, KafkaError) else None for outcome in outcomes]
    assert codes == [ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.INVALID_CONFIG, ErrorCode.KAFKA_STORAGE_ERROR]
    await broker.stop()
    again = await world.start()
    assert again.view.snapshot.group_configs == {"g": {key: "7"}}
    assert [again.view.topics[name].configs for name in "tu"] == [
        {"retention.ms": "5"},
        {"retention.ms": "6"},
    ]
    await again.stop()


async def test_many_topics_grow_each_on_its_own_merits(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    await broker.topics.create("u", 1)
    wanted = [MorePartitions(name, 3) for name in ("t", "missing", "u")]
    checked = await broker.topics.create_more_partitions(wanted, validate_only=True)
    assert [getattr(item, "name", None) for item in checked] == ["t", None, "u"]
    assert [len(broker.view.topics[name].partitions) for name in "tu"] == [1, 1]
    grown = await broker.topics.create_more_partitions(wanted)
    assert isinstance(grown[1], KafkaError) and grown[1].code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert [grown[0], grown[2]] == [broker.view.topics[name] for name in "tu"]
    assert [len(broker.view.topics[name].partitions) for name in "tu"] == [3, 3]
    full(broker)
    refused = await broker.topics.create_more_partitions([MorePartitions(name, 4) for name in "tu"])
    codes = [outcome.code for outcome in refused if isinstance(outcome, KafkaError)]
    assert codes == [ErrorCode.KAFKA_STORAGE_ERROR] * 2
    assert [len(broker.view.topics[name].partitions) for name in "tu"] == [3, 3]
    await broker.stop()


async def test_settings_of_groups_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = await world.start()
    key = "consumer.session.timeout.ms"

    async def code(group_id: str, configs: dict[str, str]) -> ErrorCode | None:
        try:
            await broker.topics.change_config(ConfigKind.GROUP, group_id, configs)
        except KafkaError as error:
            return error.code
        return None

    monkeypatch.setattr(config_changes, "MAX_GROUPS", 2)
    assert await code("\u20ac" * 342, {key: "7"}) is ErrorCode.INVALID_REQUEST
    assert [await code(group_id, {key: "7"}) for group_id in "ab"] == [None, None]
    assert await code("c", {key: "7"}) is ErrorCode.POLICY_VIOLATION
    assert await code("b", {key: "8"}) is None
    assert [await code("a", {}), await code("a", {}), await code("c", {key: "7"})] == [None] * 3
    monkeypatch.setattr(config_changes, "MAX_GROUP_BYTES", 100)
    assert await code("c", {key: "7" * 50}) is ErrorCode.POLICY_VIOLATION
    # What is stored already may be more than that.
    monkeypatch.setattr(config_changes, "MAX_GROUP_BYTES", 10)
    assert await code("b", {key: "9"}) is None
    assert broker.view.snapshot.group_configs == {"b": {key: "9"}, "c": {key: "7"}}
    await broker.stop()


async def test_changes_run_one_at_a_time(world: World) -> None:
    broker = await world.start()
    results = await asyncio.gather(
        *(broker.topics.create("t", 1) for _ in range(5)),
        *(broker.topics.create(f"u{index}", 1) for index in range(5)),
        return_exceptions=True,
    )
    failures = [result for result in results if isinstance(result, KafkaError)]
    assert [failure.code for failure in failures] == [ErrorCode.TOPIC_ALREADY_EXISTS] * 4
    assert len(broker.view.topics) == 6
    await broker.stop()


async def test_a_request_that_is_cancelled_does_not_stop_half_way(world: World) -> None:
    broker = await world.start()
    task = asyncio.create_task(broker.topics.create("t", 3))
    while paths.topic("t") not in broker.nodes:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await broker.topics.waits.until(lambda: len(broker.lifecycle.led) == 3, 10)
    await broker.stop()


async def test_a_topic_that_cannot_be_stored_does_not_exist(world: World) -> None:
    broker = await world.start()
    full(broker)
    assert await code_of(broker.topics.create("t")) is ErrorCode.KAFKA_STORAGE_ERROR
    assert world.directories() == []
    assert paths.topic("t") not in broker.nodes
    full(broker, False)
    await broker.topics.create("t")
    await broker.stop()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), MemoryError()], ids=["full", "memory"])
async def test_a_creation_that_fails_half_way_is_undone(world: World, error: Exception) -> None:
    broker = await world.start()

    def no_room(step: str, topic: str, partition: int) -> None:
        if step == "create" and partition == 20:
            raise error

    broker.lifecycle.before = no_room
    assert await code_of(broker.topics.create("t", 25)) is ErrorCode.KAFKA_STORAGE_ERROR
    assert "t" not in broker.view.topics
    assert all(name.endswith("-delete") for name in world.directories())
    broker.lifecycle.before = None
    await broker.topics.create("t", 25)
    await broker.stop()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "offline"),
        storage_error("assigning an epoch: no space", no_space=True),
    ],
    ids=["memory", "offline", "native"],
)
async def test_a_deletion_that_meets_an_obstacle_is_tried_again(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_changes, "RETRY_SECONDS", 0.01)
    broker = await world.start()
    await broker.topics.create("t", 3)

    def refuse(step: str, topic: str, partition: int) -> None:
        if partition == 1:
            raise error

    broker.lifecycle.before = refuse
    await broker.delete("t")
    assert "t" not in broker.view.topics
    assert await code_of(broker.topics.create("t")) is ErrorCode.TOPIC_ALREADY_EXISTS
    broker.lifecycle.before = None
    assert await broker.topics.waits.until(lambda: paths.topic("t") not in broker.nodes, 10)
    assert all(name.endswith("-delete") for name in world.directories())
    await broker.topics.create("t", 3)
    await broker.stop()


async def test_a_deletion_that_met_an_obstacle_is_finished_at_the_next_start(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)

    def refuse(step: str, topic: str, partition: int) -> None:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no descriptors")

    broker.lifecycle.before = refuse
    await broker.delete("t")
    await broker.stop()
    again = await world.start()
    assert again.view.topics == {}
    await again.topics.create("t", 2)
    await again.stop()
