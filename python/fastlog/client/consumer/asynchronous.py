"""Reads records in coroutines, alone or as a member of a group.

async with AsyncConsumer("clicks", bootstrap_servers="127.0.0.1:9092", group_id="etl") as consumer:
    async for record in consumer:
        ...
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from inspect import isawaitable
from types import TracebackType
from typing import Self, Unpack

from fastlog.client.columns import RecordColumns
from fastlog.client.consumer.config import ConsumerConfig, ConsumerOptions
from fastlog.client.consumer.engine import CLOSE_SECONDS, ConsumerEngine, Polled
from fastlog.client.consumer.listener import Happening, RebalanceListener
from fastlog.client.errors import ClientError
from fastlog.client.leaders import EARLIEST, LATEST, OffsetAt, list_offsets
from fastlog.client.metadata import TopicPartition, as_partition
from fastlog.client.offset_values import GroupMetadata, OffsetAndMetadata, Offsets, as_offsets
from fastlog.client.positions import BEGINNING, END, Position
from fastlog.native import Record

__all__ = ["AsyncConsumer", "config_and_topics"]


def config_and_topics(
    given: tuple[str, ...],
    bootstrap_servers: str | Sequence[str] | None,
    config: Mapping[str, object] | None,
    options: Mapping[str, object],
) -> tuple[ConsumerConfig, frozenset[str]]:
    """What a consumer's arguments mean: the first positional one is the address, if that has no keyword."""
    named = dict(options)
    topics = given
    if bootstrap_servers is not None:
        named["bootstrap_servers"] = bootstrap_servers
    elif given and "bootstrap.servers" not in (config or {}):
        named["bootstrap_servers"], topics = given[0], given[1:]
    return ConsumerConfig.of(named, config), frozenset(topics)


