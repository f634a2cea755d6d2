"""What large requests become while they are worked on: bounded by an estimate made of their size.

Decoding makes many small objects out of few bytes, and so do answers. A request of more than `SMALL_REQUEST`
bytes is reckoned with `GROWTH` times its size, at most with `MOST`: a request may only have so many elements.
Of the APIs that may have more of them, the most is more in proportion.
Those for which there is no room wait in order; one alone is always let through. Produce requests are not
decoded and do not count. Used on the event loop only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from fastlog.wire.api_keys import APIS, MAX_REQUEST_ELEMENTS

SMALL_REQUEST: Final = 16 * 1024
GROWTH: Final = 24
MOST: Final = 48 * 1024 * 1024

_MORE: Final[Mapping[int, int]] = {
    int(key): MOST * api.max_elements // MAX_REQUEST_ELEMENTS
    for key, api in APIS.items()
    if api.max_elements > MAX_REQUEST_ELEMENTS
}


class Worker(Protocol):
    """A connection with a request that waits."""

    def on_room(self) -> None:
        """It may ask again. If it does not, as it can start nothing now, it loses its turn."""
        ...


class WorkMemory:
    """The byte budget of requests that are worked on."""

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self.used = 0
        self._waiting: dict[Worker, None] = {}
        # Who was told last that there is no room.
        self._refused: Worker | None = None
        self._telling = False

    @property
    def waiting(self) -> int:
        """Connections whose next request waits for room."""
        return len(self._waiting)

    def begin(self, worker: Worker, size: int, api_key: int | None = None) -> int:
        """The bytes that a request of `size` bytes is reckoned with, or 0: `on_room` is called when there may
        be room. Nobody overtakes those who wait. `api_key` is that of the request, None for any that may have
        no more elements than others."""
        most = MOST if api_key is None else _MORE.get(api_key, MOST)
        weight = min(size * GROWTH, most)
        first = next(iter(self._waiting), worker)
        if first is worker and (not self.used or self.used + weight <= self.limit):
            self._waiting.pop(worker, None)
            self.used += weight
            return weight
        self._waiting[worker] = None
        self._refused = worker
        return 0

    def done(self, weight: int) -> None:
        """The request is answered, or waits and is weighed by others."""
        self.used -= weight
        self._next()

    def forget(self, worker: Worker) -> None:
        """A connection is gone."""
        if worker in self._waiting:
            del self._waiting[worker]
            self._next()

    def _next(self) -> None:
        # A request that is done at once comes here again: not one call inside the other for each of them.
        if self._telling:
            return
        self._telling = True
        try:
            self._tell()
        finally:
            self._telling = False

    def _tell(self) -> None:
        while self._waiting:
            first = next(iter(self._waiting))
            self._refused = None
            first.on_room()
            if first not in self._waiting:
                continue
            if self._has_refused(first):
                return
            # It can start nothing now, as its peer takes no answers, and asks when it can: others go on.
            del self._waiting[first]

    def _has_refused(self, worker: Worker) -> bool:
        return self._refused is worker
