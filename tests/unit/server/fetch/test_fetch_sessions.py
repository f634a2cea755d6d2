"""Incremental fetch sessions (KIP-227): every way a session starts, goes on, ends and is evicted."""

from __future__ import annotations

import gc

from fastlog.errors import ErrorCode
from fastlog.native.shapes import FetchPlanRow
from fastlog.replication.news import PartitionNews
from fastlog.server.fetch.fetch_context import FetchContext
from fastlog.server.fetch.fetched_partition import FetchPartition
from fastlog.server.fetch.interest import FetchInterest
from fastlog.server.fetch.sessions import FetchSessionCache


class Time:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def row(topic: str | bytes, partition: int = 0, offset: int = 0, max_bytes: int = 100) -> FetchPlanRow:
    name, topic_id = (topic, None) if isinstance(topic, str) else (None, topic)
    return (name, topic_id, partition, -1, offset, -1, -1, max_bytes)


def entry_of(context: FetchContext, topic: str) -> FetchPartition:
    return context.partitions.by_key[topic, 0]


def start(cache: FetchSessionCache, *rows: FetchPlanRow, session_id: int = 0) -> FetchContext:
    context = cache.open(session_id, 0, rows, [], uses_ids=False)
    context.prepare_answer()
    return context


def test_a_full_fetch_makes_a_session_whose_next_epoch_is_one() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    first = start(cache, row("a"), row("b"))
    assert first.session_id > 0
    assert not first.is_incremental
    second = cache.open(first.session_id, 1, [], [], uses_ids=False)
    assert second.is_incremental
    assert second.error_code == 0
    assert [entry.topic for entry in second.partitions.all()] == ["a", "b"]


def test_no_session_is_made_when_none_is_wanted() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    context = cache.open(0, -1, [row("a")], [], uses_ids=False)
    context.prepare_answer()
    assert (context.session_id, len(cache)) == (0, 0)


def test_each_request_must_carry_the_next_epoch() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    session_id = start(cache, row("a")).session_id
    assert cache.open(session_id, 2, [], [], uses_ids=False).error_code == (
        ErrorCode.INVALID_FETCH_SESSION_EPOCH
    )
    assert cache.open(session_id, 1, [], [], uses_ids=False).error_code == 0
    assert cache.open(session_id, 1, [], [], uses_ids=False).error_code == (
        ErrorCode.INVALID_FETCH_SESSION_EPOCH
    )
    assert cache.open(session_id, 2, [], [], uses_ids=False).error_code == 0


def test_the_epoch_wraps_to_one() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    context = start(cache, row("a"))
    assert context.session is not None
    context.session.epoch = 2**31 - 1
    assert cache.open(context.session_id, 2**31 - 1, [], [], uses_ids=False).error_code == 0
    assert context.session.epoch == 1


def test_an_unknown_session_is_an_error() -> None:
    context = FetchSessionCache(Time(), PartitionNews()).open(77, 1, [], [], uses_ids=False)
    assert context.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert context.session_id == 0


def test_names_and_ids_do_not_mix_in_a_session() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    session_id = start(cache, row("a")).session_id
    context = cache.open(session_id, 1, [row(bytes([1]) * 16)], [], uses_ids=True)
    assert context.error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


def test_partitions_are_added_changed_and_forgotten() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    session_id = start(cache, row("a"), row("b")).session_id
    context = cache.open(
        session_id, 1, [row("a", offset=9), row("c", 2)], [("b", None, 0), ("x", None, 5)], uses_ids=False
    )
    assert [(p.topic, p.partition, p.fetch_offset) for p in context.partitions.all()] == [
        ("a", 0, 9),
        ("c", 2, 0),
    ]


def gathered(cache: FetchSessionCache, *rows: FetchPlanRow) -> FetchInterest:
    """The rows of a long request, as its handler makes them."""
    steps = cache.gather(rows)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: FetchInterest = end.value
            return made


def test_the_rows_of_a_long_request_change_a_session_as_those_of_a_short_one() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    session_id = start(cache, row("a"), row("b"), row("c")).session_id
    changes = [row("c", offset=9), *(row("d", number) for number in range(300)), row("a", offset=4)]
    context = cache.open(
        session_id, 1, changes, [("b", None, 0)], uses_ids=False, partitions=gathered(cache, *changes)
    )
    entries = context.partitions.all()
    assert [(p.topic, p.partition, p.fetch_offset) for p in entries] == [
        ("a", 0, 4),
        ("c", 0, 9),
        *(("d", number, 0) for number in range(300)),
    ]
    assert context.due() == entries
    assert cache.partition_count == 302


def test_a_session_that_forgets_all_its_partitions_ends() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    session_id = start(cache, row("a")).session_id
    context = cache.open(session_id, 1, [], [("a", None, 0)], uses_ids=False)
    assert (context.session_id, context.error_code, len(cache)) == (0, 0, 0)


