"""Hands in the tree of a broker's own keeper: what others do to its nodes while it runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.config_changes import ConfigKind
from fastlog.coordination.producer_ids import BLOCK_SIZE
from fastlog.coordination.topic_plan import MorePartitions
from fastlog.coordination.znodes import paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.controller.tree_world import until
from tests.unit.coordination.world import NODE, Broker, World, code_of

THEIRS = b'{"version":3,"partitions":{"0":[1],"1":[1]},"topic_id":"AAAAAAAAAAAAAAAAAAAAZQ",%s}' % (
    b'"adding_replicas":{},"removing_replicas":{}'
)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def broker(world: World) -> AsyncIterator[Broker]:
    broker = await world.start()
    yield broker
    await broker.stop()


@pytest.fixture
async def hands(broker: Broker) -> AsyncIterator[ZkClient]:
    """A session beside the broker's."""
    clock = SystemClock()
    session = ZkSession([broker.keeper.connector], clock, tasks=Supervisor(clock.monotonic))
    session.start()
    await session.connected()
    yield ZkClient(session)
    await session.close()


async def remove_all(hands: ZkClient, path: str) -> None:
    """A node and all below it."""
    for name in (await hands.children(path))[0]:
        await remove_all(hands, f"{path}/{name}")
    await hands.delete(path)


async def configure(broker: Broker, name: str, value: str) -> None:
    await broker.topics.change_config(ConfigKind.TOPIC, name, {"retention.ms": value})


async def test_a_topic_with_nodes_that_are_not_kafkas_can_be_deleted(broker: Broker, hands: ZkClient) -> None:
    for name in ("a", "b"):
        await broker.topics.create(name, 2)
    for path in (
        "/brokers/topics/a/notes",
        "/brokers/topics/a/partitions/x",
        "/brokers/topics/a/partitions/1/state/below",
        "/brokers/topics/a/partitions/7/state",
        "/config/topics/a/more/and/more",
    ):
        await hands.ensure(path)
    await broker.delete("a")
    assert not [path for path in broker.nodes if "/a" in path.replace("/admin", "")]
    assert (await broker.topics.create("a", 1)).name == "a"


async def test_a_topic_that_somebody_has_removed_can_be_deleted_and_made_anew(
    broker: Broker, hands: ZkClient
) -> None:
    former = await broker.topics.create("a", 1)
    await remove_all(hands, paths.topic("a"))
    assert await code_of(broker.grow("a", 2)) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    await broker.delete("a")
    assert "a" not in broker.view.topics
    assert (await broker.topics.create("a", 1)).topic_id != former.topic_id


@pytest.mark.parametrize("node", [paths.state("a", 0), paths.topic_config("a")])
async def test_a_topic_whose_state_or_config_somebody_has_removed_can_be_changed(
    broker: Broker, hands: ZkClient, node: str
) -> None:
    await broker.topics.create("a", 1)
    await hands.delete(node)
    await configure(broker, "a", "7")
    assert broker.view.topics["a"].configs == {"retention.ms": "7"}
    assert json.loads(broker.keeper.nodes.nodes[paths.topic_config("a")].data or b"")["config"]
    assert len((await broker.grow("a", 2)).partitions) == 2
    await broker.delete("a")
    assert not [path for path in broker.nodes if path.endswith("/a")]


async def test_a_topic_that_somebody_else_has_made_is_led_and_stays_theirs(
    broker: Broker, hands: ZkClient
) -> None:
    await hands.create(paths.topic("a"), THEIRS)
    await until(lambda: "a" in broker.view.topics)
    assert broker.view.topics["a"].topic_id == bytes(15) + b"e"
    assert await code_of(broker.topics.create("a", 1)) is ErrorCode.TOPIC_ALREADY_EXISTS
    await until(lambda: len(broker.lifecycle.led) == 2)
    assert broker.keeper.nodes.nodes[paths.topic("a")].data == THEIRS


async def test_a_topic_that_somebody_else_lets_grow_grows(broker: Broker, hands: ZkClient) -> None:
    await broker.topics.create("a", 1)
    data = json.loads((await hands.get(paths.topic("a")))[0] or b"")
    data["partitions"]["1"] = [NODE]
    await hands.set(paths.topic("a"), json.dumps(data).encode())
    await until(lambda: ("a", 1) in broker.lifecycle.led)
    assert await code_of(broker.grow("a", 2)) is ErrorCode.INVALID_PARTITIONS
    assert len((await broker.grow("a", 3)).partitions) == 3


