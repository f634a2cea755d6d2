"""Producer ids for idempotent producers (KIP-360, KIP-730).

A block of ids is reserved durably before one of them is given out: a broker that dies loses the rest of its
block, never gives an id twice.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from fastlog.coordination.store import StoreError
from fastlog.errors import ErrorCode, KafkaError

BLOCK_SIZE: Final = 1000


class ProducerIdStore(Protocol):
    """Where blocks of ids are reserved."""

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        """Reserves `count` ids in a row, none below `at_least`, for ever; gives the first.

        Raises StoreError.
        """
        ...


class ProducerIds:
    """Hands out producer ids. `at_least` keeps clear of ids that are already in the logs of this broker."""

    def __init__(self, store: ProducerIdStore, *, block_size: int = BLOCK_SIZE, at_least: int = 0) -> None:
        self._store = store
        self._block_size = block_size
        self._at_least = at_least
        self._next = 0
        self._end = 0
        self._lock = asyncio.Lock()

    def keep_above(self, producer_id: int) -> None:
        """No id up to `producer_id` will be given out: it was found in a log that came from elsewhere."""
        self._at_least = max(self._at_least, producer_id + 1)
        if self._next < self._at_least:
            self._next = self._end = 0

    async def allocate(self) -> int:
        """The next producer id. Raises KafkaError(COORDINATOR_NOT_AVAILABLE) when no block can be had."""
        if self._next < self._end:
            return self._take()
        async with self._lock:
            if self._next >= self._end:
                # Whatever somebody has made of the node that says which block comes next.
                at_least = max(self._at_least, self._end)
                try:
                    first = await self._store.allocate_producer_ids(self._block_size, at_least=at_least)
                except StoreError as error:
                    raise KafkaError(
                        ErrorCode.COORDINATOR_NOT_AVAILABLE, f"no producer id can be reserved: {error}"
                    ) from error
                self._next, self._end = first, first + self._block_size
            return self._take()

    def _take(self) -> int:
        producer_id = self._next
        self._next += 1
        return producer_id
