"""What a history of a replicated log must show, whatever happened to the cluster. Pure: data in, words out.

The ideas are those of Jepsen's workload for Kafka, without its cycles of transactions.

| check           | what it finds                                                                          |
|-----------------|----------------------------------------------------------------------------------------|
| `lost`          | lost write: acknowledged, not read, though what comes after it was                     |
| `unseen`        | acknowledged, and above all that was read: lost, too, once everything has been read    |
| `vanished`      | read by somebody, and not in the log any more                                          |
| `inconsistent`  | two values at one offset                                                               |
| `duplicates`    | one value at two offsets                                                               |
| `aborted_reads` | read, though it was never sent, or is known not to be in the log                       |
| `order`         | records of one producer that have changed places                                       |
| `sending`       | a producer that finds the log not to go on where it was                                |
| `reading`       | a reader that goes back, skips what is in the log, or finds its place gone             |
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from tests.cluster.history import NO_OFFSET, LogHistory, Row

Position = tuple[int, int]
"""Partition and offset."""


def check(history: LogHistory) -> list[str]:
    """Everything that is wrong, in words; nothing is wrong when the list is empty."""
    return [
        *lost(history),
        *unseen(history),
        *vanished(history),
        *inconsistent(history),
        *duplicates(history),
        *aborted_reads(history),
        *order(history),
        *sending(history),
        *reading(history),
    ]


def lost(history: LogHistory) -> Iterator[str]:
    """What is acknowledged is read by who reads on behind it, and in the end by who reads all."""
    seen, ends = _settled(history)
    for partition, offset, value in _acked(history):
        if value not in seen and offset < ends.get(partition, 0):
            yield f"lost write: {value} was acknowledged at {partition}/{offset}, and nobody reads it"


def unseen(history: LogHistory) -> Iterator[str]:
    """What is acknowledged is read in the end."""
    seen, ends = _settled(history)
    for partition, offset, value in _acked(history):
        if value not in seen and offset >= ends.get(partition, 0):
            yield f"unseen: {value} was acknowledged at {partition}/{offset}, {partition} is read to its end"


def vanished(history: LogHistory) -> Iterator[str]:
    """What somebody has read stays."""
    if history.final is None:
        return
    kept = {(partition, offset) for partition, offset, _ in history.final}
    rows = {row for stretches in history.readers.values() for row in chain.from_iterable(stretches)}
    for partition, offset, value in sorted(rows):
        if (partition, offset) not in kept:
            yield f"vanished: {value} was read at {partition}/{offset}, which the log has no more"


def inconsistent(history: LogHistory) -> Iterator[str]:
    """One offset has one value, for ever: in acknowledgements, and for all readers."""
    values: dict[Position, int] = {}
    for partition, offset, value in chain(_placed(history), _read(history)):
        first = values.setdefault((partition, offset), value)
        if first != value:
            yield f"inconsistent offset: {partition}/{offset} has {first} and {value}"


def duplicates(history: LogHistory) -> Iterator[str]:
    """A value, which was sent once, is at one offset."""
    positions: dict[int, Position] = {}
    for partition, offset, value in chain(_placed(history), _read(history)):
        first = positions.setdefault(value, (partition, offset))
        if first != (partition, offset):
            yield f"duplicate: {value} is at {first[0]}/{first[1]} and at {partition}/{offset}"


def aborted_reads(history: LogHistory) -> Iterator[str]:
    """What is read was sent, to this partition, and has not failed for sure."""
    sent = {value: partition for one in history.producers.values() for partition, value in one.sent}
    failed = {item.value: item.error for item in history.failures if item.sure}
    for partition, offset, value in _read(history):
        if sent.get(value) != partition:
            yield f"aborted read: {value} is read at {partition}/{offset}, and was not sent there"
        elif value in failed:
            yield f"aborted read: {value} is read at {partition}/{offset}, though it failed: {failed[value]}"


def order(history: LogHistory) -> Iterator[str]:
    """Records of a producer have, in each partition, the order in which they were sent."""
    offsets = {row[2]: row[1] for row in chain(_placed(history), _read(history))}
    for name, producer in history.producers.items():
        last: dict[int, tuple[int, int]] = {}
        for partition, value in producer.sent:
            offset = offsets.get(value)
            if offset is None:
                continue
            before, other = last.get(partition, (-1, -1))
            if offset < before:
                where = f"{partition}/{before} and {partition}/{offset}"
                yield f"order: {name} sent {other} before {value}, they are at {where}"
            last[partition] = (offset, value)


def sending(history: LogHistory) -> Iterator[str]:
    """An idempotent producer is never told that what it sends does not follow what it has sent."""
    yield from (f"sending: {name} has to give up: {error}" for name, error in history.fatal)


def reading(history: LogHistory) -> Iterator[str]:
    """A reader gets, from where it began, each record of the log after the one before."""
    yield from (f"reading: {name} finds its place gone: {error}" for name, error in history.lost)
    known: dict[int, list[int]] = defaultdict(list)
    for partition, offset in sorted({(row[0], row[1]) for row in chain(_placed(history), _read(history))}):
        known[partition].append(offset)
    for name, stretches in history.readers.items():
        for stretch in stretches:
            read: dict[int, list[int]] = defaultdict(list)
            for partition, offset, _ in stretch:
                read[partition].append(offset)
            for partition, offsets in read.items():
                for before, after in pairwise(offsets):
                    if after <= before:
                        yield f"reading: {name} goes back in {partition} from {before} to {after}"
                    elif (between := _between(known[partition], before, after)) > 0:
                        yield f"reading: {name} skips {between} of {partition} from {before} to {after}"


def _between(offsets: list[int], low: int, high: int) -> int:
    """How many of the sorted offsets lie between the two."""
    return bisect.bisect_left(offsets, high) - bisect.bisect_right(offsets, low)


def _acked(history: LogHistory) -> Iterator[Row]:
    return chain.from_iterable(producer.acked for producer in history.producers.values())


def _placed(history: LogHistory) -> Iterator[Row]:
    """Acknowledged, and it was told where."""
    return (row for row in _acked(history) if row[1] != NO_OFFSET)


def _read(history: LogHistory) -> Iterator[Row]:
    """What anybody has read, and the last look: once each."""
    rows: Iterable[Row] = chain.from_iterable(
        chain.from_iterable(stretches) for stretches in history.readers.values()
    )
    return iter(dict.fromkeys(chain(rows, history.final or ())))


def _settled(history: LogHistory) -> tuple[set[int], dict[int, int]]:
    """(the values in the log, the end of each partition) by the last look, else by all that was read."""
    rows = list(_read(history)) if history.final is None else history.final
    ends: dict[int, int] = {}
    for partition, offset, _ in rows:
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    return {row[2] for row in rows}, ends
