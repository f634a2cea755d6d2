"""The timer of a group: one at a time, set anew only for an earlier deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastlog.coordination.groups.table import GroupEntry


def arm(entry: GroupEntry, deadline: float | None, now: float, on_time: Callable[[GroupEntry], None]) -> None:
    """Calls `on_time` at the deadline or before; None: there is none. Times are on the broker's clock."""
    if entry.timer is not None:
        if deadline is not None and entry.timer_at <= deadline:
            # It fires early, finds nothing to do, and is set again.
            return
        entry.timer.cancel()
        entry.timer = None
    if deadline is not None:
        # The broker's clock may be another than the loop's.
        entry.timer_at = deadline
        entry.timer = asyncio.get_running_loop().call_later(max(0.0, deadline - now), on_time, entry)
