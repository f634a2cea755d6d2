"""Waiting for the cluster's view to show something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ViewWaits:
    """Used on the event loop: whoever changes the view says so."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False

    def changed(self) -> None:
        """Everybody looks again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._closed = True
        self.changed()

    async def until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Whether it came to be so in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not is_so():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or self._closed:
                return False
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            await asyncio.wait([future], timeout=left)
            self._waiting.discard(future)
        return True
