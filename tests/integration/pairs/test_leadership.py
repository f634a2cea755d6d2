"""Groups come and go with the leadership of their partition of `__consumer_offsets`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.groups.commits import Commits
from fastlog.coordination.groups.leadership import GroupLeadership
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode
from fastlog.wire.messages.group_offsets import OffsetFetchRequest
from fastlog.wire.messages.topics import DeleteTopicsRequest, DeleteTopicState
from tests.integration.pairs import makers
from tests.integration.pairs.seeded_loop import SeededLoop
from tests.integration.pairs.state import group_of, offsets_of
from tests.integration.pairs.world import SETTINGS, World, run

SPACES = ("a", "b", "c", "d")
PARTITIONS = range(int(SETTINGS["offsets.topic.num.partitions"]))


async def delete_group_topic(world: World) -> None:
    topic = DeleteTopicState(GROUP_METADATA_TOPIC)
    answer = await world.ask(DeleteTopicsRequest([topic], timeout_ms=1000))
    assert answer.responses[0].error_code == 0


async def resign_all(world: World) -> None:
    for partition in PARTITIONS:
        world.services.groups.resigned(partition)


async def fail_directory(world: World) -> None:
    world.services.logs.dir_failed(world.services.logs.directories[0].path, "a test")


async def fetch_error(world: World, space: str) -> int:
    return int((await world.ask(OffsetFetchRequest(f"g-{space}", topics=None), 5)).error_code)


async def fill(world: World) -> None:
    """Groups with offsets, a consumer group, and in `b` a member that waits for another one to join."""
    await world.group_topic()
    for space in SPACES:
        await makers.create("t")[0](world, space)
        assert await makers.commit(1)[0](world, space)
    assert await makers.consumer_join()[0](world, "a")
    assert await makers.join()[0](world, "b")


@pytest.mark.parametrize("end", [delete_group_topic, resign_all, fail_directory])
def test_who_waits_is_told_when_leadership_ends(
    end: Callable[[World], Awaitable[None]], memory_path: Path
) -> None:
    async def test(loop: SeededLoop) -> None:
        async with World(memory_path, loop) as world:
            await fill(world)
            waiting = world.ask_later(makers.join_request("b"), 3)
            await world.settled()
            assert not waiting
            await end(world)
            await world.settled()
            assert [answer.error_code for answer in waiting] == [ErrorCode.NOT_COORDINATOR]
            assert {await fetch_error(world, space) for space in SPACES} == {ErrorCode.NOT_COORDINATOR}
            assert not await makers.commit(2)[0](world, "a")
            assert not list(world.services.groups.table)

    run(test)


def test_groups_of_a_topic_that_was_deleted_are_not_those_of_the_next(memory_path: Path) -> None:
    async def test(loop: SeededLoop) -> None:
        async with World(memory_path, loop) as world:
            await fill(world)
            await delete_group_topic(world)
            await world.group_topic()
            for _ in range(2):
                for space in SPACES:
                    assert await offsets_of(world, f"g-{space}") == {}
                    assert group_of(world, f"g-{space}") is None
                await world.stop()
                await world.start()

    run(test)


@pytest.mark.parametrize("seed", range(6))
def test_commits_beside_the_end_of_their_topic(seed: int, memory_path: Path) -> None:
    """What is there afterwards is what was committed to the next topic of the name, and is there for good."""

    async def test(loop: SeededLoop) -> None:
        async with World(memory_path, loop) as world:
            await fill(world)
            loop.chance.seed(seed)
            made_anew = asyncio.Event()
            certain: dict[str, int] = {}

            async def commits(space: str) -> None:
                for offset in range(10, 22):
                    was_new = made_anew.is_set()
                    if await makers.commit(offset)[0](world, space) and was_new:
                        certain[space] = offset
                    for _ in range(loop.chance.randrange(8)):
                        await asyncio.sleep(0)

            async def remake() -> None:
                await delete_group_topic(world)
                await world.services.groups.ensure_topic()
                made_anew.set()

            await asyncio.gather(remake(), *(commits(space) for space in SPACES[1:]))
            await world.loaded()
            await world.settled()
            now = {space: await offsets_of(world, f"g-{space}") for space in SPACES}
            for space, offset in certain.items():
                assert now[space] == {("t", 0): offset}
            await world.stop()
            await world.start()
            assert {space: await offsets_of(world, f"g-{space}") for space in SPACES} == now

    run(test)


def test_groups_are_read_anew_after_another_election(memory_path: Path) -> None:
    async def test(loop: SeededLoop) -> None:
        async with World(memory_path, loop) as world:
            await fill(world)
            groups = world.services.groups
            before = [(await offsets_of(world, f"g-{it}"), group_of(world, f"g-{it}")) for it in "acd"]
            for partition in PARTITIONS:
                groups.resigned(partition)
                groups.elected(partition)
                # A second time is none.
                groups.elected(partition)
            assert await fetch_error(world, "a") == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
            await world.loaded()
            after = [(await offsets_of(world, f"g-{it}"), group_of(world, f"g-{it}")) for it in "acd"]
            assert after == before

    run(test)


@pytest.mark.parametrize("when", ["not led", "read", "stopped"])
def test_a_topic_that_is_made_again_while_groups_are_not_known(
    when: str, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offsets of the former topic of the name are found later, and are not those of the new one."""

    async def test(loop: SeededLoop) -> None:
        gate, read = asyncio.Event(), GroupLeadership._read

        async def read_later(*arguments: Any) -> None:
            await gate.wait()
            await read(*arguments)

        async with World(memory_path, loop) as world:
            await fill(world)
            services = world.services

            async def remake() -> None:
                assert await makers.delete("t")[0](world, "c")
                assert await makers.create("t")[0](world, "c")

            if when == "not led":
                await resign_all(world)
                await world.settled()
                await remake()
                for partition in PARTITIONS:
                    services.groups.elected(partition)
            elif when == "read":
                await resign_all(world)
                await world.settled()
                for partition in PARTITIONS:
                    services.groups.elected(partition)
                await remake()
            else:
                # As after a crash between the deletion of a topic and that of its offsets.
                with monkeypatch.context() as patched:
                    patched.setattr(Commits, "forget_topic", lambda *_: asyncio.sleep(0))
                    assert await makers.delete("t")[0](world, "c")
                await world.stop()
                monkeypatch.setattr(GroupLeadership, "_read", read_later)
                await world.start(loaded=False)
                assert world.services.groups.table.loading
                assert await makers.create("t")[0](world, "c")
                gate.set()
            await world.loaded()
            assert await offsets_of(world, "g-c") == {}
            assert await offsets_of(world, "g-d") == {("t", 0): 1}
            assert await makers.commit(5)[0](world, "c")
            await world.stop()
            await world.start()
            assert await offsets_of(world, "g-c") == {("t", 0): 5}

    run(test)
