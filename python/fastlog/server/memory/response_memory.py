"""How many bytes of fetched records may be in memory at once, read but not yet sent.

Each fetch asks for as much as its client wants and is given what is there, at least `SMALLEST`: a response
may always be shorter than asked for. When there is not even that, fetches wait in order; peers that take
nothing meanwhile are cut (`ConnectionTable.sweep`). For all other answers see `answer_memory`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

SMALLEST: Final = 1024 * 1024
_TURN_SECONDS: Final = 0.004

Granted = Callable[[int], object]
"""Called once with the bytes that may be read. It must not raise: nobody else would give them back."""


class ResponseMemory:
    """The byte budget of responses. Used on the event loop only.

    Those who wait are served a few milliseconds at a time when `call_soon` lets them go on in the next round.
    """

    def __init__(self, limit: int, call_soon: Callable[[Callable[[], object]], object] | None = None) -> None:
        self.limit: Final = limit
        self.used = 0
        # By ticket, in the order in which they came.
        self._waiting: dict[int, tuple[int, Granted]] = {}
        self._last_ticket = 0
        self._seen = 0
        self._call_soon = call_soon
        self._serving = False
        self._goes_on = False

    @property
    def waiting(self) -> int:
        """Fetches that wait for room."""
        return len(self._waiting)

    def is_stuck(self) -> bool:
        """Whether the fetch whose turn is next has had to wait since the last call."""
        head = next(iter(self._waiting), 0)
        stuck = head != 0 and head == self._seen
        self._seen = head
        return stuck

    def take(self, wanted: int, granted: Granted) -> int:
        """Calls `granted` with the bytes that may be read, at once or when others have been sent.

        Returns a ticket for `forget`.
        """
        self._last_ticket += 1
        self._waiting[self._last_ticket] = (wanted, granted)
        ticket = self._last_ticket
        self._serve()
        return ticket

    def forget(self, ticket: int) -> None:
        """Whoever has that ticket does not wait any more, if it still does."""
        if self._waiting.pop(ticket, None) is not None:
            self._serve()

    def give_back(self, size: int) -> None:
        """Bytes that were not needed, or have been sent."""
        self.used -= size
        self._serve()

    def _serve(self) -> None:
        """Grants in order what there is room for. Who is served may give back, or take, at once: that is seen
        to here and not in a call inside the call, of which there would be as many as fetches wait."""
        if self._serving or self._goes_on:
            return
        self._serving = True
        began = 0.0
        try:
            while self._waiting:
                ticket = next(iter(self._waiting))
                wanted, granted = self._waiting[ticket]
                if not self._has_room(wanted):
                    return
                del self._waiting[ticket]
                granted(self._grant(wanted))
                if self._waiting and self._call_soon is not None:
                    now = monotonic()
                    began = began or now
                    if now - began >= _TURN_SECONDS:
                        self._goes_on = True
                        self._call_soon(self._go_on)
                        return
        finally:
            self._serving = False

    def _go_on(self) -> None:
        self._goes_on = False
        self._serve()

    def _has_room(self, wanted: int) -> bool:
        # An idle budget is enough for anybody, however small it was configured.
        return self.used == 0 or self.limit - self.used >= min(wanted, SMALLEST)

    def _grant(self, wanted: int) -> int:
        size = max(min(wanted, self.limit - self.used), min(wanted, SMALLEST))
        self.used += size
        return size
