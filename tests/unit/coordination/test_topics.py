"""Topics over real directories and a real metadata file: create, grow, configure, delete, restart."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from fastlog.base.files import write_atomically
from fastlog.coordination import config_changes, serial_changes
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.config_changes import ConfigChange, ConfigKind
from fastlog.coordination.lifecycle import ConfigOp, ConfigOpType
from fastlog.coordination.topic_plan import MorePartitions
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.world import World, code_of, fail_with
from tests.unit.storage.fakes import storage_error


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


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
    state = await broker.topics.create("t", validate_only=True)
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
    await broker.topics.delete(state.topic_id if by_id else "t")
    assert "t" not in broker.view.topics
    assert broker.view.topic_by_id(state.topic_id) is None
    assert all(name.endswith("-delete") for name in world.directories())
    assert await code_of(broker.topics.delete("t")) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert await code_of(broker.topics.delete(state.topic_id)) is ErrorCode.UNKNOWN_TOPIC_ID
    again = await broker.topics.create("t", 1)
    assert again.topic_id != state.topic_id
    await broker.stop()
    restarted = await world.start()
    assert restarted.view.topics == {"t": again}
    await restarted.stop()


async def test_a_topic_grows(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    assert len((await broker.topics.create_partitions("t", 3, validate_only=True)).partitions) == 3
    assert len(broker.view.topics["t"].partitions) == 1
    state = await broker.topics.create_partitions("t", 3)
    assert len(state.partitions) == 3
    assert world.directories() == ["t-0", "t-1", "t-2"]
    assert await code_of(broker.topics.create_partitions("t", 3)) is ErrorCode.INVALID_PARTITIONS
    assert await code_of(broker.topics.create_partitions("u", 3)) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    await broker.stop()
    again = await world.start()
    assert again.view.topics["t"] == state
    await again.stop()


async def test_growth_that_failed_can_be_asked_for_again(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)

    def no_room(step: str, topic: str, partition: int) -> None:
        if partition == 2:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "full")

    broker.lifecycle.before = no_room
    assert await code_of(broker.topics.create_partitions("t", 3)) is ErrorCode.KAFKA_STORAGE_ERROR
    assert len(broker.view.topics["t"].partitions) == 1
    broker.lifecycle.before = None
    assert await code_of(broker.topics.create_partitions("t", 2)) is ErrorCode.INVALID_PARTITIONS
    assert len((await broker.topics.create_partitions("t", 3)).partitions) == 3
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
    assert broker.lifecycle.configs == [{None: every}, {None: every, 1: own}]
    await broker.topics.change_config(ConfigKind.BROKER, 2, own)
    assert len(broker.lifecycle.configs) == 2  # another broker's
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


async def test_configs_of_many_resources_are_one_write(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    await broker.topics.create("u", 1)
    key, writes = "consumer.session.timeout.ms", 0
    write_file = broker.store.write_file

    def count(path: Path, data: bytes) -> None:
        nonlocal writes
        writes += 1
        write_file(path, data)

    broker.store.write_file = count
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
    assert writes == 1
    assert sorted(broker.lifecycle.configs) == [("t", {"retention.ms": "5"}), ("u", {"retention.ms": "6"})]
    broker.store.write_file = fail_with(errno.ENOSPC)
    outcomes = await broker.topics.change_configs(
        [
            ConfigChange(ConfigKind.TOPIC, "t", {}),
            ConfigChange(ConfigKind.GROUP, "g", {"bad": "7"}),
            ConfigChange(ConfigKind.GROUP, "g", {}),
        ]
    )
    codes = [outcome.code if isinstance(outcome, KafkaError) else None for outcome in outcomes]
    full = ErrorCode.KAFKA_STORAGE_ERROR
    assert codes == [full, ErrorCode.INVALID_CONFIG, full]
    broker.store.write_file = write_file
    await broker.stop()
    again = await world.start()
    assert again.view.snapshot.group_configs == {"g": {key: "7"}}
    assert [again.view.topics[name].configs for name in "tu"] == [
        {"retention.ms": "5"},
        {"retention.ms": "6"},
    ]
    await again.stop()


async def test_many_topics_grow_in_one_write(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    await broker.topics.create("u", 1)
    writes: list[bytes] = []
    write_file = broker.store.write_file

    def count(path: Path, data: bytes) -> None:
        writes.append(data)
        write_file(path, data)

    broker.store.write_file = count
    wanted = [MorePartitions(name, 3) for name in ("t", "missing", "u")]
    checked = await broker.topics.create_more_partitions(wanted, validate_only=True)
    assert [getattr(item, "name", None) for item in checked] == ["t", None, "u"] and not writes
    grown = await broker.topics.create_more_partitions(wanted)
    assert isinstance(grown[1], KafkaError) and grown[1].code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert [grown[0], grown[2]] == [broker.view.topics[name] for name in "tu"]
    assert [len(broker.view.topics[name].partitions) for name in "tu"] == [3, 3]
    # What is to be, and what is there.
    assert len(writes) == 2
    broker.store.write_file = fail_with(errno.ENOSPC)
    with pytest.raises(KafkaError) as caught:
        await broker.topics.create_more_partitions([MorePartitions(name, 4) for name in "tu"])
    assert caught.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    assert [len(broker.view.topics[name].partitions) for name in "tu"] == [3, 3]
    broker.store.write_file = write_file
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
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await broker.topics.close()
    assert len(broker.view.topics["t"].partitions) == 3
    await broker.stop()


async def test_a_topic_that_cannot_be_stored_does_not_exist(world: World) -> None:
    broker = await world.start()
    broker.store.write_file = fail_with(errno.ENOSPC)
    assert await code_of(broker.topics.create("t")) is ErrorCode.KAFKA_STORAGE_ERROR
    assert world.directories() == []
    broker.store.write_file = write_atomically
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


async def test_a_deletion_for_which_there_is_no_memory_is_finished_later(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 3)

    def no_memory(step: str, topic: str, partition: int) -> None:
        if partition == 1:
            raise MemoryError

    broker.lifecycle.before = no_memory
    await broker.topics.delete("t")
    assert "t" not in broker.view.topics
    broker.lifecycle.before = None
    await broker.topics.finish_changes()
    assert all(name.endswith("-delete") for name in world.directories())
    await broker.topics.create("t", 3)
    await broker.stop()


async def test_errors_of_the_native_module_are_errors_of_the_disk(world: World) -> None:
    broker = await world.start()

    def fail(step: str, topic: str, partition: int) -> None:
        raise storage_error("assigning an epoch: no space", no_space=True)

    broker.lifecycle.before = fail
    assert await code_of(broker.topics.create("t", 1)) is ErrorCode.KAFKA_STORAGE_ERROR
    broker.lifecycle.before = None
    await broker.topics.finish_changes()
    await broker.topics.create("t", 1)
    broker.lifecycle.before = fail
    await broker.topics.delete("t")
    broker.lifecycle.before = None
    assert await broker.topics.finish_changes() == 0
    await broker.stop()


async def test_a_deletion_that_meets_an_obstacle_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_changes, "RETRY_SECONDS", 0.01)
    broker = await world.start()
    await broker.topics.create("t", 1)

    def refuse(step: str, topic: str, partition: int) -> None:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "offline")

    broker.lifecycle.before = refuse
    await broker.topics.delete("t")
    assert "t" not in broker.view.topics
    assert await code_of(broker.topics.create("t")) is ErrorCode.TOPIC_ALREADY_EXISTS
    assert await broker.topics.finish_changes() == 1
    broker.lifecycle.before = None
    for _ in range(1000):
        if "t" not in broker.store.read().topics:
            break
        await asyncio.sleep(0.01)
    await broker.topics.create("t")
    await broker.stop()


async def test_a_deletion_that_waits_to_be_tried_again_is_tried_before_the_broker_stops(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)

    def refuse(step: str, topic: str, partition: int) -> None:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no descriptors")

    broker.lifecycle.before = refuse
    await broker.topics.delete("t")
    broker.lifecycle.before = None
    await broker.topics.close()
    assert "t" not in broker.store.read().topics
    await broker.stop()
