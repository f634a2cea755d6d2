"""Topics: list and describe them. Sizes, offsets and groups are asked for the rows of a page, together."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from fastlog.client.admin.configs import ConfigResource, ConfigSource, describe_configs
from fastlog.client.admin.log_dirs import describe_log_dirs
from fastlog.client.cluster import Cluster
from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.leaders import EARLIEST, LATEST, OffsetAt, list_offsets
from fastlog.client.metadata import PartitionInfo, TopicInfo, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.verbs.desk import Desk
from fastlog.verbs.health import Moves, is_under_replicated, moves_under_way
from fastlog.verbs.pages import page_of
from fastlog.verbs.problems import BadArgument, TooMuch
from fastlog.verbs.registry import verb

__all__ = [
    "Cursor",
    "Limit",
    "PartitionRow",
    "Pattern",
    "TopicBrief",
    "TopicDescription",
    "TopicName",
    "TopicPage",
    "TopicRow",
    "describe_some",
    "describe_topic",
    "list_topics",
    "topic_info",
]

TopicName = Annotated[str, "Name of the topic."]
Pattern = Annotated[
    str | None, "Only names that match, such as 'orders*'; a word without * is looked for inside."
]
Cursor = Annotated[str | None, "The next_cursor of the page before."]
Limit = Annotated[int, "Most rows of the page."]

_OFFSETS_TIMEOUT_MS: Final = 5000
"""How long a description waits for partitions without a leader."""
_MOST_PARTITIONS: Final = 20_000
"""Of a page: above that rows are shown without offsets and sizes."""
Matcher = Callable[[str], bool]
SortKey = Literal["topic", "partitions", "size_bytes", "records_per_second", "lag"]


@dataclass(frozen=True, slots=True)
class TopicBrief:
    """A topic in brief: how many partitions and replicas, and how many partitions lack something."""

    topic: str
    partitions: int
    replication_factor: int
    under_replicated: int
    unavailable: int
    internal: bool

    @classmethod
    def of(cls, topic: TopicInfo, moves: Moves | None, **more: Any) -> Self:
        """Counts them; `moves` are those under way."""
        return cls(
            topic=topic.name,
            partitions=len(topic.partitions),
            replication_factor=max((len(item.replicas) for item in topic.partitions), default=0),
            under_replicated=sum(is_under_replicated(item, moves) for item in topic.partitions),
            unavailable=sum(item.leader < 0 for item in topic.partitions),
            internal=topic.is_internal,
            **more,
        )


@dataclass(frozen=True, slots=True)
class TopicRow(TopicBrief):
    """A topic in a list. What is None was not asked for, or is not known.

    `size_bytes` is of the leaders' replicas, `records` the offsets between the logs' starts and ends,
    `groups` those that have committed offsets, `lag` what they have not read yet.
    """

    size_bytes: int | None = None
    records: int | None = None
    records_per_second: float | None = None
    groups: int | None = None
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class TopicPage:
    """Some topics; `total` is how many there are on all pages."""

    topics: list[TopicRow]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A partition; node ids of its replicas."""

    partition: int
    leader: int | None
    leader_epoch: int | None
    replicas: list[int]
    isr: list[int]
    offline_replicas: list[int]
    earliest_offset: int | None
    latest_offset: int | None
    size_bytes: int | None
    adding_replicas: list[int] | None
    removing_replicas: list[int] | None
    under_replicated: bool


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic with its partitions; `configs` are the settings of its own."""

    topic: str
    topic_id: str | None
    internal: bool
    partition_count: int
    replication_factor: int
    configs: dict[str, str | None] | None
    partitions: list[PartitionRow]


@verb("read")
async def list_topics(
    desk: Desk,
    *,
    pattern: Pattern = None,
    internal: Annotated[bool, "Internal topics too."] = False,
    under_replicated: Annotated[bool, "Only topics that lack replicas in sync."] = False,
    unavailable: Annotated[bool, "Only topics with a partition without a leader."] = False,
    details: Annotated[bool, "Sizes and offsets, too."] = True,
    sort: Annotated[
        SortKey, "By what. All but the first two need a console that has measured for a while."
    ] = "topic",
    descending: Annotated[bool, "The other way round; for numbers: the greatest first."] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> TopicPage:
    """Lists topics, a page at a time: partitions, replicas, size, records, rate, groups and their lag."""
    if descending and sort == "topic":
        raise BadArgument("descending: names come in their order")
    if sort not in ("topic", "partitions") and desk.history is None:
        raise BadArgument(f"sort: {sort} is measured by a console only")
    metadata = await desk.metadata(fresh=cursor is None)
    wanted = matcher(pattern)
    chosen = [
        topic
        for name, topic in metadata.topics.items()
        if (internal or under_replicated or unavailable or not topic.is_internal) and wanted(name)
    ]
    if unavailable or under_replicated:
        chosen = [
            topic
            for topic in chosen
            if (unavailable and any(item.leader < 0 for item in topic.partitions))
            or (under_replicated and any(is_under_replicated(item, None) for item in topic.partitions))
        ]
    shown, after = page_of(
        chosen,
        lambda topic: (_sort_value(desk, sort, topic), topic.name),
        kind=f"topics by {sort}",
        cursor=cursor,
        limit=limit,
        descending=descending,
    )
    return TopicPage(await _rows(desk, shown, details=details), after, len(chosen))


def matcher(pattern: str | None) -> Matcher:
    """Whether a name is meant: by a pattern with `*` and `?`, or as a part of it."""
    if not pattern:
        return lambda _: True
    if len(pattern) > 249:
        raise BadArgument(f"pattern: has {len(pattern)} characters, at most 249 are taken")
    if any(letter in pattern for letter in "*?["):
        if pattern.count("*") > 8:
            raise BadArgument("pattern: has more than 8 stars")
        return lambda name: fnmatch.fnmatchcase(name, pattern)
    folded = pattern.lower()
    return lambda name: folded in name.lower()


def _sort_value(desk: Desk, sort: SortKey, topic: TopicInfo) -> str | float:
    if sort == "topic":
        return topic.name
    if sort == "partitions":
        return len(topic.partitions)
    history = desk.history
    found: float | None = None
    if history is not None:
        if sort == "size_bytes":
            found = history.size_bytes(topic.name)
        elif sort == "lag":
            found = history.topic_lag(topic.name)
        else:
            found = history.records_per_second(topic.name)
    return -1 if found is None else found


async def _rows(desk: Desk, topics: Sequence[TopicInfo], *, details: bool) -> list[TopicRow]:
    places = [item for topic in topics for item in topic.partitions if item.leader >= 0]
    lacking = [item.name for topic in topics for item in topic.partitions if is_under_replicated(item, None)]
    cluster = desk.cluster
    known = details and len(places) <= _MOST_PARTITIONS
    moves, starts, ends, sizes = await asyncio.gather(
        moves_under_way(cluster, lacking),
        _offsets(cluster, places if known else (), EARLIEST),
        _offsets(cluster, places if known else (), LATEST),
        _sizes(cluster, places if known else ()),
    )
    history = desk.history
    return [
        TopicRow.of(
            topic,
            moves,
            size_bytes=_sum(sizes.get((item.name, item.leader)) for item in topic.partitions),
            records=_sum(
                ends[item.name] - starts[item.name]
                for item in topic.partitions
                if item.name in ends and item.name in starts
            ),
            records_per_second=None if history is None else history.records_per_second(topic.name),
            groups=None if history is None else len(history.topic_groups(topic.name)),
            lag=None if history is None else history.topic_lag(topic.name),
        )
        for topic in topics
    ]


def _sum(numbers: Iterable[int | None]) -> int | None:
    found = [number for number in numbers if number is not None]
    return sum(found) if found else None


@verb("read")
async def describe_topic(desk: Desk, *, topic: TopicName) -> TopicDescription:
    """Shows a topic's partitions with leaders, replicas in sync, offsets and sizes, and its own settings."""
    found, errors = await describe_some(desk.cluster, [topic])
    if topic in errors:
        raise errors[topic]
    return found[0]


