"""The timer of a group: one at a time, set anew only for an earlier deadline.

What a timer does may fail by a defect; the group would then never lose a silent member again. So it is tried
again after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.base.tasks import Guard
    from fastlog.coordination.groups.table import GroupEntry

OnTime = Callable[["GroupEntry"], None]

TIMERS: Final = "group-timers"
"""Under what name failures of timers are counted."""
_AGAIN_SECONDS: Final = 1.0


def arm(entry: GroupEntry, deadline: float | None, now: float, on_time: OnTime, guard: Guard) -> None:
    """Calls `on_time` at the deadline or before; None: there is none. Times are on the broker's clock."""
    if entry.timer is not None:
        if deadline is not None and entry.timer_at <= deadline:
            # It fires early, finds nothing to do, and is set again.
            return
        entry.timer.cancel()
        entry.timer = None
    if deadline is not None:
        entry.timer_at = deadline
        loop, left = asyncio.get_running_loop(), deadline - now
        if left <= 0:
            # What is due already need not go through the heap of all timers.
            entry.timer = loop.call_soon(_fire, entry, on_time, guard)
        else:
            # The broker's clock may be another than the loop's.
            entry.timer = loop.call_later(left, _fire, entry, on_time, guard)


def _fire(entry: GroupEntry, on_time: OnTime, guard: Guard) -> None:
    if not guard(on_time, entry) and entry.timer is None:
        # Whatever is due earlier may wait for this one: it is never far away.
        entry.timer_at = float("-inf")
        entry.timer = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, _fire, entry, on_time, guard)
