"""Which partition of a coordinator's topic a group or a transactional id belongs to."""

from __future__ import annotations

from typing import Final

from fastlog.base.java_hash import java_hash

_SMALLEST: Final = -0x8000_0000


def partition_of(name: str, partitions: int) -> int:
    """The partition of a name, of so many. The smallest number has no `Math.abs`: 0, as in Kafka."""
    value = java_hash(name)
    return (0 if value == _SMALLEST else abs(value)) % partitions
