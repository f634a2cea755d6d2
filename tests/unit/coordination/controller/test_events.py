"""One queue, one worker: order, refusals, failures."""

from __future__ import annotations

import asyncio

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.coordination.controller.events import EventQueue


class Failures:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def __call__(self, name: str, error: Exception) -> None:
        self.seen.append((name, str(error)))


async def test_an_event_ends_before_the_next_begins() -> None:
    queue, seen = EventQueue(Supervisor(), Failures()), []

    def event(name: str) -> None:
        async def run() -> None:
            seen.append(f"begin {name}")
            await asyncio.sleep(0)
            seen.append(f"end {name}")

        queue.put(name, run)

    event("a")
    event("b")
    queue.start()
    assert await queue.ask("c", answer_of(7), answer_refused) == 7
    assert seen == ["begin a", "end a", "begin b", "end b"]
    await queue.close()


async def test_one_event_does_for_two_that_say_the_same_until_it_begins() -> None:
    queue, runs = EventQueue(Supervisor(), Failures()), []
    begun, go = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        runs.append(1)
        begun.set()
        await go.wait()

    queue.start()
    queue.put("look", run, once=True)
    queue.put("look", run, once=True)
    await begun.wait()
    # It has begun, so it may have read what this one tells of.
    queue.put("look", run, once=True)
    go.set()
    await queue.ask("after", answer_of(0), answer_refused)
    assert len(runs) == 2
    await queue.close()


async def test_who_waits_is_refused_when_the_queue_is_emptied() -> None:
    queue = EventQueue(Supervisor(), Failures())
    asked = asyncio.create_task(queue.ask("a", answer_of(1), answer_refused))
    await asyncio.sleep(0)
    queue.drain()
    assert await asked == -41
    queue.start()
    assert await queue.ask("b", answer_of(2), answer_refused) == 2
    await queue.close()
    assert await queue.ask("c", answer_of(3), answer_refused) == -41


async def test_a_failure_is_told_and_the_next_event_goes_on() -> None:
    failures = Failures()
    queue = EventQueue(Supervisor(), failures)
    queue.start()

    async def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await queue.ask("a", fail, answer_refused)
    assert await queue.ask("b", answer_of(2), answer_refused) == 2
    assert failures.seen == [("a", "no")]
    await queue.close()


async def test_closing_refuses_who_is_being_answered() -> None:
    queue = EventQueue(Supervisor(), Failures())
    queue.start()
    begun = asyncio.Event()

    async def never() -> int:
        begun.set()
        await asyncio.Event().wait()
        return 0

    asked = asyncio.create_task(queue.ask("a", never, answer_refused))
    await begun.wait()
    await queue.close()
    assert await asked == -41


def answer_of(value: int):  # type: ignore[no-untyped-def]
    async def run() -> int:
        return value

    return run


def answer_refused() -> int:
    return -41
