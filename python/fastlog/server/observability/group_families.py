"""Groups: how many, in which states, and what is loaded. Series per group are in `kafka_families`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastlog.coordination.groups.classic.state import GroupState
from fastlog.server.observability.exposition import Family, Kind, Sample, gauge, labels, pulse
from fastlog.server.observability.metric_sources import STRIDE

if TYPE_CHECKING:
    from fastlog.coordination.groups.table import GroupTable

__all__ = ["group_families"]


def group_families(table: GroupTable) -> list[Family]:
    """Of low cardinality, always there."""
    # Every state has a series from the start, so that a rate or an alert finds one.
    states: defaultdict[str, int] = defaultdict(int, {state.value: 0 for state in GroupState})
    members = offsets = 0

    def by_state() -> Iterator[Sample]:
        nonlocal members, offsets
        for index, entry in enumerate(table):
            if not index % STRIDE:
                yield pulse()
            states[entry.group.state.value] += 1
            members += len(entry.group.members)
            offsets += len(entry.offsets.committed)
        for state, count in sorted(states.items()):
            yield labels(state=state), count

    return [
        # The first of them counts for the two that follow.
        Family("fastlog_groups", Kind.GAUGE, "Groups that this broker coordinates, by state.", by_state),
        gauge("fastlog_group_members", "Members of all groups.", lambda: members),
        gauge("fastlog_group_offsets", "Committed offsets of all groups.", lambda: offsets),
        Family(
            "fastlog_group_partitions",
            Kind.GAUGE,
            "Partitions of __consumer_offsets that are being loaded, or could not be.",
            lambda: [
                ('{state="loading"}', len(table.loading)),
                ('{state="failed"}', len(table.failed)),
            ],
        ),
    ]
