"""One broker for all tests of a file: each has a transactional id of its own, named after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.requests import make_topic
from tests.integration.running import RawClient
from tests.integration.transaction_broker import Producer, TransactionBroker


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransactionBroker]:
    """With the topic `a`."""
    running = TransactionBroker(tmp_path_factory.mktemp("transactions"))
    running.start()
    with running.connect() as client:
        make_topic(client, "a")
    yield running
    running.close()


@pytest.fixture
def client(running: TransactionBroker) -> Iterator[RawClient]:
    """A connection; what markers did before is forgotten, and none is held afterwards."""
    running.markers.written.clear()
    running.markers.codes.clear()
    with running.connect() as connection:
        yield connection
    running.release()


@pytest.fixture
def producer(client: RawClient, request: pytest.FixtureRequest) -> Producer:
    """The test's own id."""
    return Producer(client, request.node.name)