async def topic_info(desk: Desk, topic: str) -> TopicInfo:
    """One topic, as it is now. Raises BrokerError when there is none."""
    found = (await desk.cluster.metadata([topic])).topics.get(topic)
    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if found is None else found.error
    if found is None or code is not ErrorCode.NONE:
        raise BrokerError(code, f"topic {topic!r}: {code.text}")
    return found


async def describe_some(
    cluster: Cluster, names: Sequence[str] | None, *, internal: bool = True
) -> tuple[list[TopicDescription], dict[str, ClientError]]:
    """Describes topics, or all of them, then with `internal` ones or without. Sizes are the leaders'."""
    metadata = await cluster.metadata(None if names is None else list(dict.fromkeys(names)))
    errors: dict[str, ClientError] = {}
    found: list[TopicInfo] = []
    for name in metadata.topics if names is None else dict.fromkeys(names):
        topic = metadata.topics.get(name)
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if topic is None else topic.error
        if topic is None or code is not ErrorCode.NONE:
            errors[name] = BrokerError(code)
        elif names is not None or internal or not topic.is_internal:
            found.append(topic)
    found.sort(key=lambda topic: topic.name)
    places = [item for topic in found for item in topic.partitions if item.leader >= 0]
    starts, ends, sizes, configs, moves = await asyncio.gather(
        _offsets(cluster, places, EARLIEST),
        _offsets(cluster, places, LATEST),
        _sizes(cluster, places),
        _configs(cluster, found),
        moves_under_way(cluster, [item.name for topic in found for item in topic.partitions]),
    )

    def partition(item: PartitionInfo) -> PartitionRow:
        return PartitionRow(
            partition=item.index,
            leader=None if item.leader < 0 else item.leader,
            leader_epoch=None if item.leader_epoch < 0 else item.leader_epoch,
            replicas=list(item.replicas),
            isr=sorted(item.isr),
            offline_replicas=sorted(item.offline_replicas),
            earliest_offset=starts.get(item.name),
            latest_offset=ends.get(item.name),
            size_bytes=sizes.get((item.name, item.leader)),
            adding_replicas=None if moves is None else _moving(moves, item.name, "adding"),
            removing_replicas=None if moves is None else _moving(moves, item.name, "removing"),
            under_replicated=is_under_replicated(item, moves),
        )

    described = []
    for topic in found:
        rows = [partition(item) for item in topic.partitions]
        described.append(
            TopicDescription(
                topic=topic.name,
                topic_id=str(UUID(bytes=topic.topic_id)) if any(topic.topic_id) else None,
                internal=topic.is_internal,
                partition_count=len(rows),
                # As kafka-topics counts: not those that a move adds.
                replication_factor=max(
                    (len(row.replicas) - len(row.adding_replicas or ()) for row in rows), default=0
                ),
                configs=configs.get(topic.name),
                partitions=rows,
            )
        )
    return described, errors


