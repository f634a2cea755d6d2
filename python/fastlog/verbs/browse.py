"""Records of a topic, some at a time: the newest first, or from a place on, by key and by filter.

What a look costs is bounded whatever is asked for: by records, bytes and time. When a bound is met before
enough was found, the page says which (`stopped`), and its cursor goes on from there.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from fastlog.client.consumer.config import ReaderConfig
from fastlog.client.consumer.reader import Reader
from fastlog.client.errors import ClientError
from fastlog.client.leaders import EARLIEST, LATEST, OffsetAt, list_offsets
from fastlog.client.metadata import TopicPartition
from fastlog.client.positions import Position, resolve
from fastlog.errors.by_code import OffsetOutOfRange
from fastlog.native import Record
from fastlog.verbs.decoders import Format
from fastlog.verbs.desk import Desk
from fastlog.verbs.filters import Filter, compile_filter
from fastlog.verbs.messages import MOST_SHOWN, Message, Reading, View
from fastlog.verbs.pages import check_limit, read_cursor, write_cursor
from fastlog.verbs.places import parse_position
from fastlog.verbs.problems import BadArgument, NotFound
from fastlog.verbs.registry import verb
from fastlog.verbs.topics import TopicName, topic_info

__all__ = [
    "Budget",
    "FilterText",
    "Look",
    "MessagePage",
    "Scan",
    "browse",
    "edges",
    "get_message",
    "names_of",
    "read_between",
    "read_one",
    "scan",
]

FilterText = Annotated[
    str | None, "Such as: value.user.id == 17 and (key startswith 'eu-' or headers.trace exists)."
]
Stopped = Literal["limit", "end", "records", "bytes", "time"]

_KIND: Final = "messages"
_MOST_PARTITIONS: Final = 2000
_MOST_RECORDS: Final = 200_000
_MOST_BYTES: Final = 256 << 20
_POLL_MS: Final = 200
_TURN: Final = 100
"""Records that are looked at before the loop may do something else."""
_WINDOW: Final = 200
"""Offsets of all partitions together that a look backwards takes first; each further one takes four times."""
_MAX_WINDOW: Final = 20_000
_CONFIG: Final = ReaderConfig(
    auto_offset_reset="earliest",
    fetch_max_bytes=4 << 20,
    max_partition_fetch_bytes=512 * 1024,
    fetch_max_wait_ms=100,
    retry_timeout_ms=10_000,
)
_COMMITTED: Final = ReaderConfig(
    isolation_level="read_committed",
    auto_offset_reset="earliest",
    fetch_max_bytes=4 << 20,
    max_partition_fetch_bytes=512 * 1024,
    fetch_max_wait_ms=100,
    retry_timeout_ms=10_000,
)
_STRICT: Final = ReaderConfig(fetch_max_bytes=1 << 20, fetch_max_wait_ms=100, retry_timeout_ms=10_000)


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Records that were found. `scanned` records and `scanned_bytes` were looked at for them.

    `stopped`: why there are no more: limit, end (of the log, or its beginning when the newest come first), or
    the bound on records, bytes or time. `next_cursor` goes on; None at the end.
    """

    messages: list[Message]
    next_cursor: str | None
    scanned: int
    scanned_bytes: int
    stopped: Stopped


@dataclass(slots=True)
class Budget:
    """What a look may still cost."""

    until: float
    records: int = 0
    size: int = 0

    def met(self) -> Stopped | None:
        if self.records >= _MOST_RECORDS:
            return "records"
        if self.size >= _MOST_BYTES:
            return "bytes"
        return "time" if time.monotonic() >= self.until else None


@dataclass(slots=True)
class Look:
    """One look: what is chosen, and what was found so far."""

    desk: Desk
    reading: Reading
    key: bytes | None
    chosen: Filter | None
    config: ReaderConfig
    limit: int
    budget: Budget
    found: list[Message] = field(default_factory=list)

    def take(self, record: Record) -> Message | None:
        """Counts a record; the message when it is chosen."""
        self.budget.records += 1
        if self.key is not None and record.key != self.key:
            self.budget.size += len(record.key or b"") + len(record.value or b"")
            return None
        view = View(self.desk, self.desk.masks.of(record.topic), record, self.reading)
        self.budget.size += view.size
        if self.chosen is not None and not self.chosen(view):
            return None
        return view.message()


