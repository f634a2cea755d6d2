"""An event loop whose time passes as soon as nothing is left to do but wait."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Nothing of what is tested here comes over a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Lets the time pass instead of waiting."""
        assert timeout is not None, "it waits for ever"
        self.now += max(timeout, 0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0, and is exact."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds that have been waited for so far."""
        return self._virtual.now


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it may wait for hours."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
