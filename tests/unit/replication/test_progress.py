"""What followers have, the high watermark and who falls behind, against their definitions."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fastlog.replication.isr import InSyncSet
from fastlog.replication.progress import NEVER, UNKNOWN, Follower, fallen_behind, high_watermark

LAG = 10
FETCHES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(1, 6)), max_size=12)


@given(FETCHES)
def test_caught_up_means_that_it_has_what_there_was_then(
    fetches: list[tuple[int, int, int]],
) -> None:
    """`caught_up_ms` is the latest fetch time at whose leader's end the follower has arrived since."""
    follower, now, end = Follower(), 0, 0
    seen: list[tuple[int, int]] = []
    for behind, grown, passed in fetches:
        now, end = now + passed, end + grown
        offset = max(0, end - behind)
        follower.fetched(offset, 0, end, now)
        seen.append((now, end))
        assert (follower.end_offset, follower.start_offset) == (offset, 0)
        # The two last fetches are all that is remembered.
        arrived = [when for when, leaders_end in seen[-2:] if offset >= leaders_end]
        assert follower.caught_up_ms >= max(arrived, default=NEVER)
        # It never claims more than it has.
        if follower.caught_up_ms != NEVER:
            assert follower.caught_up_ms in [when for when, _ in seen]
    assert follower.is_caught_up(end, now, LAG) is (
        follower.end_offset == end or now - follower.caught_up_ms <= LAG
    )


def test_a_follower_that_gets_all_that_there_was_is_never_far_behind() -> None:
    follower = Follower()
    for round_ in range(50):
        # It always asks from where the leader's log ended the last time, and never reaches the end.
        follower.fetched(round_ * 100, 0, (round_ + 1) * 100, round_ * 5)
        assert round_ < 2 or follower.is_caught_up((round_ + 1) * 100, round_ * 5, LAG)
    # It hangs: the same offset again and again.
    for late in range(3):
        follower.fetched(4_900, 0, 9_000, 1_000 + late)
    assert not follower.is_caught_up(9_000, 1_002, LAG)


def test_a_new_leader_knows_nothing_and_one_that_is_elected_again_keeps_it() -> None:
    for in_sync, new_leader in product((True, False), repeat=2):
        follower = Follower()
        follower.fetched(7, 1, 9, 50)
        follower.begin_epoch(9, 60, in_sync=in_sync, new_leader=new_leader)
        assert follower.end_offset == (UNKNOWN if new_leader else 7)
        assert follower.is_caught_up(9, 60 + LAG, LAG) is in_sync


def watermark(
    ends: dict[int, int], in_sync: InSyncSet, fresh: set[int], least: int, eligible: set[int]
) -> int | None:
    followers = {
        replica: Follower(end, 0, caught_up_ms=100 if replica in fresh else NEVER)
        for replica, end in ends.items()
    }
    return high_watermark(
        5,
        followers,
        in_sync,
        least=least,
        now_ms=100,
        max_lag_ms=LAG,
        is_eligible=eligible.__contains__,
    )


def test_the_watermark_in_all_small_cases() -> None:
    sets = [InSyncSet(frozenset({1, *others})) for others in ((), (2,), (3,), (2, 3))]
    sets += [state.joined(other) for state in sets for other in (2, 3) if other not in state.committed]
    sets += [state.without({2}) for state in sets if 2 in state.committed and not state.is_changing]
    groups = [set(), {2}, {3}, {2, 3}]
    for two, three, in_sync, fresh, least, eligible in product(
        (UNKNOWN, 3, 5), (UNKNOWN, 4, 5), sets, groups, (1, 2, 3), groups
    ):
        ends = {2: two, 3: three}
        found = watermark(ends, in_sync, fresh, least, eligible)
        count = [
            replica
            for replica, end in ends.items()
            if replica in in_sync.maximal or (replica in eligible and (replica in fresh or end == 5))
        ]
        wanted = min([5, *(ends[replica] for replica in count)])
        stands_still = len(in_sync.committed) < least or wanted == UNKNOWN
        assert found == (None if stands_still else wanted)


def test_who_falls_behind() -> None:
    followers = {2: Follower(5, 0, NEVER), 3: Follower(4, 0, 90), 4: Follower(4, 0, 89)}
    assert fallen_behind(followers, {2, 3, 4}, 5, 100, LAG) == {4}
    assert fallen_behind(followers, {2, 9}, 5, 100, LAG) == {9}