async def test_controller_and_registration_that_somebody_removes_come_back(
    broker: Broker, hands: ZkClient
) -> None:
    controller, registration = broker.member.controller, broker.member.registration
    for round_ in range(2, 5):
        epoch = registration.broker_epoch
        await hands.delete(paths.CONTROLLER)
        await hands.delete(paths.broker_id(NODE))
        await until(lambda epoch=epoch: registration.broker_epoch > epoch)  # type: ignore[misc]
        await until(lambda round_=round_: controller.epoch == round_ and controller.has_begun)  # type: ignore[misc]
        await broker.topics.create(f"t{round_}", 1)
        assert {paths.CONTROLLER, paths.broker_id(NODE)} <= set(broker.nodes)


@pytest.mark.parametrize("change", ["grow", "delete"])
async def test_a_topic_that_cannot_be_read_keeps_no_other_from_being_changed(
    broker: Broker, hands: ZkClient, change: str
) -> None:
    await broker.topics.create("a", 1)
    before = broker.keeper.nodes.nodes[paths.topic("a")].data
    await hands.set(paths.topic("a"), b"no JSON")
    (failed,) = await broker.topics.create_more_partitions([MorePartitions("a", 2)])
    assert isinstance(failed, Exception)
    await broker.topics.create("b", 1)
    assert broker.keeper.nodes.nodes[paths.topic("a")].data == b"no JSON"
    if change == "grow":
        # Mended by hand: then it can be changed again.
        await hands.set(paths.topic("a"), before)
        assert len((await broker.grow("a", 2)).partitions) == 2
    else:
        await broker.delete("a")
        await broker.topics.create("a", 1)


@pytest.mark.parametrize("broken", [None, b"no JSON"])
async def test_producer_ids_that_somebody_has_changed_keep_nothing_else_from_being_changed(
    broker: Broker, hands: ZkClient, broken: bytes | None
) -> None:
    ids = broker.producer_ids
    given = {await ids.allocate()}
    if broken is None:
        await hands.delete(paths.PRODUCER_IDS)
    else:
        await hands.set(paths.PRODUCER_IDS, broken)
    # What is left of the block that this broker has is given without a look at the node.
    given |= {await ids.allocate() for _ in range(BLOCK_SIZE - 1)}
    if broken is not None:
        with pytest.raises(KafkaError):
            await ids.allocate()
        await broker.topics.create("a", 1)
        await hands.set(paths.PRODUCER_IDS, None)
    given.add(await ids.allocate())
    assert len(given) == BLOCK_SIZE + 1
    await broker.topics.create("b", 1)


@pytest.mark.parametrize("parent", [paths.TOPICS, paths.TOPIC_CONFIGS, paths.CONFIG_CHANGES, paths.DELETIONS])
async def test_parents_that_somebody_has_removed_are_made_again(
    broker: Broker, hands: ZkClient, parent: str
) -> None:
    await remove_all(hands, parent)
    for name in ("a", "b"):
        await broker.topics.create(name, 1)
        await configure(broker, name, "7")
        await broker.delete(name)
    made = await broker.topics.create("c", 1)
    assert isinstance(made, TopicState)
    assert parent in broker.nodes


async def test_a_session_with_a_brokers_node_of_its_own_stops_nothing(
    broker: Broker, hands: ZkClient, caplog: pytest.LogCaptureFixture
) -> None:
    await hands.create(paths.broker_id(2), b"odd", mode=CreateMode.EPHEMERAL)
    await hands.create(paths.broker_id(3), b"odd")
    await hands.create(f"{paths.BROKER_IDS}/x", b"odd")
    await until(lambda: f"{paths.broker_id(3)}" in caplog.text)
    await broker.topics.create("a", 1)
    assert broker.view.broker_ids() == [NODE]


async def test_what_somebody_writes_into_the_controllers_node_stops_nothing(
    broker: Broker, hands: ZkClient
) -> None:
    await hands.set(paths.CONTROLLER, b"no JSON")
    await hands.delete(paths.broker_id(NODE))
    await until(lambda: paths.broker_id(NODE) in broker.nodes)
    await broker.topics.create("a", 1)


async def test_names_that_are_no_topics_are_left_alone(world: World) -> None:
    broker = await world.start()
    odd = ["a b", "ü", "x" * 250, "__cluster_metadata", "\\", "%2F"]
    clock = SystemClock()
    session = ZkSession([broker.keeper.connector], clock, tasks=Supervisor(clock.monotonic))
    session.start()
    await session.connected()
    for name in odd:
        await ZkClient(session).create(paths.topic(name), b"no JSON")
        await ZkClient(session).create(paths.deletion(name))
    await session.close()
    await broker.topics.create("a", 1)
    await broker.stop()
    again = await world.start()
    assert list(again.view.topics) == ["a"]
    assert {paths.topic(name) for name in odd} <= set(again.nodes)
    await again.stop()
