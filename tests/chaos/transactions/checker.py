"""What a history of transactions must show, whatever happened to the brokers. Pure: data in, words out.

The ideas are those of Jepsen's workload for Kafka. Interleaved writes of several transactions are as they
should be: Kafka promises nothing else.

| check           | what it finds                                                                            |
|-----------------|------------------------------------------------------------------------------------------|
| `lost`          | lost write: committed, not read, though what comes after it was                          |
| `unseen`        | committed, and above all that was read: lost, too, once everything has been read         |
| `aborted_reads` | read, though its transaction was aborted, or it was never sent                           |
| `torn`          | some records of a transaction can be read, and others not; or its position alone         |
| `duplicates`    | one value at two offsets                                                                 |
| `inconsistent`  | two values at one offset                                                                 |
| `vanished`      | read by somebody, and not in the end                                                     |
| `order`         | records of one producer that have changed places                                         |
| `reading`       | a reader that goes back, or skips what is committed                                      |
| `stability`     | a last stable offset that goes back                                                      |
| `hanging`       | in the end the last stable offset is not at the end: nobody ends a transaction           |
| `positions`     | positions of groups: of an aborted transaction, lost, or going back                      |
| `failures`      | what a client was told and should not have been                                          |
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from tests.chaos.transactions.history import (
    ABORTED,
    COMMITTED,
    NO_OFFSET,
    Row,
    Transaction,
    TransactionHistory,
)

Position = tuple[int, int]
"""Partition and offset."""


def check(history: TransactionHistory) -> list[str]:
    """Everything that is wrong, in words; nothing is wrong when the list is empty."""
    return [
        *lost(history),
        *unseen(history),
        *aborted_reads(history),
        *torn(history),
        *duplicates(history),
        *inconsistent(history),
        *vanished(history),
        *order(history),
        *reading(history),
        *stability(history),
        *hanging(history),
        *positions(history),
        *failures(history),
    ]


def lost(history: TransactionHistory) -> Iterator[str]:
    """What is committed is read by who reads on behind it."""
    ends = _read_ends(history)
    for one, (partition, offset, value) in _missing(history):
        if offset < ends.get(partition, 0):
            yield f"lost write: {value} of {one.name} was committed at {partition}/{offset}, nobody reads it"


def unseen(history: TransactionHistory) -> Iterator[str]:
    """What is committed is read in the end."""
    ends = _read_ends(history)
    for one, (partition, offset, value) in _missing(history):
        if offset >= ends.get(partition, 0):
            yield f"unseen: {value} of {one.name} was committed at {partition}/{offset}, nobody comes to it"


def aborted_reads(history: TransactionHistory) -> Iterator[str]:
    """What is read was sent, to this partition, in a transaction that was not aborted."""
    sent = {value: (partition, one) for one in history.transactions.values() for partition, value in one.sent}
    for partition, offset, value in _read(history):
        expected, one = sent.get(value, (None, None))
        if one is None or expected != partition:
            yield f"aborted read: {value} is read at {partition}/{offset}, and was not sent there"
        elif one.fate == ABORTED:
            yield f"aborted read: {value} at {partition}/{offset} is of {one.name}, aborted: {one.why}"


def torn(history: TransactionHistory) -> Iterator[str]:
    """All that a transaction has written can be read, or nothing."""
    if history.final is None:
        return
    seen = {value for _, _, value in history.final}
    for one in history.transactions.values():
        acked = [value for _, _, value in one.acked]
        there = [value for value in acked if value in seen]
        if there and len(there) < len(acked):
            gone = sorted(set(acked) - seen)
            yield f"torn transaction: of {one.name}, {one.fate}, {there} can be read and {gone} cannot"


def duplicates(history: TransactionHistory) -> Iterator[str]:
    """A value, which was sent once, is at one offset."""
    places: dict[int, Position] = {}
    for partition, offset, value in _read(history):
        first = places.setdefault(value, (partition, offset))
        if first != (partition, offset):
            yield f"duplicate: {value} is at {first[0]}/{first[1]} and at {partition}/{offset}"


def inconsistent(history: TransactionHistory) -> Iterator[str]:
    """One offset has one value, for ever, for all readers."""
    values: dict[Position, int] = {}
    for partition, offset, value in _read(history):
        first = values.setdefault((partition, offset), value)
        if first != value:
            yield f"inconsistent offset: {partition}/{offset} has {first} and {value}"


def vanished(history: TransactionHistory) -> Iterator[str]:
    """What somebody has read stays."""
    if history.final is None:
        return
    kept = {(partition, offset) for partition, offset, _ in history.final}
    rows = {row for stretches in history.readers.values() for row in chain.from_iterable(stretches)}
    for partition, offset, value in sorted(rows):
        if (partition, offset) not in kept:
            yield f"vanished: {value} was read at {partition}/{offset}, where nothing is any more"


def order(history: TransactionHistory) -> Iterator[str]:
    """Records of a producer have, in each partition, the order in which they were sent."""
    offsets = {value: offset for _, offset, value in _read(history)}
    last: dict[tuple[str, int], tuple[int, int]] = {}
    for one in sorted(history.transactions.values(), key=lambda one: (one.producer, one.number)):
        for partition, value in one.sent:
            if (offset := offsets.get(value)) is None:
                continue
            before, other = last.get((one.producer, partition), (-1, -1))
            if offset < before:
                where = f"{partition}/{before} and {partition}/{offset}"
                yield f"order: {one.producer} sent {other} before {value}, they are at {where}"
            last[one.producer, partition] = offset, value


def reading(history: TransactionHistory) -> Iterator[str]:
    """A reader gets, from where it began, each committed record after the one before."""
    known: dict[int, list[int]] = defaultdict(list)
    for partition, offset in sorted({row[:2] for row in _read(history)}):
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


def stability(history: TransactionHistory) -> Iterator[str]:
    """Last stable offset and high watermark never fall; what a leader of the past says does not count."""
    for (name, partition), told in history.stable.items():
        newest = highest_stable = highest_end = -1
        for epoch, stable, end in told:
            if epoch < newest:
                continue
            newest = epoch
            if stable < highest_stable:
                yield f"stability: {name} is told {stable} of {partition} after {highest_stable}"
            if end < highest_end:
                yield f"stability: {name} is told that {partition} ends at {end} after {highest_end}"
            highest_stable, highest_end = max(stable, highest_stable), max(end, highest_end)


def hanging(history: TransactionHistory) -> Iterator[str]:
    """In the end no transaction is open."""
    for partition, (stable, end) in history.ends.items():
        if stable != end:
            yield f"hanging: {partition} is stable up to {stable}, and ends at {end}"


def positions(history: TransactionHistory) -> Iterator[str]:
    """Positions become those of committed transactions, each above the one before, and stay."""
    for group, final in history.final_positions.items():
        yield from _of_group(history, group, final)


def failures(history: TransactionHistory) -> Iterator[str]:
    """What should not happen to a client."""
    yield from (f"failure: {name}: {error}" for name, error in history.failures)


def _of_group(history: TransactionHistory, group: str, final: int) -> Iterator[str]:
    """A group has the name of the only producer that moves it, by the numbers of its transactions."""
    seen = {value for _, _, value in history.final or ()}
    mine = {number: one for (name, number), one in history.transactions.items() if name == group}
    moved = {number: one for number, one in mine.items() if one.position is not None}
    counts = {
        number: any(value in seen for _, _, value in one.acked) or one.fate == COMMITTED
        for number, one in moved.items()
    }
    expected = max((number for number, is_there in counts.items() if is_there), default=-1)
    doubtful = {number for number, one in moved.items() if one.fate != ABORTED and not one.acked}
    if final != expected and not (final > expected and final in doubtful):
        one = moved.get(expected)
        kind = "torn transaction" if one is not None and final < expected else "aborted position"
        yield f"{kind}: {group} is at {final}, and should be at {expected}"
    last: dict[int, int] = {}
    for node, offset in history.positions[group]:
        if offset >= 0 and not counts.get(offset, False) and offset not in doubtful:
            yield f"aborted position: {group} was at {offset}, which is not committed"
        if offset < last.get(node, -1):
            yield f"position: {group} goes back from {last[node]} to {offset} on {node}"
        last[node] = offset


def _between(offsets: list[int], low: int, high: int) -> int:
    """How many of the sorted offsets lie between the two."""
    return bisect.bisect_left(offsets, high) - bisect.bisect_right(offsets, low)


def _missing(history: TransactionHistory) -> Iterator[tuple[Transaction, Row]]:
    """Acknowledged records of committed transactions that are not there."""
    rows = _read(history) if history.final is None else history.final
    seen = {value for _, _, value in rows}
    for one in history.transactions.values():
        if one.fate == COMMITTED:
            yield from ((one, row) for row in one.acked if row[2] not in seen)


def _read_ends(history: TransactionHistory) -> dict[int, int]:
    ends: dict[int, int] = {}
    for partition, offset, _ in _read(history) if history.final is None else history.final:
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    return ends


def _read(history: TransactionHistory) -> Iterator[Row]:
    """What anybody has read, and the last look: each once for each reader."""
    rows: Iterable[Row] = chain.from_iterable(
        chain.from_iterable(stretches) for stretches in history.readers.values()
    )
    return (row for row in dict.fromkeys(chain(rows, history.final or ())) if row[1] != NO_OFFSET)
