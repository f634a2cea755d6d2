"""Incremental config changes."""

from __future__ import annotations

import pytest

from fastlog.coordination.config_ops import MAX_CHANGES, apply_ops
from fastlog.coordination.lifecycle import ConfigOp, ConfigOpType
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.world import Rules

SET, DELETE, APPEND, SUBTRACT = ConfigOpType


def apply(current: dict[str, str], *ops: ConfigOp) -> dict[str, str]:
    before = dict(current)
    result = apply_ops(current, ops, Rules())
    assert current == before
    return result


def test_values_are_set_and_deleted() -> None:
    current = {"a": "1", "b": "2"}
    assert apply(current, ConfigOp("a", SET, "9"), ConfigOp("b", DELETE)) == {"a": "9"}
    assert apply(current, ConfigOp("c", DELETE, "x")) == current


def test_lists_grow_and_shrink() -> None:
    key = "cleanup.policy"
    assert apply({}, ConfigOp(key, APPEND, "compact")) == {key: "delete,compact"}
    assert apply({key: "delete, compact"}, ConfigOp(key, APPEND, "compact")) == {key: "delete,compact"}
    assert apply({key: "delete,compact"}, ConfigOp(key, SUBTRACT, "delete")) == {key: "compact"}


def test_long_lists_are_compared_in_one_pass() -> None:
    """Each item is looked up, not searched for: the comparisons are counted."""
    key, compared = "cleanup.policy", 0

    class Counting(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        def split(self, *_: object) -> list[str]:  # type: ignore[override]
            return [Counting(item) for item in str.split(self, ",")]

        def strip(self, *_: object) -> str:  # type: ignore[override]
            return self

    items = 3000
    before = Counting(",".join(str(number) for number in range(items)))
    others = Counting(",".join(str(number) for number in range(items // 2, 2 * items)))
    added = apply({key: before}, ConfigOp(key, APPEND, others))[key]
    assert len(added.split(",")) == 2 * items
    left = apply({key: before}, ConfigOp(key, SUBTRACT, others))[key]
    assert len(left.split(",")) == items // 2
    assert compared < 10 * items


def test_an_item_is_added_once() -> None:
    key = "cleanup.policy"
    assert apply({key: "delete"}, ConfigOp(key, APPEND, "compact,compact")) == {key: "delete,compact"}


def test_a_resource_is_not_given_thousands_of_settings_at_once() -> None:
    ops = [ConfigOp(f"k{number}", SET, "v") for number in range(MAX_CHANGES)]
    assert len(apply({}, *ops)) == MAX_CHANGES
    with pytest.raises(KafkaError, match="there may be 1000") as caught:
        apply({}, *ops, ConfigOp("k0", SET, "v"))
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([ConfigOp("a", SET, "1"), ConfigOp("a", DELETE)], ErrorCode.INVALID_REQUEST),
        ([ConfigOp("a", SET)], ErrorCode.INVALID_CONFIG),
        ([ConfigOp("a", APPEND, "1")], ErrorCode.INVALID_CONFIG),
        ([ConfigOp("cleanup.policy", APPEND)], ErrorCode.INVALID_CONFIG),
    ],
)
def test_errors(ops: list[ConfigOp], code: ErrorCode) -> None:
    with pytest.raises(KafkaError) as caught:
        apply({}, *ops)
    assert caught.value.code is code
