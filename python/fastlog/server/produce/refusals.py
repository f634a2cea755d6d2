"""What a connection was refused because this broker did not take records, and a gap that comes of it.

A producer has several requests under way. When a broker becomes the leader between two of them, or enough
replicas get in sync, the first is refused, and the next meets a gap in the producer's sequence numbers. The
code of a gap says to some clients that records are lost: librdkafka begins a new epoch, and sends once more
what was written and not answered before (by a former leader, or before all brokers were stopped), so that it
is there twice. For a while after a refusal the gap has the refusal's code, too: all is sent again, in its
order. A gap that is there to stay gets its own code then.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode

if TYPE_CHECKING:
    from fastlog.native.shapes import ProducePlanRow, ProduceResult
    from fastlog.server.network.session import Session

GAP_SECONDS: Final = 5.0
"""Requests that were under way at the refusal have come by then, also on a busy machine."""
_MOST: Final = 1000
"""Partitions of a connection that are remembered."""

_GAP: Final = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER.value
_NOT_LEADER: Final = ErrorCode.NOT_LEADER_OR_FOLLOWER.value
_REFUSED: Final = {
    _NOT_LEADER: _NOT_LEADER,
    # It has not been told of the partition yet; behind that it has, and clients would drop the topic.
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION.value: _NOT_LEADER,
    ErrorCode.NOT_ENOUGH_REPLICAS.value: ErrorCode.NOT_ENOUGH_REPLICAS.value,
    ErrorCode.KAFKA_STORAGE_ERROR.value: _NOT_LEADER,
}
"""By code of a refusal that passes: the code of a gap behind it."""


def note_refusals(
    session: Session, asked: Sequence[ProducePlanRow], results: list[ProduceResult], now: float
) -> None:
    """Remembers what is refused, and changes the code of gaps in `results`. `now`: monotonic seconds."""
    refused, noted = session.refused, 0
    for index, row in enumerate(results):
        code = row[0]
        if code == _GAP:
            topic, partition, _ = asked[index]
            told, until = refused.get((topic, partition), (code, now))
            if until > now:
                results[index] = (told, *row[1:])
        elif code in _REFUSED and noted < _MOST:
            # Of one request no more than are remembered at all: it may name tens of thousands.
            noted += 1
            topic, partition, _ = asked[index]
            _remember(refused, (topic, partition), (_REFUSED[code], now + GAP_SECONDS))


def _remember(
    refused: dict[tuple[str, int], tuple[int, float]], key: tuple[str, int], told: tuple[int, float]
) -> None:
    """The latest is at the end; where there is no room, the older half goes."""
    refused.pop(key, None)
    if len(refused) >= _MOST:
        for former in list(islice(refused, _MOST // 2)):
            del refused[former]
    refused[key] = told
