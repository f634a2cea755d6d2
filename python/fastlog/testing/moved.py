"""What a broker does when the clock of its data was moved: all that is due by then, and at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.native.moving_clock import MovingClock
    from fastlog.server.broker import Broker

__all__ = ["move"]

_BY_THE_CLOCK: Final = (
    "retention",
    "removal",
    "producer-expiry",
    "transaction-timeouts",
    "transactional-id-expiry",
)
"""The loops that compare times of the data with the clock."""
_PATIENCE_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.002


async def move(broker: Broker, clock: MovingClock, milliseconds: int) -> bool:
    """Moves the clock on, and returns when what had waited for it was looked at; False: not in time.

    Segments that are too old are gone then, logs that are old enough compacted, members that were silent for
    too long out of their groups, transactions that were open for too long about to be aborted.
    """
    clock.advance(milliseconds)
    services = broker.services
    services.groups.time_moved()
    # This one also forgets groups without members and offsets: it leaves them as much time as it always does.
    others = ["offset-expiry"] if milliseconds >= broker.config.offsets_retention_check_interval_ms else []
    due = broker.tasks.hurry([*_BY_THE_CLOCK, *others])
    cleaner = services.logs.cleaner
    rests = cleaner.hurry()
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE_SECONDS
    while loop.time() < until:
        loops = broker.tasks.loops
        if cleaner.rests >= rests and all(loops[name].passes >= count for name, count in due.items()):
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False