def test_a_full_fetch_with_an_id_replaces_that_session_and_epoch_minus_one_closes_it() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    first = start(cache, row("a")).session_id
    second = start(cache, row("a"), session_id=first).session_id
    assert first != second
    assert cache.open(first, 1, [], [], uses_ids=False).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    cache.open(second, -1, [row("a")], [], uses_ids=False)
    assert len(cache) == 0


def test_only_news_are_told_again() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    context = start(cache, row("a"))
    (entry,) = context.partitions.all()
    assert entry.must_tell(5, 0)
    context.sent(entry_of(context, "a"), 0, 5, 0, 10)
    assert not entry.must_tell(5, 0)
    assert entry.must_tell(6, 0)
    assert entry.must_tell(5, 1)
    context.sent(entry_of(context, "a"), int(ErrorCode.NOT_LEADER_OR_FOLLOWER), 5, 0, 0)
    assert entry.must_tell(5, 0)


def test_partitions_that_gave_records_go_last() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    context = start(cache, row("a"), row("b"), row("c"))
    context.sent(entry_of(context, "a"), 0, 5, 0, 10)
    context.sent(entry_of(context, "b"), 0, 5, 0, 0)
    assert [entry.topic for entry in context.partitions.all()] == ["b", "c", "a"]


def test_a_request_that_was_overtaken_by_its_duplicate_is_not_valid() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    session_id = start(cache, row("a")).session_id
    waiting = cache.open(session_id, 1, [], [], uses_ids=False)
    assert waiting.still_valid()
    cache.open(session_id, 2, [], [], uses_ids=False)
    assert not waiting.still_valid()


def test_a_full_cache_makes_no_session_while_the_others_are_young() -> None:
    time = Time()
    cache = FetchSessionCache(time, PartitionNews(), slots=1)
    start(cache, row("a"))
    time.now += 60
    assert start(cache, row("b"), row("c")).session_id == 0
    assert cache.evictions == 0


def test_a_session_that_nobody_uses_gives_way() -> None:
    time = Time()
    cache = FetchSessionCache(time, PartitionNews(), slots=1, eviction_ms=120_000)
    start(cache, row("a"), row("b"))
    time.now += 121
    assert start(cache, row("c")).session_id > 0
    assert (len(cache), cache.evictions) == (1, 1)


def test_an_old_session_in_use_gives_way_to_one_that_is_not_smaller() -> None:
    time = Time()
    cache = FetchSessionCache(time, PartitionNews(), slots=1, eviction_ms=120_000)
    session_id = start(cache, row("a"), row("b")).session_id
    time.now += 100
    assert cache.open(session_id, 1, [], [], uses_ids=False).error_code == 0
    time.now += 21
    assert cache.open(session_id, 2, [], [], uses_ids=False).error_code == 0
    assert start(cache, row("c")).session_id == 0
    assert start(cache, row("c"), row("d")).session_id > 0


def test_no_slots_mean_no_sessions() -> None:
    assert start(FetchSessionCache(Time(), PartitionNews(), slots=0), row("a")).session_id == 0


def nothing(*_: object) -> None:
    """Ends no wait."""


def rows(count: int, name: str = "t") -> list[FetchPlanRow]:
    return [row(name, partition) for partition in range(count)]


def test_a_session_may_take_a_quarter_of_the_memory() -> None:
    cache = FetchSessionCache(Time(), PartitionNews(), max_bytes=400 * 400)
    assert start(cache, *rows(101)).session_id == 0
    session_id = start(cache, *rows(100)).session_id
    assert session_id > 0
    grown = cache.open(session_id, 1, rows(1, "more"), [], uses_ids=False)
    assert grown.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert (len(cache), cache.partition_count) == (0, 0)


def test_sessions_are_evicted_for_the_memory_of_others_as_for_their_slots() -> None:
    time = Time()
    cache = FetchSessionCache(time, PartitionNews(), max_bytes=400 * 400)
    first, second = (start(cache, *rows(100)).session_id for _ in range(2))
    assert start(cache, *rows(50)).session_id == 0
    time.now += 121
    assert cache.open(second, 1, [], [], uses_ids=False).error_code == 0
    assert start(cache, *rows(50)).session_id > 0
    assert cache.open(first, 1, [], [], uses_ids=False).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert (cache.partition_count, cache.evictions) == (150, 1)


def test_fetches_without_a_session_wait_as_far_as_there_is_memory() -> None:
    cache = FetchSessionCache(Time(), PartitionNews(), max_bytes=400 * 400)
    contexts = [cache.open(0, -1, rows(80), [], uses_ids=False) for _ in range(3)]
    assert [context.hold(nothing, nothing) for context in contexts] == [True, True, False]
    assert contexts[0].hold(nothing, nothing), "it may wait again"
    contexts[0].end()
    assert contexts[2].hold(nothing, nothing)
    for context in contexts:
        context.end()
    assert [context.hold(nothing, nothing) for context in contexts] == [True, True, True], (
        "nothing is left of them"
    )


