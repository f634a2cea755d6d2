"""Helpers around cancellation, and around many small jobs for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from fastlog.base.tasks import outcome_of

T = TypeVar("T")
Item = TypeVar("Item")


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
