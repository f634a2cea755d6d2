"""What a connection was refused because this broker did not lead, and a gap that comes of it.

A producer has several requests under way. When a broker becomes the leader between two of them, the first is
refused with NOT_LEADER_OR_FOLLOWER, and the next meets a gap in the producer's sequence numbers. The code of
a gap says to some clients that records are lost: librdkafka begins a new sequence, and sends once more what
the former leader may have replicated, so that it is there twice. For a while after a refusal the gap has the
refusal's code, too: all is sent again, in its order. A gap that is there to stay gets its own code then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode

if TYPE_CHECKING:
    from fastlog.native.shapes import ProducePlanRow, ProduceResult
    from fastlog.server.network.session import Session

GAP_SECONDS: Final = 5.0
"""Requests that were under way at the refusal have come by then, also on a busy machine."""
_MOST: Final = 1000
"""Partitions of a connection that are remembered."""

_REFUSED: Final = ErrorCode.NOT_LEADER_OR_FOLLOWER.value
_GAP: Final = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER.value


def note_refusals(
    session: Session, asked: Sequence[ProducePlanRow], results: list[ProduceResult], now: float
) -> None:
    """Remembers what is refused, and changes the code of gaps in `results`. `now`: monotonic seconds."""
    refused = session.refused
    for index, row in enumerate(results):
        if row[0] != _REFUSED and row[0] != _GAP:
            continue
        topic, partition, _ = asked[index]
        key = topic, partition
        if row[0] == _REFUSED:
            if len(refused) >= _MOST:
                refused.clear()
            refused[key] = now + GAP_SECONDS
        elif refused.get(key, now) > now:
            results[index] = (_REFUSED, *row[1:])