def test_a_session_that_is_too_large_evicts_nobody() -> None:
    time = Time()
    cache = FetchSessionCache(time, PartitionNews(), max_bytes=400 * 400)
    start(cache, *rows(100))
    time.now += 121
    assert start(cache, *rows(101)).session_id == 0
    assert (len(cache), cache.evictions) == (1, 0)


def test_the_wait_of_a_session_ends_with_the_session() -> None:
    time = Time()
    cache = FetchSessionCache(time, PartitionNews(), slots=1)
    ended: list[str] = []
    session_id = start(cache, row("a")).session_id
    waiting = cache.open(session_id, 1, [], [], uses_ids=False)
    assert waiting.hold(lambda: ended.append("replaced"), nothing)
    start(cache, row("a"), session_id=session_id)
    assert (ended, waiting.answer_error) == (["replaced"], ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
    assert not waiting.hold(nothing, nothing), "its partitions are weighed by nobody"

    (session_id,) = cache._sessions
    waiting = cache.open(session_id, 1, [], [], uses_ids=False)
    assert waiting.hold(lambda: ended.append("evicted"), nothing)
    time.now += 121
    assert start(cache, row("b")).session_id > 0
    assert ended == ["replaced", "evicted"]


def test_the_wait_of_a_fetch_ends_when_the_next_one_of_its_session_comes() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    ended: list[int] = []
    session_id = start(cache, row("a")).session_id
    first = cache.open(session_id, 1, [], [], uses_ids=False)
    assert first.hold(lambda: ended.append(1), nothing)
    second = cache.open(session_id, 2, [], [], uses_ids=False)
    assert (ended, first.answer_error) == ([1], ErrorCode.INVALID_FETCH_SESSION_EPOCH)
    assert second.hold(lambda: ended.append(2), nothing)
    first.release()
    second.release()
    cache.open(session_id, 3, [], [], uses_ids=False)
    assert ended == [1], "who waits no more is not told"


def test_a_fetch_that_makes_a_session_after_it_waited_leaves_nothing_of_itself_there() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    context = cache.open(0, 0, [row("a")], [], uses_ids=False)
    assert context.hold(nothing, nothing)
    context.prepare_answer()
    partitions = context.partitions
    assert partitions.on_moved is nothing
    context.end()
    assert (len(cache), partitions.on_moved) == (1, None)


def test_a_fetch_that_ends_late_takes_nothing_from_the_next_one_of_its_session() -> None:
    cache = FetchSessionCache(Time(), PartitionNews())
    session_id = start(cache, row("a")).session_id
    first = cache.open(session_id, 1, [], [], uses_ids=False)
    assert first.hold(lambda: None, nothing)
    second = cache.open(session_id, 2, [], [], uses_ids=False)
    assert second.hold(lambda: None, nothing)
    first.end()
    assert second.partitions.on_moved is nothing


def test_a_request_of_many_partitions_that_is_refused_leaves_no_cycles() -> None:
    """They would take memory that nobody weighs until the next search for them."""
    cache = FetchSessionCache(Time(), PartitionNews())
    partitions = gathered(cache, *rows(300))
    context = cache.open(77, 5, rows(300), [], uses_ids=False, partitions=partitions)
    assert context.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    gc.collect()
    gc.disable()
    try:
        del partitions
        assert gc.collect() < 300
    finally:
        gc.enable()


def test_sessions_of_followers_are_preferred() -> None:
    time = Time()
    cache = FetchSessionCache(time, PartitionNews(), slots=2, eviction_ms=120_000)

    def begin(*rows: FetchPlanRow, follows: bool) -> FetchContext:
        context = cache.open(0, 0, rows, [], uses_ids=False)
        context.privileged = follows
        context.prepare_answer()
        return context

    large = begin(row("a"), row("b"), follows=False)
    begin(row("a"), follows=False)
    # The smaller consumer makes room, however young and large both are; then the other one.
    assert begin(row("c"), follows=True).session_id
    assert large.still_valid()
    second = begin(row("d"), follows=True)
    assert (second.session_id > 0, large.still_valid(), len(cache)) == (True, False, 2)
    assert [begin(row("e"), follows=follows).session_id for follows in (False, True)] == [0, 0]
    # A follower's that is old and used is evicted by no consumer, but by one that is not smaller and follows.
    time.now += 100
    cache.open(second.session_id, 1, [], [], uses_ids=False)
    time.now += 100
    for session in list(cache._sessions.values()):
        cache.open(session.id, session.epoch, [], [], uses_ids=False)
    assert begin(row("e"), row("f"), follows=False).session_id == 0
    assert begin(row("e"), follows=True).session_id
