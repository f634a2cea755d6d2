"""Where to start, or stop, in a partition: in words, and turned into offsets by asking the leaders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.leaders import EARLIEST, LATEST, list_offsets
from fastlog.client.metadata import TopicPartition

__all__ = ["BEGINNING", "END", "Position", "resolve"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log.

    "earliest", "latest"; "offset" `value`; "tail": `value` offsets before the end; "timestamp": the first
    record at or after `value` ms since the epoch, or the end when there is none.
    """

    kind: Literal["earliest", "latest", "offset", "tail", "timestamp"]
    value: int = 0


BEGINNING: Final = Position("earliest")
END: Final = Position("latest")


async def resolve(
    cluster: Cluster,
    positions: Mapping[TopicPartition, Position],
    *,
    read_committed: bool = False,
    timeout_ms: int | None = None,
) -> dict[TopicPartition, int]:
    """The offset of each position. With `read_committed` the end is the last stable offset.

    Raises the ClientError of the first partition that has one.
    """

    async def ask(wanted: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        if not wanted:
            return {}
        answers = await list_offsets(cluster, wanted, read_committed=read_committed, timeout_ms=timeout_ms)
        found = {}
        for name, answer in answers.items():
            if isinstance(answer, ClientError):
                raise answer
            found[name] = answer.offset
        return found

    first = await ask({name: _timestamp(position) for name, position in positions.items()})
    # A log without a record that late answers -1: that means the end. A tail must not start before the log.
    late = [name for name, offset in first.items() if positions[name].kind == "timestamp" and offset < 0]
    ends = await ask(dict.fromkeys(late, LATEST))
    tails = [name for name, position in positions.items() if position.kind == "tail"]
    starts = await ask(dict.fromkeys(tails, EARLIEST))
    found = first | ends
    for name in tails:
        found[name] = max(starts[name], first[name] - positions[name].value)
    return {
        name: position.value if position.kind == "offset" else found[name]
        for name, position in positions.items()
    }


def _timestamp(position: Position) -> int:
    if position.kind == "timestamp":
        return position.value
    # For an offset nothing needs to be known, but a partition that does not exist should be told now.
    return EARLIEST if position.kind == "earliest" else LATEST
