"""Applies incremental config changes to a set of overrides: pure (KIP-339, `ConfigAdminManager`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastlog.coordination.lifecycle import ConfigOp, ConfigOpType, ConfigRules
from fastlog.errors import ErrorCode, KafkaError


def apply_ops(current: Mapping[str, str], ops: Sequence[ConfigOp], rules: ConfigRules) -> dict[str, str]:
    """`current` with all of `ops` applied.

    Raises KafkaError: INVALID_REQUEST when a key is changed twice, INVALID_CONFIG when a value is missing or
    a list operation meets a key that is no list.
    """
    keys = [op.key for op in ops]
    if len(set(keys)) != len(keys):
        repeated = sorted({key for key in keys if keys.count(key) > 1})
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
        changed = _items(op.value)
        if op.type is ConfigOpType.APPEND:
            items += [item for item in changed if item not in items]
        else:
            items = [item for item in items if item not in changed]
        result[op.key] = ",".join(items)
    return result


def _items(value: str) -> list[str]:
    return [item for item in (part.strip() for part in value.split(",")) if item]
