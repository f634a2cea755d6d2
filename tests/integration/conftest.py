"""A broker per test, in this process, on a free port and a temporary directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.running import RawClient, RunningBroker

BrokerFactory = Callable[..., RunningBroker]


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[BrokerFactory]:
    """Starts brokers with given settings: `start_broker(**{"fastlog.durability": "fsync"})`."""
    running: list[RunningBroker] = []

    def start(**settings: str) -> RunningBroker:
        broker = RunningBroker(tmp_path / f"data-{len(running)}", settings)
        running.append(broker)
        broker.start()
        return broker

    yield start
    for broker in running:
        broker.close()


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """A broker with default settings."""
    return start_broker()


@pytest.fixture
def client(broker: RunningBroker) -> Iterator[RawClient]:
    """A connection to `broker`."""
    with broker.connect() as connection:
        yield connection
