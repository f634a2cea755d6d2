"""What an answer says of who may do what: codes and names, put so that two brokers' can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final

from fastlog.errors import ErrorCode

__all__ = ["verdict"]

_NAMES: Final = frozenset(
    {
        *("name", "topic", "topic_name", "group_id", "transactional_id", "resource_name", "key", "user"),
        "principal_name",
        *("topic_id", "partition_index", "partition", "index", "partition_id"),
    }
)
_KEPT: Final = frozenset(
    {
        ErrorCode.TOPIC_AUTHORIZATION_FAILED,
        ErrorCode.GROUP_AUTHORIZATION_FAILED,
        ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
        ErrorCode.OPERATION_NOT_ATTEMPTED,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
    }
)
"""Of other codes it does not matter here which they are."""
_GROUP_BITS: Final = 328
"""The operations that groups have in Kafka 3.9."""
_FIXED: Final = (bytes(16), b"\7" * 16)
# What the brokers have of their own, or of their own way.
_LEFT_OUT: Final = frozenset({"brokers", "api_keys", "node_endpoints", "error_message", "configs"})


def verdict(answer: object, ids: dict[bytes, str]) -> list[str]:
    """Sorted lines, each once. `ids` are those of the broker's topics, with their names."""
    if isinstance(answer, str):
        return [answer]
    return sorted(set(_lines(answer, "", ids)))


def _lines(value: Any, where: str, ids: dict[bytes, str]) -> Iterator[str]:
    names, codes, inner = [], [], []
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name in _LEFT_OUT:
            continue
        if field.name in _NAMES:
            names.append(f"{field.name}={_named(item, ids)}")
        elif field.name.endswith("error_code"):
            codes.append(f"{field.name}={ErrorCode(item).name if item in _KEPT else 'passed'}")
        elif field.name.endswith("authorized_operations"):
            codes.append(
                f"{field.name}={item & _GROUP_BITS if 'group_id' in dir(value) and item > 0 else item}"
            )
        elif isinstance(item, list):
            inner += [part for part in item if is_dataclass(part)]
        elif is_dataclass(item):
            inner.append(item)
    here = f"{where}/{' '.join(names)}" if names else where
    # A part with neither has nothing to tell.
    if codes or (names and not inner):
        yield f"{here} {' '.join(codes)}"
    for part in inner:
        yield from _lines(part, here, ids)


def _named(item: Any, ids: dict[bytes, str]) -> str:
    if isinstance(item, (bytes, memoryview)):
        data = bytes(item)
        return ids.get(data, data.hex() if data in _FIXED else "another")
    return str(item)
