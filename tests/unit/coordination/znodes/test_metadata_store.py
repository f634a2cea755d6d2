"""The metadata store in a tree: Kafka's nodes, conditional, fenced, and right whatever answer is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from fastlog.coordination.store import (
    ANY_VERSION,
    ClusterMetadata,
    MetadataDamaged,
    PartitionRecord,
    StaleVersion,
    StoreError,
    TopicExists,
    TopicRecord,
)
from fastlog.coordination.znodes.fenced_tree import ControllerMoved, FencedTree
from fastlog.coordination.znodes.metadata_store import TreeMetadataStore
from fastlog.coordination.znodes.seat import OtherController
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.replies import Result
from fastlog.coordination.zookeeper.requests import Create, Read, SetData
from tests.unit.coordination.file_metadata import FileMetadata
from tests.unit.coordination.store_contract import check_conditions
from tests.unit.coordination.znodes.world import PARTITION, Cutter, World, topic


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def stored(world: World) -> ClusterMetadata:
    """What a broker that starts now reads."""
    store = world.store()
    metadata = await store.load()
    await store.close()
    return metadata


async def loaded(world: World, cutter: Cutter | None = None) -> TreeMetadataStore:
    store = world.store(cutter)
    await store.load()
    return store


async def test_every_change_is_there_after_a_restart(world: World) -> None:
    store = await loaded(world)
    a, b = topic("a", 2), topic("b", 1, x="y")
    await store.create_topics([a, b])
    await store.set_materialised("a", 2, 0)
    await store.add_partitions({"a": (1, [PARTITION])})
    await store.set_configs([replace(a, version=2, configs={"retention.ms": "5"})], {})
    moved = PartitionRecord((1,), (1,), 1, leader_epoch=7)
    await store.set_leadership({"a": {1: moved}})
    (marked,) = await store.mark_deleting([b])
    assert await store.mark_deleting([marked]) == [marked]
    await store.set_broker_configs(None, {"k": "v"})
    await store.set_broker_configs(1, {"own": "x"})
    await store.set_configs([], {"g/ä ": {"one": "1"}, "h": {"two": "2"}})
    assert await store.allocate_producer_ids(1000) == 0
    await store.close()
    metadata = await stored(world)
    found = metadata.topics["a"]
    assert (found.topic_id, found.partitions) == (a.topic_id, (PARTITION, moved, PARTITION))
    assert (dict(found.configs), found.materialised) == ({"retention.ms": "5"}, 2)
    assert metadata.topics["b"].deleting
    assert metadata.topics["b"].configs == {"x": "y"}
    assert metadata.broker_configs == {None: {"k": "v"}, 1: {"own": "x"}}
    assert metadata.group_configs == {"g/ä ": {"one": "1"}, "h": {"two": "2"}}
    again = await loaded(world)
    assert await again.allocate_producer_ids(1000) == 1000
    assert await again.allocate_producer_ids(1000, at_least=50_000) == 50_000
    await again.delete_topics(["b", "c"])
    await again.delete_topics(["b"])
    await again.set_broker_configs(1, {})
    await again.set_configs([], {"g/ä ": {}})
    await again.close()
    metadata = await stored(world)
    assert list(metadata.topics) == ["a"]
    assert metadata.broker_configs == {None: {"k": "v"}}
    assert metadata.group_configs == {"h": {"two": "2"}}
    assert not [path for path in world.nodes() if path.endswith("/b")]


async def test_conditions_are_checked(world: World) -> None:
    store = await loaded(world)
    await check_conditions(store, topic)
    await store.close()


async def test_thousands_of_partitions_and_topics_need_several_requests(world: World) -> None:
    store = await loaded(world)
    (large,) = await store.create_topics([topic("large", 3000)])
    (done,) = await store.complete_topics([large])
    assert done.materialised == 3000
    many = await store.create_topics([topic(f"t{number}", 1, k="v" * 3000) for number in range(500)])
    await store.complete_topics(many)
    await store.close()
    metadata = await stored(world)
    assert len(metadata.topics) == 501
    assert all(record.materialised == len(record.partitions) for record in metadata.topics.values())
    store = await loaded(world)
    await store.mark_deleting([replace(done, version=ANY_VERSION)])
    await store.delete_topics(["large"])
    await store.close()
    assert not [path for path in world.nodes() if "large" in path]


async def test_a_load_waits_for_few_answers_however_many_topics_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await loaded(world)
    made = await store.create_topics([topic(f"t{number}") for number in range(1000)])
    await store.complete_topics(made)
    await store.close()
    waits = 0
    ask = FencedTree._ask_lot

    async def counted(tree: FencedTree, requests: Sequence[Read], watch: Watch | None) -> list[Result | None]:
        nonlocal waits
        waits += 1
        return await ask(tree, requests, watch)

    monkeypatch.setattr(FencedTree, "_ask_lot", counted)
    assert len((await stored(world)).topics) == 1000
    assert waits < 50


Operation = Callable[[TreeMetadataStore], Awaitable[object]]
MOVED = PartitionRecord((1,), (1,), 1, leader_epoch=9)


async def _delete(store: TreeMetadataStore) -> None:
    await store.mark_deleting([replace(topic("a"), version=ANY_VERSION)])
    await store.delete_topics(["a"])


OPERATIONS: dict[str, Operation] = {
    "create": lambda store: store.create_topics([topic("new", 2), topic("other")]),
    "complete": lambda store: store.set_materialised("a", 2, ANY_VERSION),
    "grow": lambda store: store.add_partitions({"a": (ANY_VERSION, [PARTITION])}),
    "lead": lambda store: store.set_leadership({"a": {0: MOVED}}),
    "configs": lambda store: store.set_configs(
        [replace(topic("a", 2, k="2"), version=ANY_VERSION)], {"h": {"k": "2"}}
    ),
    "broker": lambda store: store.set_broker_configs(None, {"k": "2"}),
    "group": lambda store: store.set_configs([], {"g": {"k": "2"}}),
    "delete": _delete,
    "ids": lambda store: store.allocate_producer_ids(10),
}


@pytest.mark.parametrize("direction", ["requests", "answers"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_whatever_packet_is_lost_each_change_is_made_once(
    world: World, name: str, direction: str
) -> None:
    """Lost before or after it was carried out: the caller sees a change that was made, once."""
    for lost in range(12):
        setup = await loaded(world)
        if "a" in (await stored_topics(setup)):
            await _delete(setup)
        for former in ("new", "other"):
            await setup.mark_deleting([r for r in setup._nodes.records.values() if r.name == former])
            await setup.delete_topics([former])
        await setup.create_topics([topic("a", 2, k="1")])
        await setup.set_materialised("a", 1, ANY_VERSION)
        first = await setup.allocate_producer_ids(10)
        await setup.close()
        cutter = Cutter(world.keeper)
        store = await loaded(world, cutter)
        setattr(cutter, direction, lost)
        result = await OPERATIONS[name](store)
        left = getattr(cutter, direction)
        setattr(cutter, direction, None)
        if name == "ids":
            assert isinstance(result, int)
            assert result >= first + 10
        believed = dict(store._nodes.records)
        await store.allocate_producer_ids(1)
        await store.close()
        metadata = await stored(world)
        assert {record.name: versionless(record) for record in believed.values()} == {
            record.name: versionless(record) for record in metadata.topics.values()
        }
        check(name, metadata)
        if left is not None:
            return
    raise AssertionError("the operation has more packets than were tried")


async def stored_topics(store: TreeMetadataStore) -> set[str]:
    return set(store._nodes.records)


def versionless(record: TopicRecord) -> TopicRecord:
    return replace(record, version=0, configs=dict(record.configs))


def check(name: str, metadata: ClusterMetadata) -> None:
    a = metadata.topics.get("a")
    if name == "create":
        assert {"new", "other"} <= set(metadata.topics)
    elif name == "delete":
        assert a is None
    elif name in ("broker", "group", "ids"):
        assert a is not None
    else:
        assert a is not None
        assert {
            "complete": a.materialised == 2,
            "grow": len(a.partitions) == 3,
            "lead": a.partitions[0] == MOVED,
            "configs": a.configs == {"k": "2"},
        }[name]


async def test_nothing_is_written_by_who_is_the_controller_no_more(world: World) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    other = world.seat()
    other.client.session.start()
    await other.client.session.connected()
    await other.client.multi([SetData("/controller_epoch", b"2", 1)])
    with pytest.raises(ControllerMoved):
        await store.create_topics([topic("b")])
    assert "/kafka/brokers/topics/b" not in world.nodes()
    await other.close()
    await store.close()


async def test_after_a_session_that_ran_out_seat_and_registration_are_taken_anew(
    world: World,
) -> None:
    store = await loaded(world)
    seat = store._seat
    await seat.register(lambda: b"{}")
    epoch, session_id = seat.broker_epoch, seat.client.session.session_id
    world.keeper.close_session(session_id)
    world.keeper.peers[session_id].cut()
    await store.create_topics([topic("a")])
    assert seat.controller_epoch == 2
    for _ in range(200):
        if seat.broker_epoch > epoch:
            break
        await asyncio.sleep(0.01)
    assert seat.broker_epoch > epoch
    assert json.loads(world.nodes()["/kafka/controller"] or b"")["brokerid"] == 1
    await store.close()
    assert "/kafka/brokers/ids/1" not in world.nodes()


async def test_a_cluster_with_another_broker_is_left_alone(world: World) -> None:
    store = await loaded(world)
    await store._seat.register(lambda: b"{}")
    other = world.seat(node_id=2)
    with pytest.raises(OtherController, match="broker 1 is in this cluster"):
        await other.take()
    await other.close()
    await store.close()


async def test_a_creation_that_was_told_to_have_failed_is_undone(world: World) -> None:
    cutter = Cutter(world.keeper)
    store = await loaded(world, cutter)
    # Carried out, then no server for longer than a change waits.
    cutter.answers = 0
    connect, cutter._connect = cutter._connect, refuse
    with pytest.raises(StoreError, match="no ZooKeeper server"):
        await store.create_topics([topic("a")])
    assert "/kafka/brokers/topics/a" in world.nodes()
    cutter._connect = connect
    await asyncio.wait_for(store._seat.client.session.connected(), 10)
    (made,) = await store.create_topics([topic("a", 3)])
    assert len(made.partitions) == 3
    assert len(json.loads(world.nodes()["/kafka/brokers/topics/a"] or b"")["partitions"]) == 3
    await store.close()


async def refuse(_: object) -> object:
    raise ConnectionRefusedError


async def test_what_others_have_changed_is_not_undone(world: World) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    client = store._seat.client
    await client.set(
        "/brokers/topics/a",
        b'{"version":3,"partitions":{"0":[1],"1":[1]},"topic_id":"AAAAAAAAAAAAAAAAAAAAZQ"}',
    )
    with pytest.raises(StaleVersion):
        await store.add_partitions({"a": (ANY_VERSION, [PARTITION])})
    await client.submit(Create("/brokers/topics/b", b'{"version":3,"partitions":{"0":[1]}}'))
    with pytest.raises(TopicExists):
        await store.create_topics([topic("b")])
    await store.close()
    metadata = await stored(world)
    assert len(metadata.topics["a"].partitions) == 2
    # From before Kafka 2.8: an id is given and kept.
    assert (await stored(world)).topics["b"].topic_id == metadata.topics["b"].topic_id


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/brokers/topics/a", b"{"),
        ("/brokers/topics/a", b"[]"),
        ("/brokers/topics/a", b'{"partitions":{"1":[1]}}'),
        ("/brokers/topics/a", b'{"partitions":{"0":["x"]}}'),
        ("/brokers/topics/a", b'{"partitions":{"0":[1]},"topic_id":"short"}'),
        ("/brokers/topics/a/partitions/0/state", b'{"leader":1}'),
        ("/config/topics/a", b'{"version":1}'),
        ("/cluster/id", b"{}"),
        ("/latest_producer_id_block", b'{"block_end":"x"}'),
    ],
)
async def test_nodes_that_cannot_be_read_stop_the_start(world: World, path: str, data: bytes) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    await store.set_materialised("a", 1, 0)
    await store._seat.client.set(path, data)
    await store.close()
    other = world.store()
    with pytest.raises(MetadataDamaged, match=path):
        await other.load()
    await other.close()


async def test_another_clusters_directories_are_refused(world: World) -> None:
    store = world.store()
    assert (await store.load("given")).cluster_id == "given"
    await store.close()
    other = world.store()
    with pytest.raises(MetadataDamaged, match="do not belong to that cluster"):
        await other.load("different")
    await other.close()


async def test_the_file_of_a_broker_on_its_own_goes_into_the_tree_once(world: World) -> None:
    file = FileMetadata(world.directory)
    cluster_id = (await file.load()).cluster_id
    await file.create_topics([topic("a", 2, k="v"), topic("b"), topic("c")])
    await file.set_materialised("a", 2, ANY_VERSION)
    await file.set_leadership({"a": {1: MOVED}})
    await file.mark_deleting([replace(topic("b"), version=ANY_VERSION)])
    await file.set_broker_configs(1, {"k": "v"})
    await file.set_configs([], {"g": {"k": "v"}})
    await file.allocate_producer_ids(5000)
    former = file.read()
    # A crash in between: part of it is there already.
    half = world.store()
    await half.load(cluster_id)
    await half.create_topics([replace(former.topics["c"], materialised=0)])
    await half.close()
    store = world.store(former=world.directory)
    taken = await store.load(cluster_id)
    await store.close()
    assert not (world.directory / METADATA_FILE).exists()
    assert (world.directory / TAKEN_OVER).exists()
    for metadata in (taken, await stored(world)):
        assert metadata.cluster_id == cluster_id
        assert {name: versionless(record) for name, record in metadata.topics.items()} == {
            name: versionless(record) for name, record in former.topics.items()
        }
        assert metadata.broker_configs == former.broker_configs
        assert metadata.group_configs == former.group_configs
        assert metadata.next_producer_id >= 5000


async def test_without_room_nothing_new_is_stored_and_what_is_stored_comes_to_its_end(world: World) -> None:
    store = await loaded(world)
    (a, b) = await store.create_topics([topic("a", 2), topic("b")])
    before = world.nodes()
    store.ask_for_room(lambda: False)
    for change in (
        store.create_topics([topic("c")]),
        store.add_partitions({"a": (ANY_VERSION, [PARTITION])}),
        store.set_configs([replace(a, configs={"k": "v"})], {}),
        store.set_broker_configs(1, {"k": "v"}),
    ):
        with pytest.raises(StoreError, match="is full"):
            await change
    assert world.nodes() == before
    await store.complete_topics([a])
    await store.mark_deleting([b])
    await store.delete_topics(["b"])
    store.ask_for_room(lambda: True)
    await store.create_topics([topic("b")])
    await store.close()
