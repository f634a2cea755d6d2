"""Backoff: pauses that grow, up to a bound."""

from fastlog.net.backoff import Backoff


def test_pauses_double_up_to_the_bound_and_are_spread() -> None:
    backoff = Backoff(0.1, 0.5)
    for expected in (0.1, 0.2, 0.4, 0.5, 0.5):
        assert 0.8 * expected <= backoff.next() <= 1.2 * expected
    assert len({backoff.next() for _ in range(10)}) > 1


def test_a_success_starts_from_the_first_again() -> None:
    backoff = Backoff(0.1, 10)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.12


def test_a_first_pause_above_the_bound_is_cut() -> None:
    assert Backoff(5, 1).next() <= 1.2
