"""Taking metadata into a tree, with a crash between any two writes."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.base.files import make_directories
from fastlog.coordination.embedded import KEEPER_DIRECTORY, MOVED_AWAY
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from fastlog.coordination.member.adoption import OtherController
from fastlog.coordination.offline import read_offline
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged, PartitionRecord, StoreError
from fastlog.coordination.znodes import feature_node, paths, takeover
from fastlog.coordination.znodes.fenced_tree import FencedTree, Part
from fastlog.coordination.znodes.node_json import (
    NO_FEATURES,
    encode_broker,
    encode_cluster_id,
    encode_controller,
    encode_topic,
)
from fastlog.coordination.znodes.registration import make_paths
from fastlog.coordination.znodes.takeover import FormerFile, FormerTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.codes import CreateMode
from tests.unit.coordination.file_metadata import ANY_VERSION, FileMetadata
from tests.unit.coordination.znodes.world import World, topic

MOVED = PartitionRecord((1,), (1,), 1, leader_epoch=5)


async def file_in(directory: Path) -> ClusterMetadata:
    """A file with all that there may be in one."""
    make_directories(directory)
    file = FileMetadata(directory)
    await file.load()
    await file.create_topics([topic("a", 2, k="v"), topic("b"), topic("c"), topic("d", 3)])
    await file.set_materialised("a", 2, ANY_VERSION)
    await file.set_leadership({"a": {1: MOVED}})
    await file.set_materialised("b", 1, ANY_VERSION)
    await file.mark_deleting([replace(topic("b"), version=ANY_VERSION)])
    await file.set_materialised("d", 1, ANY_VERSION)
    await file.set_broker_configs(1, {"k": "v"})
    await file.set_configs([], {"g": {"k": "v"}})
    await file.allocate_producer_ids(5000)
    return file.read()


def essence(metadata: ClusterMetadata) -> object:
    topics = {name: replace(record, version=0) for name, record in metadata.topics.items()}
    return (
        metadata.cluster_id,
        topics,
        metadata.broker_configs,
        metadata.group_configs,
        metadata.next_producer_id,
    )


def killed_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """Lets so many writes through, and no other."""
    commit, left = FencedTree.commit, writes

    async def count(tree: FencedTree, parts: Sequence[Part]) -> list[int]:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreError("killed")
        return await commit(tree, parts)

    monkeypatch.setattr(FencedTree, "commit", count)


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be several requests is: so many parts that nobody could have written them at once."""
    monkeypatch.setattr(takeover, "in_lots", lambda groups: [list(group) for group in groups])


async def test_whichever_write_is_the_last_before_a_crash_the_next_start_takes_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = await file_in(tmp_path / "old")
    for writes in range(100):
        (directory := tmp_path / f"at{writes}").mkdir()
        shutil.copy(tmp_path / "old" / METADATA_FILE, directory)
        async with World(directory) as world:
            with monkeypatch.context() as patched:
                killed_after(patched, writes)
                try:
                    taken = await world.adopt(FormerFile([directory]), former.cluster_id)
                except StoreError:
                    assert (directory / METADATA_FILE).exists()
                else:
                    assert essence(taken) == essence(former)
                    assert writes > 8
                    return
            again = await world.adopt(FormerFile([directory]), former.cluster_id)
            assert essence(again) == essence(former), writes


