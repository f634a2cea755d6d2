"""The purgatory: completion by key, deadlines, cancellation, bounds."""

from __future__ import annotations

import logging
import weakref

import pytest

from fastlog.replication.partition import PartitionKey
from fastlog.replication.purgatory import Operation, Purgatory
from tests.unit.replication.fakes import FakeLoop

A: PartitionKey = ("a", 0)
B: PartitionKey = ("b", 0)


class Wait(Operation):
    """Notes what happens to it."""

    def __init__(self, *, early_end: bool = False) -> None:
        super().__init__()
        self.ready = False
        self.events: list[str] = []
        self.early_end = early_end

    def is_ready(self, key: PartitionKey) -> bool:
        return self.ready

    def complete(self) -> None:
        self.events.append("complete")

    def expire(self) -> None:
        self.events.append("expire")

    def failed(self, error: BaseException) -> None:
        self.events.append(f"failed: {error}")


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def purgatory(loop: FakeLoop) -> Purgatory:
    return Purgatory(loop)


def test_completes_once_when_a_watched_key_moves_and_it_is_ready(
    purgatory: Purgatory, loop: FakeLoop
) -> None:
    wait = Wait()
    purgatory.park(wait, [A, B], 1000)
    purgatory.check(A)
    assert wait.events == []
    wait.ready = True
    purgatory.check(("other", 0))
    assert wait.events == []
    purgatory.check(B)
    purgatory.check(A)
    loop.advance(5)
    assert wait.events == ["complete"]
    assert len(purgatory) == 0


def test_a_nudge_has_one_operation_looked_at(purgatory: Purgatory, loop: FakeLoop) -> None:
    wait, other = Wait(), Wait()
    for parked in (wait, other):
        purgatory.park(parked, [], 1000)
        parked.ready = True
    purgatory.nudge(wait, A)
    assert (wait.events, other.events, len(purgatory)) == (["complete"], [], 1)
    purgatory.nudge(wait, A)
    loop.advance(2)
    assert (wait.events, other.events) == (["complete"], ["expire"])


def test_a_nudge_of_a_wait_that_is_over_is_not_one_of_the_next(purgatory: Purgatory, loop: FakeLoop) -> None:
    first, wait = Wait(), Wait()
    first.ready = wait.ready = True

    def parked_again() -> None:
        purgatory.nudge(wait, A)
        purgatory.cancel(wait)
        purgatory.park(wait, [], 1000)

    purgatory.park(first, [A], 1000)
    purgatory.park(wait, [], 1000)
    first.complete = parked_again  # type: ignore[method-assign]
    purgatory.check(A)
    assert wait.events == []
    loop.advance(2)
    assert wait.events == ["expire"]


def test_expires_at_its_deadline_and_not_before(purgatory: Purgatory, loop: FakeLoop) -> None:
    short, long = Wait(), Wait()
    purgatory.park(long, [A], 2000)
    purgatory.park(short, [A], 500)
    loop.advance(0.499)
    assert short.events == []
    loop.advance(0.001)
    assert (short.events, long.events) == (["expire"], [])
    loop.advance(1.5)
    assert long.events == ["expire"]
    assert loop.pending == []


def test_one_timer_serves_all_waits(purgatory: Purgatory, loop: FakeLoop) -> None:
    for wait_ms in (300, 200, 100, 400):
        purgatory.park(Wait(), [A], wait_ms)
    assert [timer.when() for timer in loop.pending] == [pytest.approx(100.1)]


def test_an_operation_may_wait_again_and_its_old_deadline_is_void(
    purgatory: Purgatory, loop: FakeLoop
) -> None:
    wait = Wait()
    purgatory.park(wait, [A], 100)
    wait.ready = True
    purgatory.check(A)
    wait.ready = False
    purgatory.park(wait, [A], 1000)
    loop.advance(0.5)
    assert wait.events == ["complete"]
    loop.advance(0.5)
    assert wait.events == ["complete", "expire"]


def test_a_key_that_is_named_twice_counts_once(purgatory: Purgatory) -> None:
    wait = Wait()
    purgatory.park(wait, [A, A], 1000)
    wait.ready = True
    purgatory.check(A)
    assert wait.events == ["complete"]


