"""How long an event loop is held: in CPU time, which a busy machine lengthens little."""

from __future__ import annotations

import selectors
import time


class ProbedSelector(selectors.DefaultSelector):
    """Notes the longest CPU time between two looks for events."""

    longest = 0.0
    _began: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As its base."""
        if self._began is not None:
            self.longest = max(self.longest, time.thread_time() - self._began)
        events = super().select(timeout)
        self._began = time.thread_time()
        return events
