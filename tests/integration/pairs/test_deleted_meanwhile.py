"""A topic is deleted while another request waits for it: that one waits for nothing that will never come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.member.receiver import ControlReceiver
from fastlog.coordination.member.topics import MemberTopics
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.coordination.topic_plan import NewTopic
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
)
from tests.integration.pairs import makers
from tests.integration.pairs.seeded_loop import SeededLoop
from tests.integration.pairs.world import World, run

TIMINGS = 25
GONE = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.INVALID_TOPIC_EXCEPTION)


@pytest.fixture
def in_vain(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who has waited for topics until the time was up."""
    found: list[str] = []
    until = ViewWaits.until

    async def noted(self: ViewWaits, is_so: Callable[[], bool], seconds: float) -> bool:
        came = await until(self, is_so, seconds)
        if not came and is_so.__qualname__.startswith(MemberTopics.__name__):
            found.append(is_so.__qualname__)
        return came

    monkeypatch.setattr(ViewWaits, "until", noted)
    return found


async def after(turns: int, world: World, space: str, maker: makers.Maker) -> list[bool]:
    for _ in range(turns):
        await asyncio.sleep(0)
    return [await step(world, space) for step in maker]


async def grow(world: World, space: str) -> ErrorCode:
    request = CreatePartitionsRequest([CreatePartitionsTopic(f"t-{space}", 5, None)], timeout_ms=1000)
    return ErrorCode((await world.ask(request)).results[0].error_code)


async def create(world: World, space: str) -> ErrorCode:
    request = CreateTopicsRequest([CreatableTopic(f"t-{space}", 3, 1)], timeout_ms=1000)
    return ErrorCode((await world.ask(request)).topics[0].error_code)


@pytest.mark.parametrize("remade", [False, True])
def test_what_grows_while_it_is_deleted_is_not_waited_for(
    remade: bool, memory_path: Path, in_vain: list[str]
) -> None:
    deletion = [*makers.delete("t"), *(makers.create("t") if remade else ())]

    async def test(loop: SeededLoop) -> None:
        async with World(memory_path, loop) as world:
            for timing in range(TIMINGS):
                space = str(timing)
                loop.chance.seed(timing)
                await makers.create("t")[0](world, space)
                code, told = await asyncio.gather(grow(world, space), after(timing, world, space, deletion))
                assert told == [True] * len(deletion)
                assert not in_vain, timing
                grown = world.topic(f"t-{space}")
                if remade:
                    assert grown is not None
                    if len(grown.partitions) == 5:
                        assert code is ErrorCode.NONE
                else:
                    assert grown is None
                assert code in (ErrorCode.NONE, *GONE)

    run(test)


@pytest.mark.parametrize("asked_for", [False, True])
def test_what_is_deleted_before_all_of_it_is_led_is_not_waited_for(
    asked_for: bool, memory_path: Path, in_vain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had it made is told so; who only came by is told to ask again."""

    def has_taken(self: ControlReceiver, topic: TopicState) -> bool:
        return topic.name.startswith("__")

    async def come_by(world: World, space: str) -> ErrorCode:
        (outcome,) = await world.services.topics.create_asked_for([NewTopic(f"t-{space}", 3, 1)])
        return outcome.code if isinstance(outcome, KafkaError) else ErrorCode.NONE

    async def deleted_when_seen(world: World, space: str) -> Any:
        while world.topic(f"t-{space}") is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        return await makers.delete("t")[0](world, space)

    async def test(loop: SeededLoop) -> None:
        async with World(memory_path, loop) as world:
            monkeypatch.setattr(ControlReceiver, "has_taken", has_taken)
            make = come_by if asked_for else create
            code, told = await asyncio.gather(make(world, "1"), deleted_when_seen(world, "1"))
            assert told
            assert code is (ErrorCode.LEADER_NOT_AVAILABLE if asked_for else ErrorCode.NONE)
            assert world.topic("t-1") is None
            assert not in_vain

    run(test)
