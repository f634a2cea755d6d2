"""States of partitions and replicas as the controller sees them, and which may follow which
(`PartitionState` and `ReplicaState` of Kafka's controller).

| partition    | from                 | replica            | from                              |
|--------------|----------------------|--------------------|-----------------------------------|
| NEW          | NON_EXISTENT         | NEW                | NON_EXISTENT                      |
| ONLINE       | NEW, ONLINE, OFFLINE | ONLINE, OFFLINE    | NEW, ONLINE, OFFLINE, INELIGIBLE  |
| OFFLINE      | NEW, ONLINE, OFFLINE | DELETION_STARTED   | OFFLINE                           |
| NON_EXISTENT | OFFLINE              | DELETED            | DELETION_STARTED                  |
|              |                      | INELIGIBLE         | OFFLINE, DELETION_STARTED         |
|              |                      | NON_EXISTENT       | DELETED                           |

What is in no state yet counts as NON_EXISTENT.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class PartitionPhase(Enum):
    """Where a partition is in its life: ONLINE has a leader that lives, OFFLINE had one."""

    NON_EXISTENT = "non-existent"
    NEW = "new"
    ONLINE = "online"
    OFFLINE = "offline"


class ReplicaPhase(Enum):
    """Where a replica is in its life. INELIGIBLE: it could not be deleted, and will be tried again."""

    NON_EXISTENT = "non-existent"
    NEW = "new"
    ONLINE = "online"
    OFFLINE = "offline"
    DELETION_STARTED = "deletion started"
    DELETED = "deleted"
    INELIGIBLE = "ineligible for deletion"


_P = PartitionPhase
_R = ReplicaPhase
_IN_USE: Final = frozenset({_R.NEW, _R.ONLINE, _R.OFFLINE, _R.INELIGIBLE})
_PARTITION_SOURCES: Final = {
    _P.NON_EXISTENT: frozenset({_P.OFFLINE}),
    _P.NEW: frozenset({_P.NON_EXISTENT}),
    _P.ONLINE: frozenset({_P.NEW, _P.ONLINE, _P.OFFLINE}),
    _P.OFFLINE: frozenset({_P.NEW, _P.ONLINE, _P.OFFLINE}),
}
_REPLICA_SOURCES: Final = {
    _R.NON_EXISTENT: frozenset({_R.DELETED}),
    _R.NEW: frozenset({_R.NON_EXISTENT}),
    _R.ONLINE: _IN_USE,
    _R.OFFLINE: _IN_USE,
    _R.DELETION_STARTED: frozenset({_R.OFFLINE}),
    _R.DELETED: frozenset({_R.DELETION_STARTED}),
    _R.INELIGIBLE: frozenset({_R.OFFLINE, _R.DELETION_STARTED}),
}


def partition_may(before: PartitionPhase, after: PartitionPhase) -> bool:
    """Whether a partition may go from one state to the other."""
    return before in _PARTITION_SOURCES[after]


def replica_may(before: ReplicaPhase, after: ReplicaPhase) -> bool:
    """Whether a replica may go from one state to the other."""
    return before in _REPLICA_SOURCES[after]
