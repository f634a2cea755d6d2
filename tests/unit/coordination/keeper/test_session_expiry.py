"""When sessions run out."""

from __future__ import annotations

from fastlog.coordination.keeper.session_expiry import Expiry, Session, SessionIds, new_password


def test_a_session_lives_for_its_time_out_and_less_than_two_ticks_more() -> None:
    expiry = Expiry(2.0)
    for start in (0.0, 0.1, 1.9, 2.0):
        expiry.touch(1, 6.0, start)
        assert expiry.take_expired(start + 6.0) == []
        assert expiry.take_expired(start + 6.0 + 4.0) == [1]
        assert expiry.take_expired(start + 100.0) == []


def test_a_session_that_is_heard_of_lives_on() -> None:
    expiry = Expiry(2.0)
    for now in range(0, 60, 2):
        expiry.touch(1, 6.0, now)
        expiry.touch(2, 30.0, 0.0)
        assert 1 not in expiry.take_expired(now + 5.0)
    expiry.forget(1)
    assert expiry.take_expired(1000.0) in ([], [2])


def test_time_in_which_nobody_was_heard_is_given_back() -> None:
    expiry = Expiry(2.0)
    expiry.touch(1, 6.0, 0.0)
    expiry.postpone(100.0)
    assert expiry.take_expired(106.0) == []
    expiry.touch(1, 6.0, 106.0)
    assert expiry.take_expired(112.0) == []
    assert expiry.take_expired(116.0) == [1]


def test_ids_are_never_given_twice_although_the_clock_goes_back() -> None:
    first = SessionIds(1_700_000_000_000)
    ids = [first.take() for _ in range(3)]
    again = SessionIds(1_600_000_000_000)
    again.above(max(ids))
    assert again.take() > max(ids) > 0
    assert len(set(ids)) == 3


def test_a_password_belongs_to_one_session() -> None:
    session = Session(1, 6000, new_password())
    assert session.has_password(session.password)
    assert not session.has_password(new_password())
    assert not session.has_password(b"")
