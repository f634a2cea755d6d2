"""Incremental fetch sessions (KIP-227): every way a session starts, goes on, ends and is evicted."""

from __future__ import annotations

from fastlog.errors import ErrorCode
from fastlog.native.shapes import FetchPlanRow
from fastlog.server.fetch_sessions import FetchContext, FetchSessionCache


class Time:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def row(topic: str | bytes, partition: int = 0, offset: int = 0, max_bytes: int = 100) -> FetchPlanRow:
    name, topic_id = (topic, None) if isinstance(topic, str) else (None, topic)
    return (name, topic_id, partition, -1, offset, -1, -1, max_bytes)


def start(cache: FetchSessionCache, *rows: FetchPlanRow, session_id: int = 0) -> FetchContext:
    context = cache.open(session_id, 0, rows, [], uses_ids=False)
    context.prepare_answer()
    return context


def test_a_full_fetch_makes_a_session_whose_next_epoch_is_one() -> None:
    cache = FetchSessionCache(Time())
    first = start(cache, row("a"), row("b"))
    assert first.session_id > 0
    assert not first.is_incremental
    second = cache.open(first.session_id, 1, [], [], uses_ids=False)
    assert second.is_incremental
    assert second.error_code == 0
    assert [entry.topic for entry in second.partitions.values()] == ["a", "b"]


def test_no_session_is_made_when_none_is_wanted() -> None:
    cache = FetchSessionCache(Time())
    context = cache.open(0, -1, [row("a")], [], uses_ids=False)
    context.prepare_answer()
    assert (context.session_id, len(cache)) == (0, 0)


def test_each_request_must_carry_the_next_epoch() -> None:
    cache = FetchSessionCache(Time())
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
    cache = FetchSessionCache(Time())
    context = start(cache, row("a"))
    assert context.session is not None
    context.session.epoch = 2**31 - 1
    assert cache.open(context.session_id, 2**31 - 1, [], [], uses_ids=False).error_code == 0
    assert context.session.epoch == 1


def test_an_unknown_session_is_an_error() -> None:
    context = FetchSessionCache(Time()).open(77, 1, [], [], uses_ids=False)
    assert context.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert context.session_id == 0


def test_names_and_ids_do_not_mix_in_a_session() -> None:
    cache = FetchSessionCache(Time())
    session_id = start(cache, row("a")).session_id
    context = cache.open(session_id, 1, [row(bytes([1]) * 16)], [], uses_ids=True)
    assert context.error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


def test_partitions_are_added_changed_and_forgotten() -> None:
    cache = FetchSessionCache(Time())
    session_id = start(cache, row("a"), row("b")).session_id
    context = cache.open(
        session_id, 1, [row("a", offset=9), row("c", 2)], [("b", None, 0), ("x", None, 5)], uses_ids=False
    )
    assert [(p.topic, p.partition, p.fetch_offset) for p in context.partitions.values()] == [
        ("a", 0, 9),
        ("c", 2, 0),
    ]


def test_a_session_that_forgets_all_its_partitions_ends() -> None:
    cache = FetchSessionCache(Time())
    session_id = start(cache, row("a")).session_id
    context = cache.open(session_id, 1, [], [("a", None, 0)], uses_ids=False)
    assert (context.session_id, context.error_code, len(cache)) == (0, 0, 0)


def test_a_full_fetch_with_an_id_replaces_that_session_and_epoch_minus_one_closes_it() -> None:
    cache = FetchSessionCache(Time())
    first = start(cache, row("a")).session_id
    second = start(cache, row("a"), session_id=first).session_id
    assert first != second
    assert cache.open(first, 1, [], [], uses_ids=False).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    cache.open(second, -1, [row("a")], [], uses_ids=False)
    assert len(cache) == 0


def test_only_news_are_told_again() -> None:
    cache = FetchSessionCache(Time())
    context = start(cache, row("a"))
    (entry,) = context.partitions.values()
    assert entry.must_tell(5, 0)
    context.sent(("a", 0), 0, 5, 0, 10)
    assert not entry.must_tell(5, 0)
    assert entry.must_tell(6, 0)
    assert entry.must_tell(5, 1)
    context.sent(("a", 0), int(ErrorCode.NOT_LEADER_OR_FOLLOWER), 5, 0, 0)
    assert entry.must_tell(5, 0)


def test_partitions_that_gave_records_go_last() -> None:
    cache = FetchSessionCache(Time())
    context = start(cache, row("a"), row("b"), row("c"))
    context.sent(("a", 0), 0, 5, 0, 10)
    context.sent(("b", 0), 0, 5, 0, 0)
    assert [key[0] for key in context.partitions] == ["b", "c", "a"]


def test_a_request_that_was_overtaken_by_its_duplicate_is_not_valid() -> None:
    cache = FetchSessionCache(Time())
    session_id = start(cache, row("a")).session_id
    waiting = cache.open(session_id, 1, [], [], uses_ids=False)
    assert waiting.still_valid()
    cache.open(session_id, 2, [], [], uses_ids=False)
    assert not waiting.still_valid()


def test_a_full_cache_makes_no_session_while_the_others_are_young() -> None:
    time = Time()
    cache = FetchSessionCache(time, slots=1)
    start(cache, row("a"))
    time.now += 60
    assert start(cache, row("b"), row("c")).session_id == 0
    assert cache.evictions == 0


def test_a_session_that_nobody_uses_gives_way() -> None:
    time = Time()
    cache = FetchSessionCache(time, slots=1, eviction_ms=120_000)
    start(cache, row("a"), row("b"))
    time.now += 121
    assert start(cache, row("c")).session_id > 0
    assert (len(cache), cache.evictions) == (1, 1)


def test_an_old_session_in_use_gives_way_to_one_that_is_not_smaller() -> None:
    time = Time()
    cache = FetchSessionCache(time, slots=1, eviction_ms=120_000)
    session_id = start(cache, row("a"), row("b")).session_id
    time.now += 100
    assert cache.open(session_id, 1, [], [], uses_ids=False).error_code == 0
    time.now += 21
    assert cache.open(session_id, 2, [], [], uses_ids=False).error_code == 0
    assert start(cache, row("c")).session_id == 0
    assert start(cache, row("c"), row("d")).session_id > 0


def test_no_slots_mean_no_sessions() -> None:
    assert start(FetchSessionCache(Time(), slots=0), row("a")).session_id == 0
