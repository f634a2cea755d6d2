"""Whatever packet between a member and the tree is lost, each change is made once, and its caller told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from fastlog.coordination.member.topic_writes import TopicWrites
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.topic_plan import MorePartitions
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.replies import Result
from fastlog.coordination.zookeeper.requests import Multi, Request
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.controller.tree_world import World
from tests.unit.coordination.member.test_topic_writes import RACKS, TOPIC, Controller
from tests.unit.coordination.znodes.world import Cutter

NEW: Final = [
    replace(TOPIC, name="new", topic_id=b"n" * 16),
    replace(TOPIC, name="other", topic_id=b"o" * 16),
]
CHANGED: Final = {"retention.ms": "7"}

OPERATIONS: Final[dict[str, Callable[[TopicWrites], Awaitable[object]]]] = {
    "create": lambda writes: writes.create(NEW, fenced=True),
    "create unfenced": lambda writes: writes.create(NEW, fenced=False),
    "grow": lambda writes: writes.grow(MorePartitions("t", 3), TOPIC.topic_id, RACKS),
    "configs": lambda writes: writes.set_config(
        paths.topic_config("t"), CHANGED, (paths.CONFIG_CHANGE, "topics/t")
    ),
    "broker": lambda writes: writes.set_config(
        paths.broker_config(None), CHANGED, (paths.CONFIG_CHANGE, "brokers/<default>")
    ),
    "group": lambda writes: writes.set_config(
        paths.group_config("g"), CHANGED, (paths.GROUP_CONFIG_CHANGE, "groups/g"), checked=False
    ),
    "delete": lambda writes: writes.delete(["t"]),
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        await made.admin.create(paths.CONTROLLER_EPOCH, b"4")
        await made.admin.create(paths.CONTROLLER, b"{}")
        yield made


async def reset(world: World) -> None:
    """Topic t alone, without a mark."""
    for path in (
        *(paths.topic(name) for name in ("t", "new", "other")),
        *(paths.topic_config(name) for name in ("t", "new", "other")),
        paths.deletion("t"),
        paths.broker_config(None),
        paths.group_config("g"),
    ):
        if world.has(path):
            await world.admin.delete(path)
    writes = TopicWrites(MemberTree(world.admin, wait_seconds=5), Controller())
    assert await writes.create([TOPIC], fenced=True) == {}


def check(world: World, name: str) -> None:
    """What the operation was to do is done, once, and nothing else."""

    def topic(of: str) -> controller_json.TopicNode:
        return controller_json.decode_topic("", world.data(paths.topic(of)))

    def configs(path: str) -> dict[str, str]:
        return node_json.decode_config(path, world.data(path))

    made = name.startswith("create")
    for record in NEW:
        assert world.has(paths.topic(record.name)) is made
        if made:
            assert topic(record.name).topic_id == record.topic_id
            assert configs(paths.topic_config(record.name)) == record.configs
    assert topic("t").topic_id == TOPIC.topic_id
    assert len(topic("t").assignments) == (3 if name == "grow" else 2)
    assert configs(paths.topic_config("t")) == (CHANGED if name == "configs" else TOPIC.configs)
    assert world.has(paths.deletion("t")) is (name == "delete")
    for what, path in (("broker", paths.broker_config(None)), ("group", paths.group_config("g"))):
        assert world.has(path) is (name == what)
        if name == what:
            assert configs(path) == CHANGED


@pytest.mark.parametrize("direction", ["requests", "answers"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_whatever_packet_is_lost_each_change_is_made_once(
    world: World, name: str, direction: str
) -> None:
    for lost in range(20):
        await reset(world)
        cutter = Cutter(world.keeper)
        client = await world.client(cutter)
        setattr(cutter, direction, lost)
        outcome = await OPERATIONS[name](TopicWrites(MemberTree(client, wait_seconds=5), Controller()))
        left = getattr(cutter, direction)
        setattr(cutter, direction, None)
        await client.session.close()
        assert outcome in ({}, 3, None)
        check(world, name)
        if left is not None:
            return
    raise AssertionError("the operation has more packets than were tried")


async def test_a_write_over_connections_that_always_break_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reset(world)
    client = await world.client()
    submit, tried = client.submit, 0

    def cut(request: Request, watch: Watch | None = None) -> asyncio.Future[Result]:
        nonlocal tried
        if isinstance(request, Multi) and client.session._link is not None:
            tried += 1
            client.session._link.end("cut")
        return submit(request, watch)

    monkeypatch.setattr(client, "submit", cut)
    writes = TopicWrites(MemberTree(client, wait_seconds=5), Controller())
    with pytest.raises(KafkaError) as caught:
        await OPERATIONS["broker"](writes)
    assert caught.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    assert tried == 5
    monkeypatch.undo()
    await OPERATIONS["broker"](writes)
    check(world, "broker")


async def refuse(_: object) -> object:
    raise ConnectionRefusedError


async def test_a_queue_of_writes_without_a_server_waits_no_longer_than_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutter = Cutter(world.keeper)
    client = await world.client(cutter)
    tree = MemberTree(client, wait_seconds=0.2)
    client.session.on_state = tree.on_state
    writes = TopicWrites(tree, Controller())
    cutter.requests = 0
    monkeypatch.setattr(cutter, "_connect", refuse)
    with pytest.raises(KafkaError, match="no ZooKeeper server"):
        await OPERATIONS["broker"](writes)
    wait_for, waits = asyncio.wait_for, list[float | None]()

    def noted(awaitable: Awaitable[None], timeout: float | None) -> Awaitable[None]:
        waits.append(timeout)
        return wait_for(awaitable, timeout)

    monkeypatch.setattr("fastlog.coordination.member.tree.asyncio.wait_for", noted)
    changes = (OPERATIONS[name](writes) for name in OPERATIONS if name != "create unfenced")
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert all(isinstance(outcome, KafkaError) for outcome in outcomes), outcomes
    # It is known for long enough that nobody is there.
    assert set(waits) == {0}


async def test_what_is_too_large_for_one_request_is_refused_and_nothing_else_is_harmed(world: World) -> None:
    client = await world.client()
    writes = TopicWrites(MemberTree(client, wait_seconds=5), Controller())
    session, large = client.session.session_id, {"k": "v" * 5_000_000}
    failed = await writes.create([replace(TOPIC, configs=large), NEW[0]], fenced=True)
    assert failed.keys() == {"t"}
    assert "takes 5000" in str(failed["t"])
    with pytest.raises(KafkaError, match="takes 1000"):
        await writes.set_config(
            paths.broker_config(None), {"k": "v" * 1_000_000}, (paths.CONFIG_CHANGE, "brokers/<default>")
        )
    assert client.session.session_id == session
    assert not world.has(paths.topic("t"))
    assert not world.has(paths.broker_config(None))
    assert world.has(paths.topic("new"))
