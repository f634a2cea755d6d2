"""The names of kafka_exporter over many partitions: a scrape never goes through all of them at a stretch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.server.observability.exposition import pulse
from fastlog.server.observability.kafka_families import kafka_families
from fastlog.server.observability.metric_sources import STRIDE

PARTITIONS = 20 * STRIDE


def services() -> Any:
    """One group that has committed to every partition of one wide topic, 3 records behind in each."""
    replica = SimpleNamespace(
        leader_error=lambda: 0, high_watermark=10, log=SimpleNamespace(log_start_offset=2)
    )
    committed = {("t", number): SimpleNamespace(offset=7) for number in range(PARTITIONS)}
    group = SimpleNamespace(group_id="g", members={})
    entry = SimpleNamespace(group=group, offsets=SimpleNamespace(committed=committed))
    return SimpleNamespace(
        cluster=SimpleNamespace(topics={"t": SimpleNamespace(partitions=(None,) * PARTITIONS)}),
        replicas=SimpleNamespace(get=lambda topic, number: replica),
        groups=SimpleNamespace(table=[entry]),
    )


@pytest.mark.parametrize(
    ("name", "value", "rounds"),
    # In turn the offsets of the group, and before the first sum the high watermarks of the topic.
    [("current_offset_sum", 7 * PARTITIONS, 2), ("lag_sum", 3 * PARTITIONS, 2)],
)
def test_long_work_before_a_line_pulses(name: str, value: int, rounds: int) -> None:
    families = {family.name: family for family in kafka_families(services(), per_partition=False)}
    samples = list(families[f"kafka_consumergroup_{name}"].samples())
    assert [sample for sample in samples if sample is not pulse()] == [
        ('{consumergroup="g",topic="t"}', value)
    ]
    assert samples.count(pulse()) >= rounds * PARTITIONS / STRIDE
