"""Turns of the event loop: short requests never wait, long ones take turns, and end when nobody waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from fastlog.server.requests.turns import (
    AT_ONCE_SECONDS,
    LEAVING_SECONDS,
    TURN_SECONDS,
    Abandoned,
    Pace,
    Turns,
)


class Asker:
    """Somebody who waits for an answer."""

    is_lost = False
    half_closed_since: float | None = None


def work(seconds: float) -> None:
    """Holds the event loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def steps(count: int, seconds: float = 0.001) -> Iterator[None]:
    """A request of so many steps."""
    for _ in range(count):
        work(seconds)
        yield


def test_a_short_request_is_done_at_once() -> None:
    async def scenario() -> None:
        pace = Pace(Turns(asyncio.get_running_loop()), Asker())
        assert pace.begin(iter(()))  # type: ignore[arg-type]
        assert pace.begin(steps(3, 0))  # type: ignore[arg-type]
        assert not pace.begin(steps(3, AT_ONCE_SECONDS))  # type: ignore[arg-type]

    asyncio.run(scenario())


def test_others_work_between_the_turns_of_a_long_request() -> None:
    async def scenario() -> int:
        turns, rounds = Turns(asyncio.get_running_loop()), 0
        task = asyncio.create_task(Pace(turns, Asker()).run(steps(40)))  # type: ignore[arg-type]
        while not task.done():
            rounds += 1
            await asyncio.sleep(0)
        return rounds

    assert asyncio.run(scenario()) >= 40 * 0.001 / TURN_SECONDS


def test_all_long_requests_together_have_one_turn_in_a_round() -> None:
    async def scenario() -> float:
        turns, longest = Turns(asyncio.get_running_loop()), 0.0
        tasks = [
            asyncio.create_task(Pace(turns, Asker()).run(steps(20, 0.0005)))  # type: ignore[arg-type]
            for _ in range(30)
        ]
        await asyncio.sleep(0)  # The first round: each of them may be a short one.
        while not all(task.done() for task in tasks):
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)
        return longest

    # All thirty in each round would be more than 100 ms.
    assert asyncio.run(scenario()) < 0.05


def test_a_request_ends_when_its_client_is_gone() -> None:
    async def scenario() -> list[int]:
        asker, seen = Asker(), []
        pace = Pace(Turns(asyncio.get_running_loop()), asker)
        with pytest.raises(Abandoned):
            async for item in pace.each(range(10)):
                seen.append(item)
                asker.is_lost = item == 3
        return seen

    assert asyncio.run(scenario()) == [0, 1, 2, 3]


def test_a_peer_that_sends_no_more_is_waited_for_a_second() -> None:
    async def scenario(half: float) -> int:
        asker = Asker()
        asker.half_closed_since = time.monotonic() - half
        pace = Pace(Turns(asyncio.get_running_loop()), asker)
        return len([item async for item in pace.each(range(10))])

    assert asyncio.run(scenario(0)) == 10
    with pytest.raises(Abandoned):
        asyncio.run(scenario(LEAVING_SECONDS))


def test_long_requests_end_when_the_broker_stops_and_short_ones_are_answered() -> None:
    async def scenario() -> list[int]:
        turns = Turns(asyncio.get_running_loop())
        turns.close()
        seen = [item async for item in Pace(turns, Asker()).each([7])]
        assert await Pace(turns, Asker()).run(iter(())) is None  # type: ignore[arg-type]
        with pytest.raises(Abandoned):
            await Pace(turns, Asker()).run(steps(1000))  # type: ignore[arg-type]
        return seen

    assert asyncio.run(scenario()) == [7]


def test_what_was_started_is_waited_for() -> None:
    async def scenario() -> list[str]:
        turns, said = Turns(asyncio.get_running_loop()), []

        async def late() -> None:
            await asyncio.sleep(0.01)
            said.append("done")

        turns.start(late())
        await turns.wait_tasks(10)
        await turns.wait_tasks(10)
        return said

    assert asyncio.run(scenario()) == ["done"]


def test_one_that_gave_up_its_place_does_not_hold_up_the_next() -> None:
    async def scenario() -> int:
        turns = Turns(asyncio.get_running_loop())
        first, second = asyncio.create_task(turns.wait()), asyncio.create_task(turns.wait())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, 10)
        return turns.waits

    assert asyncio.run(scenario()) == 2
