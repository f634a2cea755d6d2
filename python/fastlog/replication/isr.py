"""The in-sync set of a partition as its leader sees it: what the controller has confirmed, and one change
that it has been asked for. Pure; each event gives another set.

| event                            | committed      | change that is asked for                     |
|----------------------------------|----------------|----------------------------------------------|
| a follower has caught up         | stays          | it joins: from now on the watermark waits for it |
| followers have fallen behind     | stays          | they leave: until then the watermark waits   |
| the controller confirms          | its answer     | none                                         |
| the controller refuses           | stays          | see `Refusal`                                |
| the controller assigns the state | the new one    | none                                         |

Follows `PartitionState` of Kafka's `Partition.scala` (CommittedPartitionState, PendingExpandIsr,
PendingShrinkIsr). Whoever proposes a change keeps the set that `joined` or `without` gave: an answer counts
only as long as that set is the current one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ErrorCode


class Refusal(Enum):
    """What becomes of a change that the controller refuses with an error of the partition."""

    ROLL_BACK = "the change is given up"
    WAIT = "it stays asked for until the controller assigns the state anew"
    RETRY = "it is asked for again"


_REFUSALS: Final[Mapping[int, Refusal]] = {
    ErrorCode.OPERATION_NOT_ATTEMPTED: Refusal.ROLL_BACK,
    ErrorCode.INELIGIBLE_REPLICA: Refusal.ROLL_BACK,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: Refusal.WAIT,
    ErrorCode.INVALID_REQUEST: Refusal.WAIT,
    ErrorCode.FENCED_LEADER_EPOCH: Refusal.WAIT,
    ErrorCode.INVALID_UPDATE_VERSION: Refusal.WAIT,
    ErrorCode.UNKNOWN_TOPIC_ID: Refusal.WAIT,
    ErrorCode.NEW_LEADER_ELECTED: Refusal.WAIT,
}


def least_in_sync(min_insync_replicas: int, replicas: int) -> int:
    """How many members acks=all and the watermark need: a topic cannot ask for more than it has replicas."""
    return min(min_insync_replicas, replicas)


@lru_cache(256)
def settled(members: frozenset[int], partition_epoch: int) -> InSyncSet:
    """The set without a change that is asked for; partitions share those that are the same."""
    return InSyncSet(members, partition_epoch)


@dataclass(frozen=True, slots=True)
class InSyncSet:
    """`committed` may have members that are no replicas: that is legal. At most one change is asked for."""

    committed: frozenset[int]
    partition_epoch: int = 0
    joining: int | None = None
    leaving: frozenset[int] = frozenset()

    @property
    def is_changing(self) -> bool:
        """Whether the controller has been asked for a change."""
        return self.joining is not None or bool(self.leaving)

    @property
    def maximal(self) -> frozenset[int]:
        """All who may be members, whatever the controller answers: the watermark waits for each of them."""
        return self.committed if self.joining is None else self.committed | {self.joining}

    @property
    def proposed(self) -> frozenset[int]:
        """The set that the controller is asked for."""
        return self.maximal - self.leaving

    def joined(self, replica: int) -> InSyncSet:
        """Asks for one more member. Raises ValueError for a member, or while another change is asked for."""
        if self.is_changing or replica in self.committed:
            raise ValueError(f"{replica} cannot join {self}")
        return replace(self, joining=replica)

    def without(self, replicas: Iterable[int]) -> InSyncSet:
        """Asks for fewer members. Raises ValueError for others, for all, or while a change is asked for."""
        leaving = frozenset(replicas)
        if self.is_changing or not leaving < self.committed:
            raise ValueError(f"{sorted(leaving)} cannot leave {self}")
        return replace(self, leaving=leaving)

    def confirmed(self, in_sync: Iterable[int], partition_epoch: int) -> InSyncSet:
        """The controller has answered with the state that it stored, now or before (the same epoch).

        An answer that is older than what is known changes nothing.
        """
        if partition_epoch < self.partition_epoch:
            return self
        return settled(frozenset(in_sync), partition_epoch)

    def refused(self, code: int) -> tuple[InSyncSet, Refusal]:
        """The set after the controller refused the change with an error code, and what is to be done."""
        refusal = _REFUSALS.get(code, Refusal.RETRY)
        if refusal is Refusal.ROLL_BACK:
            return settled(self.committed, self.partition_epoch), refusal
        return self, refusal
