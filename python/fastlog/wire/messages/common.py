"""Structs and values that several messages share."""

from __future__ import annotations

from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.schema import int32, string

UNKNOWN_OPERATIONS: Final = -(2**31)
"""Authorized operations that were not asked for."""


@dataclass(slots=True)
class LeaderIdAndEpoch:
    """A partition's leader as the broker knows it; -1 and -1 when there is nothing to tell (KIP-951)."""

    leader_id: int = int32(default=-1)
    leader_epoch: int = int32(default=-1)


@dataclass(slots=True)
class NodeEndpoint:
    """Where to reach a leader named in the answer (KIP-951)."""

    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(nullable="0+", default=None)