@verb("read")
async def browse(
    desk: Desk,
    *,
    topic: TopicName,
    partitions: Annotated[list[int] | None, "Only these partitions."] = None,
    position: Annotated[
        str,
        "newest (newest first), beginning, end, an offset, -N (N before the end), or @TIME (ISO 8601 or ms).",
    ] = "newest",
    key: Annotated[str | None, "Only records with this key, as text."] = None,
    filter: FilterText = None,  # noqa: A002 - the name that everybody sees
    key_format: Annotated[Format, "How keys are decoded."] = "auto",
    value_format: Annotated[Format, "How values are decoded."] = "auto",
    committed: Annotated[bool, "Without records of transactions that were aborted or are open."] = False,
    max_chars: Annotated[int, "Most characters that are shown of a key or value."] = 4096,
    max_ms: Annotated[int, "Most milliseconds that the look may take."] = 5000,
    cursor: Annotated[
        str | None, "The next_cursor of the page before, with the same other arguments."
    ] = None,
    limit: Annotated[int, "Most records of the page."] = 50,
) -> MessagePage:
    """Shows records of a topic: the newest first, or from a place on, chosen by key and filter."""
    check_limit(limit)
    _check_range("max_chars", max_chars, MOST_SHOWN)
    _check_range("max_ms", max_ms, 30_000)
    if key is not None and desk.masks.of(topic).bears_on("key"):
        raise BadArgument("key: keys of this topic are masked, and cannot be looked for")
    look = Look(
        desk,
        Reading(key_format, value_format, max_chars),
        None if key is None else key.encode(),
        compile_filter(filter),
        _COMMITTED if committed else _CONFIG,
        limit,
        Budget(time.monotonic() + max_ms / 1000),
    )
    names = await names_of(desk, topic, partitions)
    wide = max(_WINDOW, limit)
    if cursor is not None:
        direction, wide, offsets = _read_cursor(cursor, names)
    elif position == "newest":
        direction, offsets = "back", await edges(desk, names, LATEST, committed=committed)
    else:
        direction = "on"
        offsets = await resolve(
            desk.cluster, dict.fromkeys(names, parse_position(position)), read_committed=committed
        )
    if direction == "back":
        return await _newest(look, offsets, wide)
    return await _onwards(look, offsets)


@verb("read")
async def get_message(
    desk: Desk,
    *,
    topic: TopicName,
    partition: Annotated[int, "The partition."],
    offset: Annotated[int, "Its offset."],
    key_format: Annotated[Format, "How the key is decoded."] = "auto",
    value_format: Annotated[Format, "How the value is decoded."] = "auto",
    max_chars: Annotated[int, "Most characters that are shown of key and value."] = 262_144,
) -> Message:
    """Shows one record, with more of it than a list does."""
    _check_range("max_chars", max_chars, MOST_SHOWN)
    record = await read_one(desk, topic, partition, offset)
    view = View(desk, desk.masks.of(topic), record, Reading(key_format, value_format, max_chars))
    return view.message()


async def read_one(desk: Desk, topic: str, partition: int, offset: int) -> Record:
    """The record at an offset. Raises NotFound."""
    (name,) = await names_of(desk, topic, [partition])
    if offset < 0:
        raise BadArgument(f"offset: {offset} is none")
    budget = Budget(time.monotonic() + 5)
    problem = NotFound(f"partition {name} has no record at offset {offset}")
    try:
        async for record in read_between(desk, {name: offset}, {name: offset + 1}, _STRICT, budget):
            if record.offset == offset:
                return record
    except OffsetOutOfRange:
        raise problem from None
    raise problem


