"""How a broker gets into a cluster, over a keeper in this process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fastlog.base.clock import ManualClock
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import paths, registration
from fastlog.coordination.znodes.registration import Registration
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.codes import CreateMode
from tests.unit.coordination.controller.tree_world import World, register, until

CLUSTER, OTHER_CLUSTER = "vPeOCWypqUOSepEvx0cbog", "aPeOCWypqUOSepEvx0cbog"


def tree_of(client: ZkClient) -> MemberTree:
    return MemberTree(client, wait_seconds=5)


def registration_of(world: World, client: ZkClient, *, former_life: float = 0.3) -> Registration:
    return Registration(tree_of(client), 1, lambda: b"me", world.clock, former_life_seconds=former_life)


async def test_a_registration_is_made_and_then_set(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        client = await world.client()
        me = registration_of(world, client)
        assert me.broker_epoch == -1
        await me.register()
        data, stat = await client.get("/brokers/ids/1")
        assert (data, stat.version, stat.czxid) == (b"me", 1, me.broker_epoch)
        assert stat.ephemeral_owner == client.session.session_id
        # The answer to an earlier attempt may have been lost: this is no other broker.
        epoch = me.broker_epoch
        await me.register()
        assert me.broker_epoch == epoch


async def test_the_node_of_an_earlier_session_of_this_process_is_replaced(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        client, before = await world.client(), await world.client()
        me = registration_of(world, client)
        first = await register(before, 1)
        me._sessions.add(before.session.session_id)
        await me.register()
        assert me.broker_epoch > first
        assert await me.is_current()


async def test_another_broker_of_this_id_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        other = await world.client()
        await register(other, 1)
        me = registration_of(world, await world.client())
        with pytest.raises(StoreError, match=r"another broker with this broker\.id runs"):
            await me.register()
        me = registration_of(world, await world.client(), former_life=30)
        waiting = asyncio.create_task(me.register())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await other.session.close()
        await waiting
        assert await me.is_current()


@pytest.mark.parametrize(("session_ms", "looks"), [(18_000, 2), (120_000, 6)])
async def test_a_former_life_may_have_had_a_long_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session_ms: int, looks: int
) -> None:
    monkeypatch.setattr(registration, "_PAUSE_SECONDS", 0)
    async with World(tmp_path) as world:
        await register(await world.client(), 1)
        client = await world.client()
        client.session.timeout_ms = session_ms
        clock = ManualClock()
        seen = 0

        def data() -> bytes:
            # Half a minute passes with each look.
            nonlocal seen
            seen += 1
            clock.advance(31_000)
            return b"me"

        with pytest.raises(StoreError, match=r"another broker with this broker\.id runs"):
            await Registration(tree_of(client), 1, data, clock).register()
        assert seen == looks


async def test_an_address_is_one_brokers(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        other, tree = await world.client(), tree_of(await world.client())
        await register(other, 2, port=9)
        await registration.check_addresses(tree, 1, {("host2", 8), ("host1", 9)})
        with pytest.raises(StoreError, match="host2:9 is advertised by broker 2"):
            await registration.check_addresses(tree, 1, {("host2", 9)})
        # One that is damaged is nobody's, and keeps nobody from starting.
        await other.create(paths.broker_id(3), b"{")
        await other.create(paths.broker_id(4), b'{"endpoints":["PLAINTEXT://host2:99999"]}')
        await registration.check_addresses(tree, 1, {("host2", 8), ("host1", 9)})
        with pytest.raises(StoreError, match="host2:9 is advertised by broker 2"):
            await registration.check_addresses(tree, 1, {("host2", 9)})
        # Its own registration of a former life is none of another.
        await registration.check_addresses(tree, 2, {("host2", 9)})


async def test_the_first_broker_names_the_cluster(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        tree = tree_of(await world.client())
        assert await registration.cluster_id(tree, CLUSTER) == CLUSTER
        assert json.loads(world.data(paths.CLUSTER_ID) or b"") == {"version": "1", "id": CLUSTER}
        assert await registration.cluster_id(tree, None) == CLUSTER
        with pytest.raises(MetadataDamaged, match="do not belong to that cluster"):
            await registration.cluster_id(tree, OTHER_CLUSTER)


async def test_ids_are_handed_out_above_those_that_are_reserved(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        tree = tree_of(await world.client())
        assert [await registration.generated_id(tree, 1000) for _ in range(2)] == [1001, 1002]


async def test_paths_are_made_with_null_data(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        client = await world.client()
        await client.delete(paths.PRODUCER_IDS)
        await registration.make_paths(tree_of(client))
        assert all(world.has(path) for path in paths.PERSISTENT)
        # Kafka takes empty data for a block that it cannot read.
        assert world.data(paths.PRODUCER_IDS) is None


async def test_a_watch_tells_that_the_node_is_removed(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        me = registration_of(world, await world.client())
        await me.register()
        told: list[object] = []
        assert await me.is_current(told.append)
        await world.admin.delete("/brokers/ids/1")
        await until(lambda: told)
        assert not await me.is_current()
        await world.admin.create("/brokers/ids/1", mode=CreateMode.EPHEMERAL)
        assert not await me.is_current()
