"""Incremental config changes."""

from __future__ import annotations

import pytest

from fastlog.coordination.config_ops import apply_ops
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
