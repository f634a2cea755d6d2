"""Whose limit holds: all eight levels, each alone and all above it taken away one by one."""

from __future__ import annotations

import itertools

import pytest

from fastlog.server.quotas.limits import Found, Kind, Limits

U, C = "alice", "app"
# (user of the node, client of the node, who shares it), in Kafka's order. False: no such part; None: default.
LEVELS: list[tuple[str | bool | None, str | bool | None, tuple[str, str]]] = [
    (U, C, (U, C)),
    (U, None, (U, C)),
    (U, False, (U, "")),
    (None, C, (U, C)),
    (None, None, (U, C)),
    (None, False, (U, "")),
    (False, C, ("", C)),
    (False, None, ("", C)),
]


def limits_of(*levels: int) -> Limits:
    """A table with these rows of LEVELS; the limit is the number of the row, from 1 on."""
    limits = Limits()
    for level in levels:
        user, client, _ = LEVELS[level]
        limits.put(user, client, {"producer_byte_rate": level + 1.0})
    return limits


@pytest.mark.parametrize("levels", [s for n in range(9) for s in itertools.combinations(range(8), n)])
def test_the_first_of_those_that_are_there(levels: tuple[int, ...]) -> None:
    found = limits_of(*levels).find(Kind.PRODUCE, U, C)
    expected = Found(levels[0] + 1.0, *LEVELS[levels[0]][2]) if levels else None
    assert found == expected


# (user, client) of a request -> the row whose limit it gets when all rows are there.
@pytest.mark.parametrize(
    ("user", "client", "limit", "shared"),
    [
        (U, C, 1, (U, C)),
        (U, "other", 2, (U, "other")),
        (U, "", 2, (U, "")),
        ("bob", C, 4, ("bob", C)),
        ("bob", "other", 5, ("bob", "other")),
        ("ANONYMOUS", C, 4, ("ANONYMOUS", C)),
    ],
)
def test_everybody_when_all_are_there(user: str, client: str, limit: float, shared: tuple[str, str]) -> None:
    assert limits_of(*range(8)).find(Kind.PRODUCE, user, client) == Found(limit, *shared)


def test_others_do_not_get_it() -> None:
    assert limits_of(0).find(Kind.PRODUCE, U, "other") is None
    assert limits_of(0).find(Kind.PRODUCE, "bob", C) is None
    assert limits_of(6).find(Kind.PRODUCE, U, "other") is None
    assert limits_of(2).find(Kind.PRODUCE, "bob", C) is None
    # A user of that name is not the default.
    assert limits_of(5).find(Kind.PRODUCE, "<default>", C) == Found(6.0, "<default>", "")


def test_kinds_are_looked_up_by_themselves() -> None:
    limits = Limits()
    limits.put(U, C, {"producer_byte_rate": 1.0})
    limits.put(U, False, {"consumer_byte_rate": 2.0, "unknown": 9.0})
    limits.put(False, None, {"request_percentage": 3.0, "controller_mutation_rate": 4.0})
    found = {kind: limits.find(kind, U, C) for kind in Kind}
    assert {kind: None if one is None else one.limit for kind, one in found.items()} == {
        Kind.PRODUCE: 1.0,
        Kind.FETCH: 2.0,
        Kind.REQUEST: 3.0,
        Kind.MUTATION: 4.0,
    }
    assert [limits.has(kind) for kind in Kind] == [True] * 4


def test_what_a_node_has_no_more_is_gone() -> None:
    limits = limits_of(0, 7)
    limits.put(U, C, {"consumer_byte_rate": 5.0})
    assert limits.find(Kind.PRODUCE, U, C) == Found(8.0, "", C)
    limits.put(False, None, {})
    assert limits.find(Kind.PRODUCE, U, C) is None
    assert not limits.has(Kind.PRODUCE)