class AsyncConsumer:
    """A consumer for one event loop; an async context manager, but it starts by itself, too.

    The first positional argument is the cluster's address, unless that comes as `bootstrap_servers=`; all
    others are topics to subscribe to. `options` are those of `ConsumerConfig`; `config` takes Kafka's dotted
    names. Raises ConfigError.
    """

    def __init__(
        self,
        *address_and_topics: str,
        bootstrap_servers: str | Sequence[str] | None = None,
        config: Mapping[str, object] | None = None,
        listener: RebalanceListener | None = None,
        **options: Unpack[ConsumerOptions],
    ) -> None:
        made, self._topics = config_and_topics(address_and_topics, bootstrap_servers, config, dict(options))
        self._engine = ConsumerEngine(made, self._call)
        self._listener = listener or RebalanceListener()

    async def __aenter__(self) -> Self:
        try:
            await self._started()
        except BaseException:
            await self._engine.close(commit=False, tell=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._engine.close(commit=error is None)

    async def close(self, timeout: float | None = CLOSE_SECONDS) -> None:  # noqa: ASYNC109 - it is not cut off
        """Commits (with auto commit), leaves the group, ends all requests. May be called more than once.

        After `timeout` seconds (None: no limit) a group that does not answer is not waited for any more. At
        the end of an `async with` that an exception leaves nothing is committed: what was handed out last may
        not be done.
        """
        await self._engine.close(timeout=timeout)

    # -- what is read --------------------

    async def subscribe(
        self,
        topics: Iterable[str] = (),
        *,
        pattern: str | re.Pattern[str] | None = None,
        listener: RebalanceListener | None = None,
    ) -> None:
        """Shares out partitions in the group: those of topics, or of all topics that `pattern` is found in.

        Takes the place of an earlier subscription. The group is joined in the next poll. Raises ValueError,
        and RuntimeError without a `group_id` or when partitions are assigned.
        """
        names, compiled = subscription(topics, pattern)
        if listener is not None:
            self._listener = listener
        self._topics = frozenset()
        await self._engine.subscribe(names, compiled)

    async def assign(self, partitions: Collection[TopicPartition | tuple[str, int]]) -> None:
        """Reads these partitions, without sharing them out; takes the place of an earlier assignment.

        They start where the group is, if there is a `group_id`, else by `auto_offset_reset`.
        """
        await self._engine.assign([as_partition(name) for name in partitions])

    async def unsubscribe(self) -> None:
        """Reads nothing any more, and leaves the group."""
        await self._engine.unsubscribe()

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are read now."""
        return self._engine.owned

    def pause(self, *partitions: TopicPartition) -> None:
        """Hands nothing out of these until `resume`. Raises ValueError when one is not assigned."""
        for state in [self._engine.state(name) for name in partitions]:
            state.paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        """Goes on with these. Raises ValueError when one is not assigned."""
        for state in [self._engine.state(name) for name in partitions]:
            state.paused = False
        self._engine.poke()

    def paused(self) -> frozenset[TopicPartition]:
        """Those that are paused."""
        return frozenset(name for name in self._engine.owned if self._engine.state(name).paused)

    async def seek(self, partition: TopicPartition, position: int | Position) -> None:
        """Goes on from an offset, or from a `Position`, and forgets an error of that partition."""
        await self._engine.seek(partition, position)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Goes on from the first record of these, or of all. Raises ValueError when none is assigned."""
        for name in partitions or self._engine.all_owned:
            await self._engine.seek(name, BEGINNING)

    async def seek_to_end(self, *partitions: TopicPartition) -> None:
        """Goes on behind the last record of these, or of all. Raises ValueError when none is assigned."""
        for name in partitions or self._engine.all_owned:
            await self._engine.seek(name, END)

    async def position(self, partition: TopicPartition) -> int:
        """The offset that comes next. Raises ValueError when the partition is not assigned."""
        return await self._engine.find(partition)

    # -- records --------------------

    async def poll(self, timeout_ms: float | None = 0, max_records: int | None = None) -> Polled:
        """Records that have come, by partition and in order; waits for some for at most `timeout_ms`.

        None waits without a limit. At most `max_records`, or `max_poll_records`. Partitions are served in
        turn. Raises ClientError: that of a partition that cannot go on (in every call until it is sought
        elsewhere; CorruptBatch says where), or of the group; and what a listener raises.
        """
        await self._started()
        return await self._engine.poll(timeout_ms, max_records)

    async def poll_columns(
        self,
        timeout_ms: float | None = 0,
        max_records: int | None = None,
        *,
        max_bytes: int | None = None,
    ) -> RecordColumns:
        """`poll` as columns, for numpy and Arrow: all that has come, at most `max_records`.

        No more are taken once they take `max_bytes` (16 MiB by default; decompressed, and 32 for each
        record). Empty when nothing came in time. Raises as `poll`; a damaged batch is also `damage` of the
        result that has the records before it.
        """
        await self._started()
        return await self._engine.poll_columns(timeout_ms, max_records, max_bytes)

    async def getmany(self, *, timeout_ms: float | None = 0, max_records: int | None = None) -> Polled:
        """`poll`, under the name that aiokafka gives it."""
        return await self.poll(timeout_ms, max_records)

    async def getone(self) -> Record:
        """The next record; waits for it."""
        (records,) = (await self.poll(None, 1)).values()
        return records[0]

    async def consume(
        self,
        num_messages: int = 1,
        timeout: float | None = None,  # noqa: ASYNC109 - confluent-kafka's name; the fetches go on
    ) -> list[Record]:
        """At most so many records in one list, as confluent-kafka has it; `timeout` in seconds.

        Unlike there it returns as soon as there are some.
        """
        found = await self.poll(None if timeout is None or timeout < 0 else timeout * 1000, num_messages)
        return [record for records in found.values() for record in records]

    async def __aiter__(self) -> AsyncIterator[Record]:
        while True:
            for record in self._engine.each(await self.poll(None)):
                yield record

    # -- offsets --------------------

    async def commit(self, offsets: Offsets | None = None) -> None:
        """Commits these, or the positions of all partitions. Raises ClientError."""
        await self._engine.commit(None if offsets is None else as_offsets(offsets))

    async def committed(self, *partitions: TopicPartition) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """What the group has committed for these, or for all that are assigned; None for nothing."""
        return await self._engine.committed(partitions or self._engine.owned)

    @property
    def group_metadata(self) -> GroupMetadata:
        """Who commits, for `send_offsets_to_transaction`. Raises RuntimeError without a group."""
        return self._engine.group

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset of each. Raises ClientError."""
        return {
            name: row.offset for name, row in (await self._ask(dict.fromkeys(partitions, EARLIEST))).items()
        }

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset behind the last record of each that may be read. Raises ClientError."""
        return {
            name: row.offset for name, row in (await self._ask(dict.fromkeys(partitions, LATEST))).items()
        }

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAt | None]:
        """The first record at or after a time (ms since 1970) of each; None where there is none."""
        found = await self._ask(times)
        return {name: row if row.offset >= 0 else None for name, row in found.items()}

    async def partitions_for_topic(self, topic: str) -> frozenset[int]:
        """The partitions of a topic; none when it does not exist."""
        await self._engine.opened()
        found = (await self._engine.cluster.metadata([topic])).topics.get(topic)
        return frozenset(row.index for row in found.partitions) if found is not None else frozenset()

    async def topics(self) -> frozenset[str]:
        """All topics that may be seen."""
        await self._engine.opened()
        return frozenset((await self._engine.cluster.metadata(None)).topics)

    # -- inside --------------------

    async def _started(self) -> None:
        await self._engine.opened()
        if self._topics:
            topics, self._topics = self._topics, frozenset()
            await self._engine.subscribe(topics, None)

    async def _ask(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, OffsetAt]:
        await self._engine.opened()
        config = self._engine.config
        answers = await list_offsets(
            self._engine.cluster,
            {as_partition(name): time for name, time in times.items()},
            read_committed=config.isolation_level == "read_committed",
            timeout_ms=config.default_api_timeout_ms,
        )
        found = {}
        for name, answer in answers.items():
            if isinstance(answer, ClientError):
                raise answer
            found[name] = answer
        return found

    async def _call(self, what: Happening, partitions: frozenset[TopicPartition]) -> None:
        called = getattr(self._listener, f"on_{what}")(sorted(partitions))
        if isawaitable(called):
            await called


def subscription(
    topics: Iterable[str], pattern: str | re.Pattern[str] | None
) -> tuple[frozenset[str], re.Pattern[str] | None]:
    """What is subscribed to. Raises ValueError for both or none, TypeError for a single text."""
    if isinstance(topics, str):
        raise TypeError(f"topics are a collection of names: [{topics!r}]")
    names = frozenset(topics)
    if bool(names) == (pattern is not None):
        raise ValueError("subscribe to topics, or to a pattern")
    try:
        return names, None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r}: {error}") from None
