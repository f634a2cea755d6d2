"""Subscriptions and assignments of classic members, from good and from bad bytes."""

from __future__ import annotations

import struct

import pytest

from fastlog.client.admin.group_protocol import read_assignment, read_subscription


def string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


ASSIGNMENT = (
    struct.pack(">hi", 1, 2)
    + string("b")
    + struct.pack(">iii", 2, 3, 1)
    + string("a")
    + struct.pack(">i", 0)
    + struct.pack(">i", -1)
)
SUBSCRIPTION = struct.pack(">hi", 3, 2) + string("b") + string("a") + b"whatever a later version adds"


def test_good_bytes() -> None:
    assert read_assignment(ASSIGNMENT) == {"b": (1, 3), "a": ()}
    assert read_subscription(SUBSCRIPTION) == ("a", "b")
    assert read_assignment(b"") == {}
    assert read_subscription(b"") == ()


@pytest.mark.parametrize("size", range(1, len(ASSIGNMENT) - 4))
def test_cut_off(size: int) -> None:
    assert read_assignment(ASSIGNMENT[:size]) is None


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">hi", 0, 2**31 - 1),
        struct.pack(">hi", 0, -1),
        struct.pack(">hih", 0, 1, -1) + b"12345678",
        struct.pack(">hih", 0, 1, 2) + b"\xff\xff" + struct.pack(">i", 0),
    ],
)
def test_hostile(data: bytes) -> None:
    assert read_assignment(data) is None
    assert read_subscription(data) is None