@pytest.mark.parametrize("writes", [0, 4, 7])
async def test_a_file_that_is_half_in_the_keeper_goes_to_an_ensemble_as_a_whole(
    tmp_path: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = await file_in(tmp_path / "old")
    async with World(tmp_path / "old") as own:
        with monkeypatch.context() as patched:
            killed_after(patched, writes)
            with pytest.raises(StoreError):
                await own.adopt(FormerFile([tmp_path / "old"]), former.cluster_id)
    assert essence(read_offline([tmp_path / "old"])) == essence(former)
    (tmp_path / "ensemble").mkdir()
    async with World(tmp_path / "ensemble") as world:
        taken = await world.adopt(FormerTree([tmp_path / "old"]), former.cluster_id)
        assert essence(taken) == essence(former)
    names = {path.name for path in (tmp_path / "old").iterdir()}
    assert {MOVED_AWAY, TAKEN_OVER} <= names
    assert not {KEEPER_DIRECTORY, METADATA_FILE} & names


@pytest.mark.parametrize("levels", [None, {}, {"transaction.version": 1}])
async def test_what_was_decided_about_features_goes_along(
    tmp_path: Path, levels: dict[str, int] | None
) -> None:
    """Also that none is finalized; what nobody has changed is nothing that was decided."""
    (tmp_path / "old").mkdir()
    async with World(tmp_path / "old") as own:
        client = own.tree().client
        await client.session.connected()
        root = ZkClient(client.session)
        await root.ensure(*paths.PERSISTENT, "/cluster")
        await root.create(paths.CLUSTER_ID, encode_cluster_id("id"))
        await root.create(paths.FEATURE, NO_FEATURES)
        if levels is not None:
            await root.set(paths.FEATURE, feature_node.encode(levels))
        await client.session.close()
    (tmp_path / "ensemble").mkdir()
    async with World(tmp_path / "ensemble") as world:
        await world.adopt(FormerTree([tmp_path / "old"]), "id")
        node = world.keeper.machine.tree.nodes.get(f"/kafka{paths.FEATURE}")
    if levels is None:
        assert node is None
    else:
        assert node is not None and node.version == 1
        assert feature_node.decode(paths.FEATURE, node.data) == levels


async def test_a_file_that_contradicts_the_tree_is_not_taken_over(tmp_path: Path) -> None:
    former = await file_in(tmp_path)
    async with World(tmp_path) as world:
        await world.adopt(FormerFile([tmp_path]), former.cluster_id)
        tree = world.tree()
        await tree.connected()
        data = encode_topic(b"c" * 16, [MOVED])
        await tree.client.create("/brokers/topics/other", data)
        await tree.client.session.close()
        (tmp_path / TAKEN_OVER).rename(tmp_path / METADATA_FILE)
        before = world.nodes()
        with pytest.raises(MetadataDamaged, match=r"topic other is in the tree.*nothing was taken over"):
            await world.adopt(FormerFile([tmp_path]), former.cluster_id)
        assert (tmp_path / METADATA_FILE).exists()
        assert world.nodes().keys() == before.keys()


@pytest.mark.parametrize("is_registered", [True, False])
async def test_nothing_is_brought_into_a_cluster_with_another_broker(
    tmp_path: Path, is_registered: bool
) -> None:
    """A node that goes with no session is of no broker."""
    former = await file_in(tmp_path)
    async with World(tmp_path) as world:
        tree = world.tree()
        await make_paths(tree)
        mode = CreateMode.EPHEMERAL if is_registered else CreateMode.PERSISTENT
        await tree.client.create("/brokers/ids/2", b"odd", mode=mode)
        if is_registered:
            with pytest.raises(OtherController, match="broker 2 is in this cluster"):
                await world.adopt(FormerFile([tmp_path]), former.cluster_id)
        else:
            taken = await world.adopt(FormerFile([tmp_path]), former.cluster_id)
            assert essence(taken) == essence(former)
        await tree.client.session.close()


async def test_a_former_life_of_the_broker_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    former = await file_in(tmp_path)
    async with World(tmp_path) as world:
        killed = world.tree()
        await make_paths(killed)
        await killed.client.create("/controller", encode_controller(1, 0), mode=CreateMode.EPHEMERAL)
        caplog.set_level(logging.INFO)
        adopting = asyncio.create_task(world.adopt(FormerFile([tmp_path]), former.cluster_id))
        while "waiting for its session to end" not in caplog.text:  # noqa: ASYNC110 - it is said in words alone
            await asyncio.sleep(0.01)
        assert not adopting.done()
        await killed.client.session.close()
        assert essence(await adopting) == essence(former)


async def test_names_that_are_no_topics_and_no_brokers_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    former = await file_in(tmp_path)
    odd = ["a b", "\u00fc", "x" * 250, "__cluster_metadata", "\\", "%2F"]
    async with World(tmp_path) as world:
        tree = world.tree()
        await make_paths(tree)
        for name in odd:
            await tree.client.create(f"/brokers/topics/{name}", b"no JSON")
            await tree.client.create(f"/admin/delete_topics/{name}")
        for name in ("x", "-1", "01", "\u0663", "9" * 5000, "<defaults>"):
            await tree.client.create(f"/config/brokers/{name}", b'{"version":1,"config":{"k":"v"}}')
        await tree.client.session.close()
        caplog.set_level(logging.WARNING)
        taken = await world.adopt(FormerFile([tmp_path]), former.cluster_id)
        assert essence(taken) == essence(former)
        assert "'a b' contains characters" in caplog.text
        assert all(f"/kafka/brokers/topics/{name}" in world.nodes() for name in odd)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"partitions":' * 50_000, b"9" * 100_000, b"\xff" * 1000, b"", None, b"1e999"]
)
@pytest.mark.parametrize("path", ["/brokers/topics/a", "/config/topics/a", "/controller_epoch"])
async def test_no_data_whatever_ends_in_anything_but_words(
    tmp_path: Path, path: str, data: bytes | None
) -> None:
    former = await file_in(tmp_path)
    async with World(tmp_path) as world:
        await world.adopt(FormerFile([tmp_path]), former.cluster_id)
        tree = world.tree()
        await tree.connected()
        await tree.client.set(path, data)
        await tree.client.session.close()
        if path == "/config/topics/a" and not data:
            taken = await world.adopt(FormerFile([tmp_path]), former.cluster_id)
            assert taken.topics["a"].configs == {}
        else:
            with pytest.raises(StoreError, match=path):
                await world.adopt(FormerFile([tmp_path]), former.cluster_id)


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