def _moving(moves: Moves, name: TopicPartition, which: Literal["adding", "removing"]) -> list[int]:
    move = moves.get(name)
    return [] if move is None else list(move.adding if which == "adding" else move.removing)


async def _offsets(
    cluster: Cluster, partitions: Sequence[PartitionInfo], at: int
) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    timeout_ms = min(_OFFSETS_TIMEOUT_MS, cluster.timeout_ms)
    found = await list_offsets(cluster, {item.name: at for item in partitions}, timeout_ms=timeout_ms)
    return {name: item.offset for name, item in found.items() if isinstance(item, OffsetAt)}


async def _sizes(
    cluster: Cluster, partitions: Sequence[PartitionInfo]
) -> dict[tuple[TopicPartition, int], int]:
    wanted: dict[str, list[int]] = {}
    for item in partitions:
        wanted.setdefault(item.topic, []).append(item.index)
    if not wanted:
        return {}
    nodes = sorted({item.leader for item in partitions})
    found = await describe_log_dirs(cluster, nodes, partitions=wanted)
    return {
        (replica.name, node): replica.size_bytes
        for node, directories in found.items()
        if not isinstance(directories, ClientError)
        for directory in directories
        for replica in directory.replicas
        if not replica.is_future
    }


async def _configs(cluster: Cluster, topics: Sequence[TopicInfo]) -> Mapping[str, dict[str, str | None]]:
    found = await describe_configs(cluster, [ConfigResource.topic(topic.name) for topic in topics])
    return {
        resource.name: {entry.name: entry.value for entry in entries if entry.source is ConfigSource.TOPIC}
        for resource, entries in found.items()
        if not isinstance(entries, ClientError)
    }


def check_count(count: int, most: int, what: str) -> None:
    """Raises TooMuch."""
    if count > most:
        raise TooMuch(f"{count} {what} are more than {most}, which is the most at once")
