"""Heartbeats of the consumer protocol and the limits of its groups, as plain data."""

from __future__ import annotations

from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition
from fastlog.coordination.groups.consumer.reconciliation import Owned
from fastlog.errors import ErrorCode

JOIN_EPOCH: Final = 0
LEAVE_EPOCH: Final = -1
LEAVE_STATIC_EPOCH: Final = -2
NOT_GIVEN: Final = -1


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    """What the configuration says about consumer groups (`group.consumer.*` keys)."""

    session_timeout_ms: int = 45_000
    heartbeat_interval_ms: int = 5_000
    max_size: int = 2**31 - 1
    assignors: tuple[str, ...] = ("uniform", "range")
    """Their names; the first one serves members that name none."""
    may_upgrade: bool = True
    may_downgrade: bool = True
    classic_max_size: int = 2**31 - 1


@dataclass(frozen=True, slots=True)
class HeartbeatRequest:
    """A ConsumerGroupHeartbeat request. None and NOT_GIVEN mean "as before"."""

    member_id: str
    epoch: int
    client_id: str = ""
    client_host: str = ""
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = NOT_GIVEN
    topics: tuple[str, ...] | None = None
    regex: str | None = None
    assignor: str | None = None
    owned: Owned = None
    brings_id: bool = True
    """The client chooses the member id (version 1 and later, KIP-1082)."""

    @property
    def is_full(self) -> bool:
        """Whether it says everything, as after a lost answer: then the whole assignment is sent again."""
        return self.epoch == JOIN_EPOCH or (
            self.rebalance_timeout_ms != NOT_GIVEN
            and (self.topics is not None or self.regex is not None)
            and self.owned is not None
        )


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    """The answer. `assignment` is all that the member may own now, or None when that has not changed."""

    error: ErrorCode = ErrorCode.NONE
    message: str | None = None
    member_id: str | None = None
    epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: tuple[TopicPartition, ...] | None = None
