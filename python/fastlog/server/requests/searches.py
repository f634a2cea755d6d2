"""Threads for requests that search logs on the disk: they may take long, and clients may ask for many.

A search by time unpacks a batch of up to half a gigabyte. Of the threads that everything else shares (new
topics, checkpoints, deletions) a few clients could keep all for as long as they like. Each request has one
search at a time here, and those of all connections take turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from fastlog.errors import ErrorCode, KafkaError

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 2


class Searches:
    """The threads, which begin with the first search. Used on the event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fastlog-search")
        self._asked = 0

    @property
    def waiting(self) -> int:
        """Searches that wait for a thread."""
        return max(self._asked - _THREADS, 0)

    async def run(self, search: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `search`, which is called in one of the threads.

        Raises what it raises, and KafkaError when there is no thread to be had.
        """
        try:
            result = self._threads.submit(search, *args, **kwargs)
        except RuntimeError as error:
            # The process may have no more threads, or it ends.
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
        self._asked += 1
        try:
            return await asyncio.wrap_future(result)
        finally:
            self._asked -= 1

    def close(self) -> None:
        """Begins no further search, and waits for none."""
        self._threads.shutdown(wait=False, cancel_futures=True)
