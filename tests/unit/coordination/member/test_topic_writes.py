"""What a member writes of topics and configs, over a keeper in this process; and what it hears of others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from fastlog.coordination.cluster_view import PartitionState, TopicState
from fastlog.coordination.member.config_notifications import ConfigNotifications, Entity
from fastlog.coordination.member.topic_writes import TopicWrites
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import PartitionRecord, TopicRecord
from fastlog.coordination.topic_plan import MorePartitions
from fastlog.coordination.znodes import node_json, paths
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.controller.tree_world import World, until

RACKS = {1: None, 2: None}
NOTIFY = (paths.CONFIG_CHANGE, "topics/t")
TOPIC = TopicRecord(
    "t",
    b"i" * 16,
    (PartitionRecord((1, 2), (1, 2), 1), PartitionRecord((2, 1), (2, 1), 2)),
    MappingProxyType({"retention.ms": "5"}),
)


class Controller:
    """Fills `ControllerHere`."""

    is_active = True
    epoch = 4
    hints = 0

    def knows(self, topic: str) -> bool:
        return False

    def is_deleting(self, topic: str) -> bool:
        return False

    def topics_written(self) -> None:
        self.hints += 1


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        await made.admin.create(paths.CONTROLLER_EPOCH, b"4")
        yield made


async def writes_of(world: World, controller: Controller | None = None) -> TopicWrites:
    return TopicWrites(MemberTree(await world.client(), wait_seconds=5), controller or Controller())


def stored(world: World, path: str) -> Any:
    return json.loads(world.data(path) or b"")


async def test_a_topic_is_two_nodes(world: World) -> None:
    controller = Controller()
    writes = await writes_of(world, controller)
    assert await writes.create([TOPIC], fenced=True) == {}
    assert stored(world, "/config/topics/t") == {"version": 1, "config": {"retention.ms": "5"}}
    node = stored(world, "/brokers/topics/t")
    assert node["partitions"] == {"0": [1, 2], "1": [2, 1]}
    # States are the controller's: it would take the topic for one that it has made already.
    assert not world.has("/brokers/topics/t/partitions")
    assert controller.hints == 1
    assert not [
        name for name in await world.admin.children(paths.CONFIG_CHANGES) if "config_change_0" in name
    ]


async def test_the_same_topic_is_no_obstacle_and_another_one_is(world: World) -> None:
    writes = await writes_of(world)
    await writes.create([TOPIC], fenced=True)
    assert await writes.create([TOPIC], fenced=True) == {}
    other = replace(TOPIC, topic_id=b"o" * 16)
    third = replace(TOPIC, name="u")
    failed = await writes.create([other, third], fenced=True)
    assert {name: error.code for name, error in failed.items()} == {"t": ErrorCode.TOPIC_ALREADY_EXISTS}
    assert world.has("/brokers/topics/u")


async def test_overrides_that_a_deleted_topic_has_left_are_replaced(world: World) -> None:
    await world.admin.create("/config/topics/t", b'{"version":1,"config":{"x":"y"}}')
    assert await (await writes_of(world)).create([TOPIC], fenced=False) == {}
    assert stored(world, "/config/topics/t")["config"] == {"retention.ms": "5"}


@pytest.mark.parametrize("how", ["not active", "another epoch", "raised meanwhile"])
async def test_who_is_not_the_controller_writes_nothing_that_only_it_may(world: World, how: str) -> None:
    controller = Controller()
    writes = await writes_of(world, controller)
    if how == "not active":
        controller.is_active = False
    elif how == "another epoch":
        controller.epoch = 3
    else:
        former = writes._fence

        async def fence() -> Any:
            found = await former()
            await world.admin.set(paths.CONTROLLER_EPOCH, b"5")
            return found

        writes._fence = fence  # type: ignore[method-assign]
    if how == "raised meanwhile":
        failed = await writes.create([TOPIC], fenced=True)
        assert failed["t"].code is ErrorCode.NOT_CONTROLLER
    else:
        with pytest.raises(KafkaError) as caught:
            await writes.create([TOPIC], fenced=True)
        assert caught.value.code is ErrorCode.NOT_CONTROLLER
    assert not world.has("/brokers/topics/t")
    # What came up in somebody's request any broker makes.
    assert await writes.create([TOPIC], fenced=False) == {}


async def test_a_topic_grows_unless_it_is_being_moved(world: World) -> None:
    writes = await writes_of(world)
    await writes.create([TOPIC], fenced=True)
    assert await writes.grow(MorePartitions("t", 4), TOPIC.topic_id, RACKS, store=False) == 4
    assert len(stored(world, "/brokers/topics/t")["partitions"]) == 2
    assert await writes.grow(MorePartitions("t", 4), TOPIC.topic_id, RACKS) == 4
    node = stored(world, "/brokers/topics/t")
    assert len(node["partitions"]) == 4
    node["adding_replicas"] = {"0": [3]}
    await world.admin.set("/brokers/topics/t", node_json.dump(node))
    with pytest.raises(KafkaError) as caught:
        await writes.grow(MorePartitions("t", 5), TOPIC.topic_id, RACKS)
    assert caught.value.code is ErrorCode.REASSIGNMENT_IN_PROGRESS
    with pytest.raises(KafkaError) as caught:
        await writes.grow(MorePartitions("never", 5), TOPIC.topic_id, RACKS)
    assert caught.value.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


async def test_a_topic_that_is_another_one_now_or_is_being_deleted_does_not_grow(world: World) -> None:
    writes = await writes_of(world)
    await writes.create([TOPIC], fenced=True)
    before = world.data("/brokers/topics/t")
    with pytest.raises(KafkaError) as caught:
        await writes.grow(MorePartitions("t", 5), b"o" * 16, RACKS)
    assert caught.value.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    await writes.delete(["t"])
    for store in (True, False):
        with pytest.raises(KafkaError) as caught:
            await writes.grow(MorePartitions("t", 5), TOPIC.topic_id, RACKS, store=store)
        assert caught.value.code is ErrorCode.INVALID_TOPIC_EXCEPTION
    assert world.data("/brokers/topics/t") == before


async def test_a_topic_whose_nodes_go_while_it_grows_is_not_known(world: World) -> None:
    writes = await writes_of(world)
    await writes.create([TOPIC], fenced=True)
    write = writes._write

    async def late(*parts: Any) -> None:
        await world.admin.delete("/brokers/topics/t")
        await write(*parts)

    writes._write = late  # type: ignore[method-assign]
    with pytest.raises(KafkaError) as caught:
        await writes.grow(MorePartitions("t", 5), TOPIC.topic_id, RACKS)
    assert caught.value.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert not world.has("/brokers/topics/t")


async def test_what_has_no_node_is_missing(world: World) -> None:
    writes = await writes_of(world)
    await writes.create([TOPIC], fenced=True)
    assert await writes.missing(["t", "other", "no/name", ".."]) == {"other", "no/name", ".."}


async def test_a_node_that_nobody_can_read_is_damaged(world: World) -> None:
    """The controller leaves such a topic alone: who asks for its deletion is not to wait for it."""
    writes = await writes_of(world)
    await writes.create([TOPIC, replace(TOPIC, name="u")], fenced=True)
    assert await writes.damaged(["t", "u", "other", "no/name"]) == {}
    await world.admin.set("/brokers/topics/u", b'{"version":3,"partitions":{"0":[-5]}}')
    found = await writes.damaged(["t", "u", "other", "no/name"])
    assert {name: error.code for name, error in found.items()} == {"u": ErrorCode.KAFKA_STORAGE_ERROR}


async def test_without_room_nothing_new_is_stored(world: World) -> None:
    writes = await writes_of(world)
    await writes.create([TOPIC], fenced=True)
    before = await world.admin.get("/brokers/topics/t")
    writes._has_room = lambda: False
    full = ErrorCode.KAFKA_STORAGE_ERROR
    attempts = [
        writes.create([replace(TOPIC, name="u")], fenced=True),
        writes.grow(MorePartitions("t", 5), TOPIC.topic_id, {1: None, 2: None}),
        writes.set_config(paths.topic_config("t"), {}, (paths.CONFIG_CHANGE, "topics/t")),
    ]
    for attempt in attempts:
        with pytest.raises(KafkaError, match="disk that the metadata is on is full") as caught:
            await attempt
        assert caught.value.code is full
    assert not world.has("/brokers/topics/u")
    assert await world.admin.get("/brokers/topics/t") == before
    assert await writes.delete(["t"]) == {}


async def test_a_deletion_is_a_mark(world: World) -> None:
    writes = await writes_of(world)
    await writes.create([TOPIC], fenced=True)
    assert await writes.delete(["t"]) == {}
    assert await writes.delete(["t"]) == {}
    assert world.has("/admin/delete_topics/t")
    assert world.data("/admin/delete_topics/t") is None


async def test_configs_need_a_controller_and_are_told_to_all(world: World) -> None:
    writes = await writes_of(world)
    with pytest.raises(KafkaError) as caught:
        await writes.set_config("/config/topics/t", {"a": "b"}, NOTIFY)
    assert caught.value.code is ErrorCode.NOT_CONTROLLER
    assert not world.has("/config/topics/t")
    await world.admin.create(paths.CONTROLLER, b"{}")
    await writes.set_config("/config/topics/t", {"a": "b"}, NOTIFY)
    await writes.set_config("/config/topics/t", {"a": "c"}, NOTIFY)
    assert stored(world, "/config/topics/t") == {"version": 1, "config": {"a": "c"}}
    names, _ = await world.admin.children(paths.CONFIG_CHANGES)
    assert [stored(world, f"{paths.CONFIG_CHANGES}/{name}") for name in names] == [
        {"version": 2, "entity_path": "topics/t"}
    ] * 2


async def test_configs_of_groups_need_nothing_that_is_there_already(world: World) -> None:
    writes = await writes_of(world)
    notify = (paths.GROUP_CONFIG_CHANGE, "groups/g")
    await writes.set_config("/config/groups/g", {"a": "b"}, notify, checked=False)
    assert stored(world, "/config/groups/g")["config"] == {"a": "b"}
    await writes.set_config("/config/groups/g", None, notify, checked=False)
    assert not world.has("/config/groups/g")


async def test_notifications_are_taken_once_each(world: World) -> None:
    taken: list[set[Entity]] = []

    async def take(changed: set[Entity]) -> None:
        taken.append(changed)

    await world.admin.create(paths.CONTROLLER, b"{}")
    writes = await writes_of(world)
    await writes.set_config("/config/topics/t", {}, NOTIFY)
    tree = MemberTree(await world.client(), wait_seconds=5)
    listening = ConfigNotifications(tree, paths.CONFIG_CHANGES, take, world.clock, world.tasks)
    await listening.start()
    assert taken == [{("topics", "t")}]
    await writes.set_config("/config/brokers/<default>", {}, (paths.CONFIG_CHANGE, "brokers/<default>"))
    await until(lambda: len(taken) == 2)
    assert taken[1] == {("brokers", "<default>")}
    # As Kafka wrote them once; what cannot be read is left out.
    old = b'{"version":1,"entity_type":"topics","entity_name":"old"}'
    await world.admin.create(f"{paths.CONFIG_CHANGES}/config_change_0000000088", b"?")
    await world.admin.create(f"{paths.CONFIG_CHANGES}/config_change_0000000089", old)
    await until(lambda: len(taken) == 3)
    assert taken[2] == {("topics", "old")}
    await listening.stop()


async def test_nodes_that_somebody_removed_come_back_to_be_deleted(world: World) -> None:
    controller = Controller()
    writes = await writes_of(world, controller)
    partitions = tuple(PartitionState(1, 3, replicas, replicas) for replicas in ((1, 2), (2, 1)))
    gone = TopicState("t", b"i" * 16, partitions, {})
    there = replace(TOPIC, name="u")
    await writes.create([there], fenced=True)
    hints, before = controller.hints, world.data("/brokers/topics/u")
    await writes.bring_back([replace(gone, name="u")])
    assert controller.hints == hints
    assert world.data("/brokers/topics/u") == before
    await writes.bring_back([gone])
    assert controller.hints == hints + 1
    assert stored(world, "/brokers/topics/t")["partitions"] == {"0": [1, 2], "1": [2, 1]}
    assert node_json.decode_topic("", world.data("/brokers/topics/t")).topic_id == b"i" * 16
    controller.is_active = False
    await world.admin.delete("/brokers/topics/t")
    with pytest.raises(KafkaError):
        await writes.bring_back([gone])
    assert not world.has("/brokers/topics/t")