def test_cancelled_operations_hear_nothing(purgatory: Purgatory, loop: FakeLoop) -> None:
    wait = Wait()
    purgatory.park(wait, [A], 100)
    purgatory.cancel(wait)
    purgatory.cancel(wait)
    wait.ready = True
    purgatory.check(A)
    loop.advance(1)
    assert wait.events == []
    assert len(purgatory) == 0


def test_no_time_to_wait_expires_at_once(purgatory: Purgatory) -> None:
    wait = Wait()
    purgatory.park(wait, [A], 0)
    assert wait.events == ["expire"]


def test_above_the_limit_a_wait_ends_at_once(loop: FakeLoop) -> None:
    purgatory = Purgatory(loop, limit=2)
    waits = [Wait() for _ in range(3)]
    for wait in waits:
        purgatory.park(wait, [A], 1000)
    assert [wait.events for wait in waits] == [[], [], ["expire"]]


def test_all_waits_are_ended(purgatory: Purgatory) -> None:
    waits = [Wait(early_end=True), Wait()]
    for wait in waits:
        purgatory.park(wait, [A], 1000)
    purgatory.end_all()
    assert [wait.events for wait in waits] == [["expire"]] * 2


def test_after_close_nothing_waits(purgatory: Purgatory, loop: FakeLoop) -> None:
    first, second = Wait(), Wait()
    purgatory.park(first, [A], 1000)
    purgatory.close()
    purgatory.park(second, [A], 1000)
    assert (first.events, second.events) == (["expire"], ["expire"])
    assert loop.pending == []


def test_a_failing_operation_does_not_keep_others_waiting(
    purgatory: Purgatory, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Wait):
        def complete(self) -> None:
            raise RuntimeError("broken")

    broken, healthy = Broken(), Wait()
    broken.ready = healthy.ready = True
    purgatory.park(broken, [A], 1000)
    purgatory.park(healthy, [A], 1000)
    with caplog.at_level(logging.ERROR):
        purgatory.check(A)
    assert (broken.events, healthy.events) == (["failed: broken"], ["complete"])
    assert "background work (purgatory) failed" in caplog.text


def test_an_operation_that_cannot_tell_whether_it_is_ready_has_failed(purgatory: Purgatory) -> None:
    class Broken(Wait):
        def is_ready(self, key: PartitionKey) -> bool:
            raise RuntimeError("broken")

    broken, healthy = Broken(), Wait()
    healthy.ready = True
    purgatory.park(broken, [A], 2**31)
    purgatory.park(healthy, [A], 1000)
    purgatory.check(A)
    assert (broken.events, healthy.events, len(purgatory)) == (["failed: broken"], ["complete"], 0)


def test_an_expiry_that_fails_is_told_and_so_is_one_without_time_to_wait(
    purgatory: Purgatory, loop: FakeLoop
) -> None:
    class Broken(Wait):
        def expire(self) -> None:
            raise RuntimeError("broken")

    timed, early, ended, late = (Broken(early_end=True) for _ in range(4))
    for wait in (timed, early, ended):
        purgatory.park(wait, [A], 100 if wait is timed else 2**31)
    loop.advance(0.2)
    purgatory.end_early(early)
    purgatory.end_all()
    purgatory.park(late, [A], 0)
    assert [wait.events for wait in (timed, early, ended, late)] == [["failed: broken"]] * 4


LONGEST = 10
"""Milliseconds that a round may take whose single steps take one."""


class Slow(Wait):
    """Takes a millisecond for each thing."""

    def __init__(self, loop: FakeLoop) -> None:
        super().__init__()
        self.loop = loop

    def is_ready(self, key: PartitionKey) -> bool:
        self.loop.now += 0.0001
        return super().is_ready(key)

    def complete(self) -> None:
        super().complete()
        self.loop.now += 0.001

    def expire(self) -> None:
        super().expire()
        self.loop.now += 0.001

    def failed(self, error: BaseException) -> None:
        raise AssertionError from error


def rounds_of(loop: FakeLoop) -> list[float]:
    """Milliseconds that each round takes, until nothing more is to come."""
    taken = []
    while loop.soon:
        before = loop.now
        loop.next_round()
        taken.append((loop.now - before) * 1000)
    return taken


def test_many_waits_that_one_record_ends_end_in_several_rounds(purgatory: Purgatory, loop: FakeLoop) -> None:
    waits = [Slow(loop) for _ in range(100)]
    for wait in waits:
        wait.ready = True
        purgatory.park(wait, [A], 60_000)
    before = loop.now
    purgatory.check(A)
    assert (loop.now - before) * 1000 < LONGEST
    purgatory.check(A)
    assert max(rounds_of(loop)) < LONGEST
    assert [wait.events for wait in waits] == [["complete"]] * 100


