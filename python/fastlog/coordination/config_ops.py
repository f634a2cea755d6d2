"""Applies incremental config changes to a set of overrides: pure (KIP-339, `ConfigAdminManager`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from fastlog.coordination.lifecycle import ConfigOp, ConfigOpType, ConfigRules
from fastlog.errors import ErrorCode, KafkaError

MAX_CHANGES: Final = 1000
"""Of one resource in one request: all of them are checked and stored in one step. No resource has as many
settings."""


def check_count(changes: int) -> None:
    """Raises KafkaError(INVALID_REQUEST) when a resource is given more settings than a request may have."""
    if changes > MAX_CHANGES:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"{changes} settings of one resource: there may be {MAX_CHANGES}"
        )


def apply_ops(current: Mapping[str, str], ops: Sequence[ConfigOp], rules: ConfigRules) -> dict[str, str]:
    """`current` with all of `ops` applied.

    Raises KafkaError: INVALID_REQUEST when a key is changed twice or as `check_count`, INVALID_CONFIG when a
    value is missing or a list operation meets a key that is no list.
    """
    check_count(len(ops))
    keys = Counter(op.key for op in ops)
    if len(keys) != len(ops):
        repeated = sorted(key for key, count in keys.items() if count > 1)
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"keys changed more than once: {', '.join(repeated)}")
    result = dict(current)
    for op in ops:
        if op.type is ConfigOpType.DELETE:
            result.pop(op.key, None)
            continue
        if op.value is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"no value is given for {op.key}")
        if op.type is ConfigOpType.SET:
            result[op.key] = op.value
            continue
        if not rules.is_list(op.key):
            raise KafkaError(
                ErrorCode.INVALID_CONFIG, f"{op.key} is not a list: {op.type.name} has no meaning"
            )
        items = _items(result.get(op.key, rules.default(op.key) or ""))
        changed = dict.fromkeys(_items(op.value))
        if op.type is ConfigOpType.APPEND:
            known = set(items)
            items += [item for item in changed if item not in known]
        else:
            items = [item for item in items if item not in changed]
        result[op.key] = ",".join(items)
    return result


def _items(value: str) -> list[str]:
    return [item for item in (part.strip() for part in value.split(",")) if item]
