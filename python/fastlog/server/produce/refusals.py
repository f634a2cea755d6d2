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
        if code == 0:
            continue
        behind = _REFUSED.get(code)
        if behind is None and code != _GAP:
            continue
        if behind is not None:
            noted += 1
            if noted > _MOST:
                # As many as are remembered: a request may name tens of thousands.
                continue
        topic, partition, _ = asked[index]
        key = topic, partition
        if behind is not None:
            # The latest is at the end.
            refused.pop(key, None)
            if len(refused) >= _MOST:
                for former in list(islice(refused, _MOST // 2)):
                    del refused[former]
            refused[key] = behind, now + GAP_SECONDS
        elif key in refused:
            told, until = refused[key]
            if until > now:
                results[index] = (told, *row[1:])