def test_so_do_looks_that_find_nothing_and_what_moves_meanwhile_is_looked_at_again(
    purgatory: Purgatory, loop: FakeLoop
) -> None:
    waits = [Slow(loop) for _ in range(1000)]
    for wait in waits:
        purgatory.park(wait, [A, B], 60_000)
    purgatory.check(A)
    gone, first, last = waits[500], waits[0], waits[-1]
    purgatory.cancel(gone)
    for wait in (gone, first, last):
        wait.ready = True
    purgatory.check(A)
    assert max(rounds_of(loop)) < LONGEST
    assert (gone.events, first.events, last.events) == ([], ["complete"], ["complete"])
    assert sum(map(len, (wait.events for wait in waits))) == 2
    assert len(purgatory) == 997


def test_many_deadlines_at_once_and_early_ends_come_in_several_rounds(
    purgatory: Purgatory, loop: FakeLoop
) -> None:
    timed, early = [Slow(loop) for _ in range(50)], [Slow(loop) for _ in range(50)]
    for wait in timed + early:
        purgatory.park(wait, [A], 100 if wait in timed else 60_000)
    before = loop.now
    for wait in early:
        purgatory.end_early(wait)
    assert (loop.now - before) * 1000 < LONGEST
    assert max(rounds_of(loop)) < LONGEST
    loop.now = 101.0
    for _ in range(50):
        (timer,) = loop.pending
        if timer.when() > loop.now:
            break
        loop.timers.remove(timer)
        before = loop.now
        timer.callback()
        assert (loop.now - before) * 1000 < LONGEST
        loop.next_round()
        if not len(purgatory):
            break
    assert [wait.events for wait in timed + early] == [["expire"]] * 100


def test_the_waits_that_a_stop_ends_end_in_several_rounds(purgatory: Purgatory, loop: FakeLoop) -> None:
    waits = [Slow(loop) for _ in range(100)]
    for wait in waits:
        purgatory.park(wait, [A], 60_000)
    before = loop.now
    purgatory.end_all()
    assert (loop.now - before) * 1000 < LONGEST
    assert max(rounds_of(loop)) < LONGEST
    assert [wait.events for wait in waits] == [["expire"]] * 100


def test_a_wait_that_ended_before_its_turn_and_began_anew_is_not_ended_early(
    purgatory: Purgatory, loop: FakeLoop
) -> None:
    first, second = Slow(loop), Wait()
    loop.now += 1
    purgatory._round_ends = loop.now
    loop.call_soon(purgatory._next_round)
    for wait in (first, second):
        purgatory.park(wait, [A], 60_000)
    purgatory.end_early(first)
    purgatory.end_early(second)
    assert (first.events, second.events) == (["expire"], [])
    purgatory.cancel(second)
    purgatory.park(second, [A], 60_000)
    rounds_of(loop)
    assert (second.events, second.is_parked) == ([], True)


def test_released_operations_do_not_pile_up_in_the_heap(purgatory: Purgatory) -> None:
    for _ in range(5000):
        wait = Wait()
        wait.ready = True
        purgatory.park(wait, [A], 60_000)
        purgatory.check(A)
    assert len(purgatory._deadlines) < 600


def test_nothing_of_an_operation_is_kept_when_its_wait_is_over(purgatory: Purgatory) -> None:
    """It may have a request of many megabytes, and its deadline may be far off."""
    kept = []
    for end in (purgatory.cancel, purgatory.end_early, lambda wait: purgatory.check(A)):
        wait = Wait()
        wait.ready = True
        purgatory.park(Wait(), [B], 10)
        purgatory.park(wait, [A], 60_000)
        end(wait)
        kept.append(weakref.ref(wait))
        del wait
    assert [reference() for reference in kept] == [None] * 3


def test_completing_may_park_again_from_inside(purgatory: Purgatory) -> None:
    class Again(Wait):
        def complete(self) -> None:
            super().complete()
            self.ready = False
            purgatory.park(self, [A], 1000)

    wait = Again()
    wait.ready = True
    purgatory.park(wait, [A], 1000)
    purgatory.check(A)
    assert wait.events == ["complete"]
    assert wait.is_parked
