"""Every pair of states, as Kafka's controller allows it."""

from __future__ import annotations

from fastlog.coordination.controller.states import (
    PartitionPhase,
    ReplicaPhase,
    partition_may,
    replica_may,
)


def test_partitions() -> None:
    allowed = {
        (before.name, after.name)
        for before in PartitionPhase
        for after in PartitionPhase
        if partition_may(before, after)
    }
    in_use = ("NEW", "ONLINE", "OFFLINE")
    assert allowed == {
        ("NON_EXISTENT", "NEW"),
        ("OFFLINE", "NON_EXISTENT"),
        *((before, after) for before in in_use for after in ("ONLINE", "OFFLINE")),
    }


def test_replicas() -> None:
    allowed = {
        (before.name, after.name)
        for before in ReplicaPhase
        for after in ReplicaPhase
        if replica_may(before, after)
    }
    in_use = ("NEW", "ONLINE", "OFFLINE", "INELIGIBLE")
    assert allowed == {
        ("NON_EXISTENT", "NEW"),
        *((before, after) for before in in_use for after in ("ONLINE", "OFFLINE")),
        ("OFFLINE", "DELETION_STARTED"),
        ("DELETION_STARTED", "DELETED"),
        ("DELETION_STARTED", "INELIGIBLE"),
        ("OFFLINE", "INELIGIBLE"),
        ("DELETED", "NON_EXISTENT"),
    }