def _check_range(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise BadArgument(f"{name}: {value} is not from 1 to {most}")


async def names_of(desk: Desk, topic: str, partitions: list[int] | None) -> list[TopicPartition]:
    """These partitions of a topic, or all that have a leader. Raises BadArgument, NotFound, BrokerError."""
    info = await topic_info(desk, topic)
    there = {item.index for item in info.partitions}
    wanted = sorted(there) if partitions is None else sorted(set(partitions))
    missing = [index for index in wanted if index not in there]
    if missing:
        raise BadArgument(f"partitions: topic {topic!r} has no partition {missing[0]}, it has {len(there)}")
    if len(wanted) > _MOST_PARTITIONS:
        raise BadArgument(f"partitions: {len(wanted)} are more than {_MOST_PARTITIONS}: name some")
    leaders = {item.index for item in info.partitions if item.leader >= 0}
    live = [index for index in wanted if index in leaders]
    if not live and wanted:
        raise NotFound(f"no partition of topic {topic!r} has a leader")
    return [TopicPartition(topic, index) for index in (live if partitions is None else wanted)]


def _read_cursor(cursor: str, names: list[TopicPartition]) -> tuple[str, int, dict[TopicPartition, int]]:
    problem = BadArgument("cursor: is not one that this list gave")
    found = read_cursor(_KIND, cursor)
    if not isinstance(found, list) or len(found) != 3 or found[0] not in ("back", "on"):
        raise problem
    direction, wide, rows = found
    if not isinstance(rows, list) or len(rows) > _MOST_PARTITIONS:
        raise problem
    if type(wide) is not int or not 1 <= wide <= _MAX_WINDOW:
        raise problem
    by_index = {name.partition: name for name in names}
    offsets = {}
    for row in rows:
        if not isinstance(row, list) or len(row) != 2 or not all(type(item) is int for item in row):
            raise problem
        index, offset = row
        if index not in by_index or not 0 <= offset < 2**63:
            raise problem
        offsets[by_index[index]] = offset
    return direction, wide, offsets


def _cursor(direction: str, wide: int, offsets: Mapping[TopicPartition, int]) -> str | None:
    rows = [[name.partition, offset] for name, offset in sorted(offsets.items())]
    return write_cursor(_KIND, [direction, wide, rows]) if rows else None


async def edges(
    desk: Desk, names: list[TopicPartition], at: int, *, committed: bool = False
) -> dict[TopicPartition, int]:
    """Where their logs begin (EARLIEST) or end (LATEST). Raises ClientError."""
    found = await list_offsets(desk.cluster, dict.fromkeys(names, at), read_committed=committed)
    offsets = {}
    for name, row in found.items():
        if isinstance(row, ClientError):
            raise row
        if isinstance(row, OffsetAt):
            offsets[name] = row.offset
    return offsets


async def _onwards(look: Look, starts: Mapping[TopicPartition, int]) -> MessagePage:
    """From a place on, up to the ends of now. Within a partition in order."""
    ends = await edges(look.desk, list(starts), LATEST, committed=look.config.read_committed)
    left = {name: start for name, start in starts.items() if start < ends[name]}
    positions = dict(left)
    stopped: Stopped = "end"
    async for record in read_between(look.desk, left, ends, look.config, look.budget):
        name = TopicPartition(record.topic, record.partition)
        message = look.take(record)
        positions[name] = record.offset + 1
        if message is not None:
            look.found.append(message)
            if len(look.found) >= look.limit:
                stopped = "limit"
                break
    else:
        stopped = look.budget.met() or "end"
    after = {} if stopped == "end" else {n: at for n, at in positions.items() if at < ends[n]}
    return _page(look, _cursor("on", 1, after), stopped)


async def _newest(look: Look, ends: Mapping[TopicPartition, int], wide: int) -> MessagePage:
    """The newest first: windows before `ends`, each larger than the one before, until enough is found.

    Within a window records come in order, the oldest first: of a partition whose window was not read to its
    end nothing is shown, since what is newer would be left out. The next page takes a smaller window then.
    """
    starts = await edges(look.desk, list(ends), EARLIEST)
    upper = {name: end for name, end in ends.items() if end > starts[name]}
    while upper:
        share = max(1, wide // len(upper))
        lower = {name: max(starts[name], end - share) for name, end in upper.items()}
        complete: set[TopicPartition] = set()
        window: list[Message] = []
        async for record in read_between(look.desk, lower, upper, look.config, look.budget, complete):
            message = look.take(record)
            if message is not None:
                window.append(message)
        merged = _merged(row for row in window if TopicPartition(row.topic, row.partition) in complete)
        room = look.limit - len(look.found)
        look.found += merged[:room]
        after = {name: lower[name] if name in complete else upper[name] for name in upper}
        for row in merged[room:]:
            name = TopicPartition(row.topic, row.partition)
            after[name] = max(after[name], row.offset + 1)
        upper = {name: at for name, at in after.items() if at > starts[name]}
        met = look.budget.met()
        if len(look.found) >= look.limit:
            return _page(look, _cursor("back", _WINDOW, upper), "limit")
        if met is not None:
            next_wide = wide if complete else max(1, wide // 8)
            return _page(look, _cursor("back", next_wide, upper), met)
        wide = min(wide * 4, _MAX_WINDOW)
    return _page(look, None, "end")


def _merged(rows: Iterable[Message]) -> list[Message]:
    """By time, the newest first, but within a partition always by offset: so a cursor loses and repeats none.

    Producers choose timestamps: they need not be in the order of the offsets.
    """
    partitions: defaultdict[int, list[Message]] = defaultdict(list)
    for row in rows:
        partitions[row.partition].append(row)
    lists = [sorted(part, key=lambda row: -row.offset) for part in partitions.values()]
    return list(heapq.merge(*lists, key=lambda row: -row.timestamp))


def _page(look: Look, cursor: str | None, stopped: Stopped) -> MessagePage:
    if cursor is None:
        stopped = "end"
    return MessagePage(look.found, cursor, look.budget.records, look.budget.size, stopped)


async def read_between(
    desk: Desk,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    config: ReaderConfig,
    budget: Budget,
    complete: set[TopicPartition] | None = None,
) -> AsyncIterator[Record]:
    """Records from `starts` to before `ends`, as they come, while the budget lasts. Raises ClientError.

    Partitions that were read to their end come into `complete`.
    """
    if complete is not None:
        complete |= {name for name, start in starts.items() if start >= ends[name]}
    wanted = {name: start for name, start in starts.items() if start < ends[name]}
    if not wanted:
        return
    async with Reader(desk.cluster, config) as reader:
        await reader.assign({name: Position("offset", start) for name, start in wanted.items()})
        while budget.met() is None:
            records = await reader.poll(timeout_ms=_POLL_MS, max_records=_TURN)
            if records and desk.decoders.prepare is not None:
                await desk.decoders.prepare(records)
            for record in records:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
                if budget.met() is not None:
                    return
            ended = {name for name in wanted if reader.position(name) >= ends[name]}
            if complete is not None:
                complete |= ended
            if len(ended) == len(wanted):
                return
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Scan:
    """What is to be read in one go: from a position on, up to the ends of now, `limit` or `seconds`."""

    topic: str
    partitions: list[int] | None = None
    position: str = "beginning"
    filter: str | None = None
    key_format: Format = "auto"
    value_format: Format = "auto"
    committed: bool = False
    limit: int = 10_000
    seconds: float = 600.0


async def scan(desk: Desk, asked: Scan) -> AsyncIterator[View]:
    """The chosen records, as they come. Raises as `browse`."""
    chosen = compile_filter(asked.filter)
    names = await names_of(desk, asked.topic, asked.partitions)
    config = _COMMITTED if asked.committed else _CONFIG
    where = dict.fromkeys(names, parse_position(asked.position))
    starts = await resolve(desk.cluster, where, read_committed=asked.committed)
    ends = await edges(desk, names, LATEST, committed=asked.committed)
    budget = Budget(time.monotonic() + asked.seconds)
    masks, reading = desk.masks.of(asked.topic), Reading(asked.key_format, asked.value_format)
    count = 0
    async for record in read_between(desk, starts, ends, config, budget):
        view = View(desk, masks, record, reading)
        if chosen is None or chosen(view):
            yield view
            count += 1
            if count >= asked.limit:
                return
