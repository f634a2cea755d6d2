"""A directory that a broker has left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.batches import batch
from tests.integration.doctor.asked import SETTINGS
from tests.integration.requests import make_topic, produce
from tests.integration.running import RunningBroker


@pytest.fixture(scope="package")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a broker left that was stopped: `orders` with three segments, fifteen batches of two records."""
    broker = RunningBroker(tmp_path_factory.mktemp("doctor"), SETTINGS)
    broker.start()
    with broker.connect() as client:
        make_topic(client, "orders")
        for index in range(15):
            value = bytes([65 + index]) * 1500
            client.ask(produce("orders", batch(value, None)), 9)
    directories = broker.broker.config.log_dirs
    assert broker.stop()
    broker.close()
    return Path(directories[0])


@pytest.fixture
def directory(left_behind: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(left_behind, tmp_path / "data"))
