"""One member of a consumer group, in the two parts that are stored apart.

`Details` is who the member is and what it wants; it changes seldom. `Position` is how far it has come on the
way to its target; it changes with each step of a rebalance. Both are immutable: a change makes a new one, and
comparing tells what must be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition
from fastlog.coordination.groups.results import Protocols


class MemberState(IntEnum):
    """Where a member stands, with the numbers that Kafka stores.

    | state      | epoch  | what it waits for                                                |
    |------------|--------|------------------------------------------------------------------|
    | STABLE     | target | nothing (or it has not heard of a new target yet)                |
    | UNREVOKED  | old    | that the member gives up `Position.revoking`                     |
    | UNRELEASED | target | that others give up partitions that it is to have                |
    | UNKNOWN    |        | written by a later release: the member has to join anew          |
    """

    STABLE = 0
    UNREVOKED = 1
    UNRELEASED = 2
    UNKNOWN = 127


@dataclass(frozen=True, slots=True)
class ClassicInfo:
    """What a member of the classic protocol said when it joined the consumer group."""

    session_timeout_ms: int
    protocols: Protocols


@dataclass(frozen=True, slots=True)
class Details:
    """Who a member is and what it subscribes to: names, a regular expression or both."""

    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topics: tuple[str, ...] = ()
    """Without doubles, in order."""
    regex: str | None = None
    rebalance_timeout_ms: int = -1
    assignor: str | None = None
    classic: ClassicInfo | None = None
    """None for a member of the consumer protocol."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a member has come. The numbers in `assigned` and `revoking` are the epochs in which it got the
    partitions: commits of that epoch or later are still right (KIP-1251)."""

    epoch: int = 0
    previous_epoch: int = -1
    state: MemberState = MemberState.STABLE
    assigned: Mapping[TopicPartition, int] = field(default_factory=dict)
    revoking: Mapping[TopicPartition, int] = field(default_factory=dict)

    def owns(self) -> list[TopicPartition]:
        """Partitions that nobody else may get: those that it has, and those that it has not given up yet."""
        return [*self.assigned, *self.revoking]

    def at(
        self,
        epoch: int,
        state: MemberState,
        assigned: Mapping[TopicPartition, int],
        revoking: Mapping[TopicPartition, int],
    ) -> Position:
        """The next position. The previous epoch stays known while the epoch itself stays: the answer that
        brought it may have been lost more than once."""
        previous = self.previous_epoch if epoch == self.epoch else self.epoch
        return Position(epoch, previous, state, assigned, revoking)


@dataclass(frozen=True, slots=True)
class ConsumerMember:
    """A member of a consumer group."""

    member_id: str
    details: Details
    position: Position

    @property
    def is_classic(self) -> bool:
        """Whether it speaks the classic protocol."""
        return self.details.classic is not None

    @property
    def instance_id(self) -> str | None:
        """Of a static member (KIP-345)."""
        return self.details.instance_id

    def is_reconciled(self, target_epoch: int) -> bool:
        """Whether it has what the target of that epoch says."""
        return self.position.state is MemberState.STABLE and self.position.epoch == target_epoch
