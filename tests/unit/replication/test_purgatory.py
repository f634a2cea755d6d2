"""The purgatory: completion by key, deadlines, cancellation, bounds."""

from __future__ import annotations

import logging

import pytest

from fastlog.replication.purgatory import Operation, Purgatory
from fastlog.replication.replica import PartitionKey
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


def test_drain_ends_what_may_end_early_and_force_ends_all(purgatory: Purgatory) -> None:
    fetch, produce = Wait(early_end=True), Wait()
    purgatory.park(produce, [A], 1000)
    purgatory.park(fetch, [A], 1000)
    purgatory.drain(force=False)
    assert (fetch.events, produce.events) == (["expire"], [])
    purgatory.drain(force=True)
    assert produce.events == ["expire"]


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
    assert healthy.events == ["complete"]
    assert "could not be ended" in caplog.text


def test_released_operations_do_not_pile_up_in_the_heap(purgatory: Purgatory) -> None:
    for _ in range(5000):
        wait = Wait()
        wait.ready = True
        purgatory.park(wait, [A], 60_000)
        purgatory.check(A)
    assert len(purgatory._deadlines) < 600


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
