"""What the controller knows of brokers, assignments and leaderships: immutable values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Final, NamedTuple

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.features import Supported
from fastlog.replication.partition import PartitionKey

__all__ = [
    "DURING_DELETION",
    "NO_LEADER",
    "Assignment",
    "Endpoint",
    "Leadership",
    "LiveBroker",
    "PartitionKey",
    "Replica",
]

NO_LEADER: Final = -1
DURING_DELETION: Final = -2
"""The leader in UpdateMetadata, and the epoch in StopReplica, of what is being deleted."""


class Endpoint(NamedTuple):
    """A listener as it is advertised. `protocol` is 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL."""

    listener: str
    host: str
    port: int
    protocol: int


@dataclass(frozen=True, slots=True)
class LiveBroker:
    """A registered broker. `epoch` is the czxid of its registration: it grows with each one."""

    id: int
    epoch: int
    endpoints: tuple[Endpoint, ...]
    rack: str | None = None
    features: Mapping[str, Supported] = field(default_factory=dict, compare=False)

    def endpoint(self, *listeners: str) -> Endpoint | None:
        """Where the first of these listeners is that it has, or None."""
        by_name = {endpoint.listener: endpoint for endpoint in self.endpoints}
        return next((by_name[listener] for listener in listeners if listener in by_name), None)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The replicas of a partition; `adding` and `removing` of them only while it is reassigned (KIP-455)."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()

    @property
    def is_moving(self) -> bool:
        """Whether a reassignment is under way."""
        return bool(self.adding or self.removing)

    @property
    def origin(self) -> tuple[int, ...]:
        """The replicas before the reassignment."""
        return tuple(replica for replica in self.replicas if replica not in self.adding)

    @property
    def target(self) -> tuple[int, ...]:
        """The replicas after the reassignment."""
        return tuple(replica for replica in self.replicas if replica not in self.removing)

    def reassigned_to(self, target: Sequence[int]) -> Assignment:
        """The assignment while it goes to `target`, from where it was before any move under way."""
        origin = self.origin
        full = tuple(dict.fromkeys((*target, *origin)))
        return Assignment(
            full,
            adding=tuple(replica for replica in full if replica not in origin),
            removing=tuple(replica for replica in full if replica not in target),
        )

    def without(self, replica: int) -> Assignment:
        """The assignment without one of its replicas."""
        return Assignment(
            *(tuple(r for r in ids if r != replica) for ids in (self.replicas, self.adding, self.removing))
        )


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads a partition and who is in sync, as its state node has it.

    `leader` is -1 when there is none; `recovering` after an unclean election until the leader has recovered.
    `partition_epoch` is the version of the node. `zxid` is that of its last change (mzxid), 0 if it is not
    known: brokers that have registered later have not been seen to be in sync since (see `elections`).
    """

    leader: int
    leader_epoch: int
    isr: tuple[int, ...]
    recovering: bool = False
    partition_epoch: int = 0
    controller_epoch: int = 0
    zxid: int = 0

    def led_by(self, leader: int, isr: Sequence[int], *, recovering: bool | None = None) -> Leadership:
        """The next leadership, one epoch later; it is recovering as before unless that is said."""
        return replace(
            self,
            leader=leader,
            leader_epoch=self.leader_epoch + 1,
            isr=tuple(isr),
            recovering=self.recovering if recovering is None else recovering,
        )

    def in_next_epoch(self) -> Leadership:
        """The same leader and members, one epoch later."""
        return replace(self, leader_epoch=self.leader_epoch + 1)


class Replica(NamedTuple):
    """One replica of a partition."""

    key: PartitionKey
    broker: int
