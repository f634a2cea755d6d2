"""Addresses that users give."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fastlog.client.bootstrap import parse_servers
from fastlog.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("localhost", [("localhost", 9092)]),
        ("a:1, b:2,,a:1", [("a", 1), ("b", 2)]),
        (["a:1,b", "c:3"], [("a", 1), ("b", 9092), ("c", 3)]),
        ("PLAINTEXT://a:1", [("a", 1)]),
        ("[::1]:1,::1,[fe80::1]", [("::1", 1), ("::1", 9092), ("fe80::1", 9092)]),
    ],
)
def test_reads_what_people_write(given: str | Sequence[str], expected: list[tuple[str, int]]) -> None:
    assert parse_servers(given) == expected


@pytest.mark.parametrize(
    "given", ["", ",", [], "a:b", "a:0", "a:65536", "a:-1", ":9092", "a b:1", "SSL://a:1"]
)
def test_refuses_the_rest(given: str | Sequence[str]) -> None:
    with pytest.raises(ConfigError, match=r"bootstrap\.servers"):
        parse_servers(given)
