"""The handle of many records that were sent with one call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, overload

from fastlog.client.producer.batches import Batch
from fastlog.native import Delivery, RecordMetadata

__all__ = ["Deliveries"]

Run = tuple[Batch, int, int]
"""A batch, the index of the first record in it, and how many follow each other."""


class Deliveries(Sequence[Delivery]):
    """What became of each record, in the order of the call: a sequence of `Delivery`, made when looked at.

    To await it, or to call `result`, waits for all: a list of RecordMetadata, or the first error.
    """

    def __init__(self, runs: list[Run]) -> None:
        self._runs = runs
        self._count = sum(count for _, _, count in runs)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Delivery: ...
    @overload
    def __getitem__(self, index: slice) -> list[Delivery]: ...
    def __getitem__(self, index: int | slice) -> Delivery | list[Delivery]:
        """One of them, or some."""
        if isinstance(index, slice):
            return [self[at] for at in range(self._count)[index]]
        left = range(self._count)[index]
        for batch, first, count in self._runs:
            if left < count:
                return Delivery(batch, first + left)
            left -= count
        raise IndexError(index)

    def __iter__(self) -> Iterator[Delivery]:
        return (
            Delivery(batch, at) for batch, first, count in self._runs for at in range(first, first + count)
        )

    def done(self) -> bool:
        """Whether the fate of all is known."""
        return all(delivery.done() for delivery in self._ends())

    def result(self, timeout: float | None = None) -> list[RecordMetadata]:
        """Waits in this thread for at most `timeout` seconds. Raises the first error, or RequestTimedOut."""
        end = None if timeout is None else time.monotonic() + timeout
        for delivery in self._ends():
            delivery.exception(None if end is None else max(end - time.monotonic(), 0))
        return [delivery.result(0) for delivery in self]

    def __await__(self) -> Generator[Any, None, list[RecordMetadata]]:
        """Waits on the running event loop. Raises the first error."""
        return self._all().__await__()

    async def _all(self) -> list[RecordMetadata]:
        found: list[RecordMetadata] = []
        for number, delivery in enumerate(self):
            found.append(await delivery)
            if number % 1000 == 999:
                await asyncio.sleep(0)
        return found

    def _ends(self) -> Iterator[Delivery]:
        """The last record of each run: what is split is asked for record by record."""
        for batch, first, count in self._runs:
            if batch.parts is None:
                yield Delivery(batch, first + count - 1)
            else:
                yield from (Delivery(batch, at) for at in range(first, first + count))
