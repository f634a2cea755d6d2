"""Background loops: restarted whatever they die of, counted, and remembered for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.storage.disk_jobs import uninterrupted

DEATHS = [RuntimeError("a defect"), MemoryError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
DEATHS += [asyncio.CancelledError(), BaseException("anything")]


class World:
    """A supervisor whose clock is set by hand; failures are remembered for ten seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tasks = Supervisor(lambda: self.now, first_pause=0.01, longest_pause=0.04, steady_seconds=10)


@pytest.fixture
def world() -> World:
    return World()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("death", DEATHS, ids=lambda death: type(death).__name__)
async def test_a_pass_that_dies_is_made_again(world: World, death: BaseException, nested: bool) -> None:
    calls = 0

    async def action() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise death

    loop = world.tasks.repeat("pass", (lambda: uninterrupted(action())) if nested else action, every=0.001)
    await until(lambda: world.tasks.failures["pass"] == 1)
    assert type(death).__name__ in world.tasks.failing["pass"]
    await until(lambda: loop.passes >= 3)
    assert world.tasks.failing != {}
    world.now += 10
    assert world.tasks.failing == {}
    assert world.tasks.failures == {"pass": 1}
    await loop.stop()
    before = calls
    await asyncio.sleep(0.02)
    assert calls == before


async def test_a_pass_that_goes_on_failing_stays_red(world: World) -> None:
    broken = True

    async def action() -> None:
        if broken:
            raise RuntimeError("still broken")

    loop = world.tasks.repeat("pass", action, every=0.001)
    await until(lambda: world.tasks.failures["pass"] >= 2)
    world.now += 1000
    assert world.tasks.failing == {"pass": "RuntimeError: still broken"}
    broken = False
    await until(lambda: loop.passes > 0)
    world.now += 1000
    assert world.tasks.failing == {}
    await loop.stop()


async def test_pauses_grow_and_become_short_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        if world.tasks.failures["loop"] < 5:
            raise RuntimeError
        await asyncio.Event().wait()

    loop = world.tasks.run("loop", body)
    await until(lambda: world.tasks.failures["loop"] == 5)
    pauses = [record.args[1] for record in caplog.records if record.args]  # type: ignore[index]
    assert pauses == [0.01, 0.02, 0.04, 0.04, 0.04]
    world.now += 20
    await until(lambda: not world.tasks.failing)
    loop._task.cancel()
    await until(lambda: world.tasks.failures["loop"] == 6)
    assert caplog.records[-1].args == ("loop", 0.01)
    await loop.stop()


async def test_a_body_works_again_when_it_runs(world: World) -> None:
    async def body() -> None:
        if not world.tasks.failures["body"]:
            raise RuntimeError
        await asyncio.Event().wait()

    loop = world.tasks.run("body", body)
    await until(lambda: world.tasks.failures["body"] == 1)
    world.now += 10
    await until(lambda: not world.tasks.failing)
    await loop.stop()
    assert loop.is_over


async def test_a_body_that_returns_is_done(world: World) -> None:
    runs = 0

    async def body() -> None:
        nonlocal runs
        runs += 1

    loop = world.tasks.run("once", body)
    await loop.finish()
    assert (runs, world.tasks.failures, world.tasks.failing) == (1, {"once": 0}, {})


async def test_stop_in_a_pause_ends_at_once(world: World) -> None:
    tasks = Supervisor(first_pause=1000)

    async def body() -> None:
        raise RuntimeError

    for end in ("stop", "finish"):
        loop = tasks.run("loop", body)
        await until(lambda: bool(tasks.failing))
        await asyncio.wait_for(getattr(loop, end)(), 20)
        assert loop.is_over


async def test_finish_lets_a_body_come_to_its_end(world: World) -> None:
    goes_on = asyncio.Event()
    ended: list[str] = []

    async def body() -> None:
        await goes_on.wait()
        ended.append("whole")

    loop = world.tasks.run("loop", body)
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, goes_on.set)
    await loop.finish()
    assert ended == ["whole"]


async def test_a_failure_while_it_is_stopped_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("at the end")

    loop = world.tasks.run("loop", body)
    await asyncio.sleep(0)
    await loop.stop()
    assert "background work (loop) failed while it was stopped" in caplog.text


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: type(death).__name__)
def test_a_guard_counts_and_goes_on(world: World, death: BaseException) -> None:
    guard = world.tasks.guard("timers")

    def fail() -> None:
        raise death

    assert guard(list.append, [], 1)
    assert world.tasks.failing == {}
    assert not guard(fail)
    assert (world.tasks.failures, set(world.tasks.failing)) == ({"timers": 1}, {"timers"})
    world.now += 10
    assert world.tasks.failing == {}


async def test_what_nobody_caught_is_counted_and_turns_nothing_red(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(world.tasks.on_loop_error)

    def fail(error: Exception) -> None:
        raise error

    with caplog.at_level(logging.ERROR):
        loop.call_soon(fail, RuntimeError("nobody caught it"))
        loop.call_soon(fail, TimeoutError("the network"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (world.tasks.failures, world.tasks.failing) == ({"callbacks": 1}, {})
    assert "nobody caught it" in caplog.text


async def test_a_pass_is_made_at_once_when_the_clock_was_moved(world: World) -> None:
    began = 0

    async def action() -> None:
        nonlocal began
        began += 1
        await asyncio.sleep(0)

    first = world.tasks.repeat("first", action, every=3600, first=3600)
    again = world.tasks.repeat("again", action, every=3600)
    await until(lambda: again.passes == 1)
    for number in (1, 2):
        due = world.tasks.hurry(["first", "again", "unknown"])
        assert due == {"first": number, "again": number + 1}
        await until(lambda due=due: {"first": first.passes, "again": again.passes} == due)  # type: ignore[misc]
    await asyncio.sleep(0.02)
    assert (first.passes, again.passes) == (2, 3)
    await first.stop()
    assert world.tasks.hurry(["first"]) == {}
    await again.stop()


async def test_a_pass_under_way_is_not_the_one_that_is_hurried(world: World) -> None:
    """It may have asked for the time already."""
    gate = asyncio.Event()
    loop = world.tasks.repeat("pass", gate.wait, every=3600)
    await asyncio.sleep(0.01)
    assert world.tasks.hurry(["pass"]) == {"pass": 2}
    gate.set()
    await until(lambda: loop.passes == 2)
    await asyncio.sleep(0.02)
    assert loop.passes == 2
    await loop.stop()
