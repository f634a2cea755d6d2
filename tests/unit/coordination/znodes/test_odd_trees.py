"""Trees that others have had their hands in, and writes of which nobody knows whether they were made."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from fastlog.coordination.store import (
    ANY_VERSION,
    MetadataDamaged,
    PartitionRecord,
    StaleVersion,
    StoreError,
    TopicExists,
)
from fastlog.coordination.znodes.metadata_store import TreeMetadataStore
from fastlog.coordination.znodes.node_json import encode_broker
from fastlog.coordination.znodes.seat import ClusterSeat
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.replies import Result
from fastlog.coordination.zookeeper.requests import Create, Multi, Request
from tests.unit.coordination.file_metadata import FileMetadata
from tests.unit.coordination.znodes.world import PARTITION, Cutter, World, topic


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def loaded(world: World, cutter: Cutter | None = None) -> TreeMetadataStore:
    store = world.store(cutter)
    await store.load()
    return store


async def set_configs(store: TreeMetadataStore, name: str, configs: dict[str, str]) -> None:
    await store.set_configs([replace(topic(name), version=ANY_VERSION, configs=configs)], {})


async def refuse(_: object) -> object:
    raise ConnectionRefusedError


def metadata_nodes(world: World) -> dict[str, bytes | None]:
    """All but notifications, what belongs to sessions, and topic b."""
    return {
        path: data
        for path, data in world.nodes().items()
        if not path.endswith("/b") and "config_change" not in path and "/controller" not in path
    }


async def until(world: World, path: str, *, there: bool = True) -> None:
    for _ in range(300):
        if (path in world.nodes()) is there:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path}: {'missing' if there else 'there'}")


async def test_names_that_are_no_topics_and_no_brokers_are_left_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    client = store._seat.client
    odd = ["a b", "ü", "x" * 250, "__cluster_metadata", "\\", "%2F"]
    for name in odd:
        await client.create(f"/brokers/topics/{name}", b"no JSON")
        await client.create(f"/admin/delete_topics/{name}")
    for name in ("x", "-1", "01", "٣", "9" * 5000, "<defaults>"):
        await client.create(f"/config/brokers/{name}", b'{"version":1,"config":{"k":"v"}}')
    await store.close()
    caplog.set_level(logging.WARNING)
    store = world.store()
    metadata = await store.load()
    await store.close()
    assert list(metadata.topics) == ["a"]
    assert metadata.broker_configs == {}
    assert "'a b' contains characters" in caplog.text
    assert all(f"/kafka/brokers/topics/{name}" in world.nodes() for name in odd)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"partitions":' * 50_000, b"9" * 100_000, b"\xff" * 1000, b"", None, b"1e999"]
)
@pytest.mark.parametrize("path", ["/brokers/topics/a", "/config/topics/a", "/controller_epoch"])
async def test_no_data_whatever_ends_in_anything_but_words(
    world: World, path: str, data: bytes | None
) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    await store._seat.client.set(path, data)
    await store.close()
    other = world.store()
    if path == "/config/topics/a" and not data:
        assert (await other.load()).topics["a"].configs == {}
    else:
        with pytest.raises(StoreError, match=path):
            await other.load()
    await other.close()


async def test_a_topic_with_nodes_that_are_not_kafkas_can_be_deleted(world: World) -> None:
    store = await loaded(world)
    for name in ("a", "b"):
        await store.create_topics([topic(name, 2)])
        await store.set_materialised(name, 2, ANY_VERSION)
    client = store._seat.client
    for path in (
        "/brokers/topics/a/notes",
        "/brokers/topics/a/partitions/x",
        "/brokers/topics/a/partitions/1/state/below",
        "/brokers/topics/a/partitions/7/state",
        "/config/topics/a/more/and/more",
    ):
        await client.ensure(path)
    (marked,) = await store.mark_deleting([replace(topic("a"), version=ANY_VERSION)])
    await client.ensure("/admin/delete_topics/a/below")
    await store.delete_topics([marked.name])
    assert not [path for path in world.nodes() if "/a" in path.replace("/admin", "")]
    (made,) = await store.create_topics([topic("a")])
    assert made.name == "a"
    await store.close()


async def test_a_topic_that_somebody_has_removed_can_be_deleted_and_made_anew(world: World) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    record = await store.set_materialised("a", 1, ANY_VERSION)
    client = store._seat.client
    for path in ("/a/partitions/0/state", "/a/partitions/0", "/a/partitions", "/a"):
        await client.delete(f"/brokers/topics{path}")
    with pytest.raises(StoreError, match="somebody else"):
        await store.add_partitions({"a": (ANY_VERSION, [PARTITION])})
    with pytest.raises(StoreError, match="does not exist"):
        await store.add_partitions({"a": (ANY_VERSION, [PARTITION])})
    (marked,) = await store.mark_deleting([record])
    assert marked.deleting
    await store.delete_topics(["a"])
    await store.create_topics([topic("a")])
    await store.close()


@pytest.mark.parametrize("node", ["/brokers/topics/a/partitions/0/state", "/config/topics/a"])
async def test_a_state_or_config_that_somebody_has_removed_is_written_again(world: World, node: str) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    await store.set_materialised("a", 1, ANY_VERSION)
    await store._seat.client.delete(node)
    led = PartitionRecord((1,), (1,), 1, leader_epoch=3)
    if node.endswith("state"):
        with pytest.raises(StoreError):
            await store.set_leadership({"a": {0: led}})
    await store.set_leadership({"a": {0: led}})
    await set_configs(store, "a", {"k": "v"})
    assert node in {path.removeprefix("/kafka") for path in world.nodes()}
    await store.mark_deleting([replace(topic("a"), version=ANY_VERSION)])
    await store.delete_topics(["a"])
    await store.close()


async def test_a_topic_that_somebody_else_has_made_or_changed_stays_theirs(world: World) -> None:
    store = await loaded(world)
    await store.create_topics([topic("b")])
    client = store._seat.client
    theirs = b'{"version":3,"partitions":{"0":[1],"1":[1]},"topic_id":"AAAAAAAAAAAAAAAAAAAAZQ"}'
    await client.submit(Create("/brokers/topics/a", theirs))
    await client.set("/brokers/topics/b", theirs)
    for _ in range(3):
        with pytest.raises(TopicExists):
            await store.create_topics([topic("a")])
        with pytest.raises(StaleVersion):
            await store.add_partitions({"b": (ANY_VERSION, [PARTITION])})
    await store.allocate_producer_ids(1)
    assert [world.nodes()[f"/kafka/brokers/topics/{name}"] for name in "ab"] == [theirs, theirs]
    await store.close()


async def test_controller_and_registration_that_somebody_removes_come_back(world: World) -> None:
    store = await loaded(world)
    seat = store._seat
    await seat.register(lambda: b"{}")
    for round_ in range(2, 5):
        epoch = seat.broker_epoch
        await seat.client.delete("/controller")
        await seat.client.delete("/brokers/ids/1")
        # What is written meanwhile is written, be it under the old epoch or the new one.
        await store.create_topics([topic(f"t{round_}")])
        await until(world, "/kafka/controller")
        await until(world, "/kafka/brokers/ids/1")
        for _ in range(300):
            if seat.broker_epoch > epoch and seat.controller_epoch == round_:
                break
            await asyncio.sleep(0.01)
        assert (seat.broker_epoch > epoch, seat.controller_epoch) == (True, round_)
    await store.close()


async def test_what_is_too_large_for_one_request_is_refused_and_nothing_else_is_harmed(world: World) -> None:
    store = await loaded(world)
    passed = store._seat.client.session.session_id
    with pytest.raises(StoreError, match="takes 5000"):
        await store.create_topics([topic("a", 1, k="v" * 5_000_000)])
    with pytest.raises(StoreError, match="takes 1"):
        await store.set_broker_configs(None, {"k": "v" * 1_000_000})
    await store.create_topics([topic("a")])
    assert store._seat.client.session.session_id == passed
    assert "/kafka/config/brokers/<default>" not in world.nodes()
    await store.close()


async def test_a_write_over_connections_that_always_break_ends(world: World) -> None:
    store = await loaded(world)
    client, session = store._seat.client, store._seat.client.session
    submit, tried = client.submit, 0

    def cut(request: Request, watch: Watch | None = None) -> asyncio.Future[Result]:
        nonlocal tried
        if isinstance(request, Multi) and session._link is not None:
            tried += 1
            session._link.end("cut")
        return submit(request, watch)

    client.submit = cut  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="again and again"):
        await asyncio.wait_for(store.set_broker_configs(1, {"k": "v"}), 30)
    assert tried == 5
    client.submit = submit  # type: ignore[method-assign]
    await store.set_broker_configs(1, {"k": "v"})
    await store.close()


async def test_a_queue_of_writes_without_a_server_takes_no_longer_than_one(world: World) -> None:
    cutter = Cutter(world.keeper)
    store = await loaded(world, cutter)
    cutter.requests = 0
    cutter._connect = refuse  # type: ignore[assignment]
    began = world.clock.monotonic()
    writes = [store.set_broker_configs(1, {"k": str(number)}) for number in range(10)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert world.clock.monotonic() - began < 2 * 2 + 0.5
    await store.close()


@pytest.mark.parametrize("change", ["configs", "broker", "group", "no group", "grow"])
async def test_a_change_that_was_told_to_have_failed_is_taken_back(world: World, change: str) -> None:
    cutter = Cutter(world.keeper)
    store = await loaded(world, cutter)
    await store.create_topics([topic("a", 1, k="1")])
    await store.set_materialised("a", 1, ANY_VERSION)
    await store.set_configs([], {"g": {"k": "1"}})
    before = metadata_nodes(world)
    store._seat._wait_seconds = 0.2
    connect, cutter._connect = cutter._connect, refuse  # type: ignore[assignment]
    # Reads come first; then the write is carried out, and its answer lost.
    cutter.answers = 1 if change != "grow" else 0
    if change == "group":
        cutter.answers = 3
    with pytest.raises(StoreError):
        await {
            "configs": lambda: set_configs(store, "a", {"k": "2"}),
            "broker": lambda: store.set_broker_configs(None, {"k": "2"}),
            "group": lambda: store.set_configs([], {"g": {"k": "2"}}),
            "no group": lambda: store.set_configs([], {"g": {}}),
            "grow": lambda: store.add_partitions({"a": (ANY_VERSION, [PARTITION])}),
        }[change]()
    assert metadata_nodes(world) != before
    cutter._connect = connect
    await asyncio.wait_for(store._seat.client.session.connected(), 10)
    store._seat._wait_seconds = 2
    await store.create_topics([topic("b")])
    assert metadata_nodes(world) == before
    await store.add_partitions({"a": (ANY_VERSION, [PARTITION])})
    await store.close()


async def test_a_file_that_contradicts_the_tree_is_not_taken_over(world: World) -> None:
    file = FileMetadata(world.directory)
    cluster_id = (await file.load()).cluster_id
    await file.create_topics([topic("a"), topic("b")])
    store = world.store(former=world.directory)
    await store.load(cluster_id)
    await store.create_topics([topic("c")])
    await store.close()
    (world.directory / TAKEN_OVER).rename(world.directory / METADATA_FILE)
    before = world.nodes()
    other = world.store(former=world.directory)
    with pytest.raises(MetadataDamaged, match=r"topic c is in the tree.*nothing was taken over"):
        await other.load(cluster_id)
    await other.close()
    assert (world.directory / METADATA_FILE).exists()
    assert world.nodes().keys() - {"/kafka/controller"} == before.keys() - {"/kafka/controller"}


def test_a_registration_names_a_rack_only_if_there_is_one() -> None:
    endpoints = [("TLS", "h", 1, "SSL"), ("IN", "::1", 2, "PLAINTEXT"), ("OUT", "i", 3, "PLAINTEXT")]
    plain = json.loads(encode_broker(endpoints, None, 5))
    assert "rack" not in plain
    assert (plain["host"], plain["port"], plain["jmx_port"], plain["timestamp"]) == ("::1", 2, -1, "5")
    assert plain["endpoints"] == ["TLS://h:1", "IN://[::1]:2", "OUT://i:3"]
    assert json.loads(encode_broker(endpoints[:1], "r", 5)) | {"features": {}} == {
        **plain,
        "host": None,
        "port": -1,
        "endpoints": ["TLS://h:1"],
        "listener_security_protocol_map": {"TLS": "SSL"},
        "rack": "r",
    }


@pytest.mark.parametrize("change", ["grow", "delete"])
async def test_a_topic_that_cannot_be_read_keeps_no_other_from_being_changed(
    world: World, change: str
) -> None:
    store = await loaded(world)
    await store.create_topics([topic("a")])
    before = world.nodes()["/kafka/brokers/topics/a"]
    await store._seat.client.set("/brokers/topics/a", b"no JSON")
    with pytest.raises(StaleVersion):
        await store.add_partitions({"a": (ANY_VERSION, [PARTITION])})
    await store.create_topics([topic("b")])
    assert world.nodes()["/kafka/brokers/topics/a"] == b"no JSON"
    if change == "grow":
        # Mended by hand: then it can be changed again.
        await store._seat.client.set("/brokers/topics/a", before)
        await store.add_partitions({"a": (ANY_VERSION, [PARTITION])})
    else:
        await store.mark_deleting([replace(topic("a"), version=ANY_VERSION)])
        await store.delete_topics(["a"])
        await store.create_topics([topic("a")])
    await store.close()


@pytest.mark.parametrize("broken", [None, b"no JSON"])
async def test_producer_ids_that_somebody_has_changed_keep_nothing_else_from_being_changed(
    world: World, broken: bytes | None
) -> None:
    store = await loaded(world)
    first = await store.allocate_producer_ids(1000)
    client = store._seat.client
    if broken is None:
        await client.delete("/latest_producer_id_block")
    else:
        await client.set("/latest_producer_id_block", broken)
    with pytest.raises(StoreError):
        await store.allocate_producer_ids(1000)
    await store.create_topics([topic("a")])
    if broken is not None:
        with pytest.raises(MetadataDamaged):
            await store.allocate_producer_ids(1000)
        await client.set("/latest_producer_id_block", None)
    assert await store.allocate_producer_ids(1000) >= first + 1000
    await store.close()


async def test_parents_that_somebody_has_removed_are_made_again(world: World) -> None:
    store = await loaded(world)
    client = store._seat.client
    for number, path in enumerate(["/brokers/topics", "/config/topics", "/config/changes"]):
        for child in (await client.children(path))[0]:
            await client.delete(f"{path}/{child}")
        await client.delete(path)
        for again in (False, True):
            name = f"t{number}{again}"
            try:
                await store.create_topics([topic(name)])
                await set_configs(store, name, {"k": "v"})
            except StoreError as error:
                assert not again, error
    await client.delete("/admin/delete_topics")
    record = replace(topic("t2True"), version=ANY_VERSION)
    with pytest.raises(StoreError):
        await store.mark_deleting([record])
    await store.mark_deleting([record])
    await store.delete_topics([record.name])
    await store.close()


async def foreign_client(world: World) -> ClusterSeat:
    """One that has no business here."""
    foreign = world.seat(node_id=7)
    foreign.client.session.start()
    await foreign.client.session.connected()
    await foreign._make_root()
    await foreign.client.ensure("/brokers/ids")
    return foreign


@pytest.mark.parametrize("path", ["/brokers/ids/2", "/controller"])
async def test_nodes_of_a_client_that_is_gone_do_not_stop_a_broker_with_its_keeper(
    world: World, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Sessions run out while the keeper runs, and that is as long as the broker does."""
    foreign = await foreign_client(world)
    await foreign.client.submit(Create(path, b"odd", flags=CreateMode.EPHEMERAL))
    peer = world.keeper.peers[foreign.client.session.session_id]
    seat = world.seat(own_keeper=True)
    caplog.set_level(logging.INFO)
    taking = asyncio.create_task(seat.take())
    while "waiting for its session to end" not in caplog.text:  # noqa: ASYNC110 - it is said in words alone
        await asyncio.sleep(0.01)
    assert not taking.done()
    world.keeper.close_session(peer.session_id)
    await asyncio.wait_for(taking, 10)
    await seat.close()
    await foreign.close()


async def test_a_node_that_no_session_holds_is_no_other_broker(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = await foreign_client(world)
    await foreign.client.create("/brokers/ids/2", b"odd")
    await foreign.close()
    store = await loaded(world)
    await store.create_topics([topic("a")])
    assert "is of no broker, and is left alone" in caplog.text
    await store.close()


async def test_what_somebody_writes_into_the_controllers_node_stops_nothing(world: World) -> None:
    store = await loaded(world)
    seat = store._seat
    await seat.register(lambda: b"{}")
    await seat.client.set("/controller", b"no JSON")
    await seat.client.delete("/brokers/ids/1")
    await until(world, "/kafka/brokers/ids/1")
    await store.create_topics([topic("a")])
    await store.close()
