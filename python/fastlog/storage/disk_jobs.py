"""Helpers around cancellation, and around many small jobs for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Executor
from itertools import islice
from typing import Any, Final, TypeVar

from fastlog.base.tasks import outcome_of

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
PER_TURN: Final = 100
"""Jobs that are handed over, or whose outcomes are taken, before others have a turn: a few milliseconds."""


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work` to its end even when the caller is cancelled meanwhile; the cancellation is raised then.

    For work that holds a file or a lock in a thread: a thread cannot be cancelled, so whoever comes next must
    wait for it.
    """
    done: list[T] = []

    async def to_the_end() -> None:
        done.append(await work)

    task = asyncio.ensure_future(outcome_of(to_the_end))
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    error = task.result()
    if error is not None:
        raise error
    return done[0]


def in_parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size` at most: what is prepared for many in one piece holds the event loop."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


async def handed_over(
    pool: Executor, items: Iterable[Item], work: Callable[[Item], Outcome]
) -> list[asyncio.Future[Outcome]]:
    """Hands `work` for every item to the threads of a pool, with a turn for others after each few."""
    loop = asyncio.get_running_loop()
    jobs: list[asyncio.Future[Outcome]] = []
    for some in in_parts(items, PER_TURN):
        jobs += [loop.run_in_executor(pool, work, item) for item in some]
        await asyncio.sleep(0)
    return jobs


async def in_turns(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items, with a turn for others after each few, also where nothing that is awaited has to be."""
    for some in in_parts(items, PER_TURN):
        for item in some:
            yield item
        await asyncio.sleep(0)


async def in_parallel(
    width: int, items: Iterable[Item], work: Callable[[Item], Coroutine[Any, Any, object]]
) -> None:
    """Does `work` for every item, `width` at a time.

    After an error no further item is begun; those under way are waited for, then the first error is raised.
    """
    pending = iter(items)
    errors: list[BaseException] = []

    async def one_after_the_other() -> None:
        for item in pending:
            if errors:
                return
            try:
                await work(item)
            except BaseException as error:  # noqa: BLE001 - raised below, when the others are done
                errors.append(error)

    await asyncio.gather(*(one_after_the_other() for _ in range(width)))
    if errors:
        raise errors[0]
