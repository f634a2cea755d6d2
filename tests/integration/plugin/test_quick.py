"""What a suite waits for: bounds far above what it takes, and below what it would with Kafka's defaults."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fastlog import Consumer
from fastlog.testing import BrokerProcess, BrokerThread, KafkaBroker


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("kind", [BrokerProcess, BrokerThread])
def test_the_first_record_of_a_new_group(tmp_path: Path, kind: type[KafkaBroker], protocol: str) -> None:
    """Three seconds and more with `group.initial.rebalance.delay.ms=3000`."""
    with kind(tmp_path) as broker:
        topic = broker.topic()
        topic.send("v")
        began = time.monotonic()
        with Consumer(
            broker.bootstrap,
            topic,
            group_id="g",
            group_protocol=protocol,  # type: ignore[arg-type]
            auto_offset_reset="earliest",
        ) as consumer:
            assert [record.value for record in consumer.consume(1, timeout=20)] == [b"v"]
            assert time.monotonic() - began < 2.5


def test_a_broker_that_is_a_fork(tmp_path: Path) -> None:
    """What it has to import is there already."""
    with BrokerProcess(tmp_path / "first"):
        pass
    began = time.monotonic()
    with BrokerProcess(tmp_path / "second") as broker:
        took = time.monotonic() - began
        assert broker.topics() == frozenset()
    assert took < 1
