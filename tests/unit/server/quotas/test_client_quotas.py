"""What is used, and how long who has used more waits; a crowd of names takes no memory."""

from __future__ import annotations

import tracemalloc

import pytest

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.quotas.client_quotas import ClientQuotas
from fastlog.server.quotas.limits import Kind
from fastlog.server.quotas.mutations import MutationQuota
from fastlog.server.quotas.rates import LONGEST_MS, QuotaWindows
from fastlog.server.quotas.usage import EXPIRY_MS, MOST, short

DEFAULT_CLIENT = (("client-id", None),)


class Clock:
    """Seconds that are set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def quotas_of(clock: Clock, **values: float) -> ClientQuotas:
    """Quotas with these limits for any client."""
    quotas = ClientQuotas(clock, QuotaWindows(), QuotaWindows())
    quotas.put(DEFAULT_CLIENT, values)
    return quotas


def test_nothing_is_active_without_a_limit_and_again_when_the_last_is_gone() -> None:
    quotas = quotas_of(Clock())
    assert bool(quotas.active) is False
    assert quotas.record(Kind.PRODUCE, "u", "c", 1e12) == 0
    quotas.put(DEFAULT_CLIENT, {"producer_byte_rate": 10.0})
    assert bool(quotas.active) is True
    assert quotas.record(Kind.PRODUCE, "u", "c", 1e3) > 0
    quotas.put(DEFAULT_CLIENT, {"controller_mutation_rate": 1.0})
    # It costs requests nothing: topics alone are counted.
    assert not quotas.active
    assert len(quotas.usage[Kind.PRODUCE]) == 0
    quotas.put((("ip", "10.0.0.1"),), {"connection_creation_rate": 1.0})
    assert not quotas.active


def test_a_wait_makes_up_for_what_was_used_and_is_not_capped() -> None:
    clock = Clock()
    quotas = quotas_of(clock, producer_byte_rate=1000.0)
    assert quotas.record(Kind.PRODUCE, "", "c", 10_000) == 0
    # 15,000 over 10 s are 1,500 a second, half of the limit too many: for half of 10 s.
    assert quotas.record(Kind.PRODUCE, "", "c", 5000) == 5000
    assert quotas.record(Kind.PRODUCE, "", "other", 10_000) == 0
    assert quotas.record(Kind.PRODUCE, "", "c", 1_000_000) == 1_005_000
    clock.now += 11
    assert quotas.record(Kind.PRODUCE, "", "c", 1) == 0


def test_time_is_capped_at_one_window() -> None:
    quotas = quotas_of(Clock(), request_percentage=1.0)
    assert quotas.record(Kind.REQUEST, "", "c", 10.0) == 0
    assert quotas.record(Kind.REQUEST, "", "c", 0.5) == 500
    assert quotas.record(Kind.REQUEST, "", "c", 1e6) == 1000


def test_a_limit_of_nothing_waits_for_all_windows() -> None:
    quotas = quotas_of(Clock(), producer_byte_rate=0.0)
    assert quotas.record(Kind.PRODUCE, "", "c", 1) == 11_000


def test_a_fetch_that_could_never_be_sent_is_cut_before() -> None:
    quotas = quotas_of(Clock(), consumer_byte_rate=1000.0)
    assert quotas.most_at_once("", "c") == 10_000
    assert quotas_of(Clock()).most_at_once("", "c") == LONGEST_MS
    assert quotas_of(Clock(), consumer_byte_rate=1e12).most_at_once("", "c") == LONGEST_MS


def test_a_limit_that_changes_holds_for_what_was_used_before() -> None:
    clock = Clock()
    quotas = quotas_of(clock, producer_byte_rate=1000.0)
    assert quotas.record(Kind.PRODUCE, "", "c", 10_000) == 0
    quotas.put(DEFAULT_CLIENT, {"producer_byte_rate": 500.0})
    assert quotas.record(Kind.PRODUCE, "", "c", 0) == 10_000
    quotas.put((("user", "u"), ("client-id", "c")), {"producer_byte_rate": 10_000.0})
    assert quotas.record(Kind.PRODUCE, "u", "c", 10_000) == 0


@pytest.mark.parametrize("long", [False, True])
def test_a_million_names_take_the_memory_of_ten_thousand(long: bool) -> None:
    """Once the table is full each new name takes the place of an old one: a few thousand show that."""
    clock = Clock()
    quotas = quotas_of(clock, producer_byte_rate=10.0, request_percentage=1.0)
    name = "x" * 30_000 if long else "c"
    crowd = 3000 if long else 15_000
    for number in range(MOST):
        quotas.record(Kind.PRODUCE, "", f"{name}{number}", 1)
    tracemalloc.start()
    try:
        for number in range(crowd):
            quotas.record(Kind.PRODUCE, "", f"{name}{MOST + number}", 1)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    usage = quotas.usage[Kind.PRODUCE]
    assert len(usage) == MOST
    assert usage.displaced == crowd
    # What is traced are the newest ten thousand, in place of the oldest.
    assert grown < MOST * 1200


def test_who_is_busy_is_not_displaced_by_a_crowd() -> None:
    clock = Clock()
    quotas = quotas_of(clock, producer_byte_rate=10.0)
    assert quotas.record(Kind.PRODUCE, "", "busy", 1000) > 0
    for number in range(3 * MOST):
        quotas.record(Kind.PRODUCE, "", f"c{number}", 1)
        if number % 1000 == 0:
            assert quotas.record(Kind.PRODUCE, "", "busy", 0) > 0


def test_names_that_differ_at_their_ends_stay_apart() -> None:
    first, second = short("x" * 1000 + "1"), short("x" * 1000 + "2")
    assert first != second
    assert len(first) < 128
    assert short("client") == "client"


def test_who_was_not_here_for_an_hour_is_forgotten() -> None:
    clock = Clock()
    quotas = quotas_of(clock, producer_byte_rate=10.0, controller_mutation_rate=1.0)
    quotas.record(Kind.PRODUCE, "", "old", 1)
    MutationQuota(quotas, "", "old", strict=True).take(1)
    clock.now += 1800
    quotas.record(Kind.PRODUCE, "", "new", 1)
    clock.now += 1800.5
    quotas.sweep()
    assert len(quotas.usage[Kind.PRODUCE]) == 1
    assert len(quotas.buckets) == 0
    clock.now += EXPIRY_MS / 1000
    quotas.sweep()
    assert len(quotas.usage[Kind.PRODUCE]) == 0


def test_strict_mutations_go_on_until_nothing_is_left_and_are_told_then() -> None:
    clock = Clock()
    quotas = quotas_of(clock, controller_mutation_rate=2.0)
    first = MutationQuota(quotas, "", "c", strict=True)
    # 22 at once; what is not used up yet may be overdrawn once.
    first.take(20)
    first.take(10)
    assert first.told() == 0
    with pytest.raises(KafkaError) as failed:
        first.take(1)
    assert failed.value.code is ErrorCode.THROTTLING_QUOTA_EXCEEDED
    assert first.told() == 4000
    clock.now += 1
    assert first.throttle_ms() == 3000
    clock.now += 3
    MutationQuota(quotas, "", "c", strict=True).take(1)


def test_permissive_mutations_are_done_and_waited_for() -> None:
    quotas = quotas_of(Clock(), controller_mutation_rate=2.0)
    old = MutationQuota(quotas, "", "c", strict=False)
    old.take(22)
    assert old.told() == 0
    old.take(10)
    assert old.told() == 5000
    assert quotas.counts[Kind.MUTATION].answers == 1
    assert not MutationQuota(quotas_of(Clock()), "", "c", strict=True).is_limited
