"""One broker process for the whole compatibility suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker_process import BrokerProcess


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker as users start it; segments of 16 MiB so that reads cross from one to the next.

    Retention is off: the records of the data set carry timestamps of years ago. Groups do not wait.
    """
    directory: Path = tmp_path_factory.mktemp("compat")
    settings = {
        "log.segment.bytes": str(16 * 1024 * 1024),
        "log.retention.ms": "-1",
        "group.initial.rebalance.delay.ms": "0",
        "group.consumer.heartbeat.interval.ms": "300",
        "group.consumer.min.heartbeat.interval.ms": "300",
    }
    with BrokerProcess(directory, settings=settings) as process:
        yield process
        assert process.process.poll() is None, f"the broker ended:\n{process.log_text[-4000:]}"
        assert "Traceback" not in process.log_text, process.log_text[-4000:]


@pytest.fixture
def topic(broker: BrokerProcess, request: pytest.FixtureRequest) -> str:
    """A topic of two partitions with a name of its own."""
    name = "txn-" + "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for made in admin.create_topics([NewTopic(one, 2, 1) for one in (name, f"{name}-out")]).values():
        made.result(30)
    return name
