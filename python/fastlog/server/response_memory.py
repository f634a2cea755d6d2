"""How many bytes of fetch responses may be in memory at once, read but not yet sent.

A fetch asks for as much as its client wants and is given what is there, at least `SMALLEST`: a response may
always be shorter than asked for. When there is not even that, fetches wait in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

SMALLEST: Final = 1024 * 1024


class ResponseMemory:
    """The byte budget of responses. Used on the event loop only."""

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self.used = 0
        self._waiting: deque[tuple[int, Callable[[int], object]]] = deque()

    @property
    def waiting(self) -> int:
        """Fetches that wait for room."""
        return len(self._waiting)

    def take(self, wanted: int, granted: Callable[[int], object]) -> None:
        """Calls `granted` with the bytes that may be read, at once or when others have been sent."""
        if self._waiting or not self._has_room(wanted):
            self._waiting.append((wanted, granted))
        else:
            granted(self._grant(wanted))

    def give_back(self, size: int) -> None:
        """Bytes that were not needed, or have been sent."""
        self.used -= size
        while self._waiting and self._has_room(self._waiting[0][0]):
            wanted, granted = self._waiting.popleft()
            granted(self._grant(wanted))

    def _has_room(self, wanted: int) -> bool:
        # An idle budget is enough for anybody, however small it was configured.
        return self.used == 0 or self.limit - self.used >= min(wanted, SMALLEST)

    def _grant(self, wanted: int) -> int:
        size = max(min(wanted, self.limit - self.used), min(wanted, SMALLEST))
        self.used += size
        return size
