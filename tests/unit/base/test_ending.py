"""The waits of one stop: each has a bound, all share it, headway stretches it."""

from __future__ import annotations

import asyncio
import time

import pytest

from fastlog.base.ending import Ending


async def for_ever() -> None:
    await asyncio.Event().wait()


async def nothing() -> None:
    return


async def test_what_ends_is_waited_for() -> None:
    ending = Ending(20)
    assert await ending.wait("work", lambda: asyncio.sleep(0.01))
    assert ending.call("more work", lambda: None)
    assert ending.went_well


async def test_what_does_not_end_is_given_up_and_told(caplog: pytest.LogCaptureFixture) -> None:
    ending = Ending(0.05)
    assert not await ending.wait("a disk that hangs", for_ever)
    assert (ending.gave_up, ending.failed, ending.went_well) == (["a disk that hangs"], [], False)
    assert "the stop does not wait any longer for: a disk that hangs" in caplog.text
    # What comes afterwards still gets its turn.
    assert await ending.wait("the rest", nothing)
    assert not await ending.wait("another one", for_ever)


async def test_a_task_that_swallows_its_cancellation_is_left_to_itself() -> None:
    goes_on = asyncio.Event()

    async def stubborn() -> None:
        while not goes_on.is_set():
            try:
                await goes_on.wait()
            except asyncio.CancelledError:
                continue

    ending = Ending(0.05)
    assert not await ending.wait("stubborn", stubborn)
    goes_on.set()


async def test_all_waits_share_the_time() -> None:
    ending = Ending(1.0)
    began = time.monotonic()
    for number in range(3):
        assert not await ending.wait(f"part {number}", for_ever)
    # Three times a second if they did not; what is left for each is half of one.
    assert 1.9 < time.monotonic() - began < 20
    assert ending.gave_up == ["part 0", "part 1", "part 2"]


async def test_headway_is_given_its_time() -> None:
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += 0.3
        return now

    ending = Ending(1.0, monotonic)

    async def slow_but_sure() -> None:
        for _ in range(40):
            ending.headway()
            await asyncio.sleep(0.02)

    assert await ending.wait("flushing", slow_but_sure)


@pytest.mark.parametrize("error", [RuntimeError("a defect"), SystemExit(1), asyncio.CancelledError()])
async def test_a_part_that_fails_stops_no_other(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise error

    ending = Ending(20)
    assert not await ending.wait("groups", fail)
    assert not ending.call("listening", lambda: 1 // 0)
    assert (ending.gave_up, ending.failed) == ([], ["groups", "listening"])
    assert caplog.text.count("the stop goes on after a failure of") == 2
