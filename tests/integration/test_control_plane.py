"""The controller reaches brokers over a listener of its own (`control.plane.listener.name`), and they it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.wire.messages.metadata import MetadataResponse
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from tests.harness.keeper_process import KeeperProcess
from tests.harness.link import Link
from tests.harness.net import free_port
from tests.harness.waiting import wait_until
from tests.integration.requests import metadata
from tests.integration.running import RunningBroker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[list[RunningBroker]]:
    """Two of a cluster, whose PLAINTEXT listeners are advertised where nobody listens."""
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        running: list[RunningBroker] = []
        try:
            for node_id in (1, 2):
                control, plain, nowhere = (free_port() for _ in range(3))
                broker = RunningBroker(
                    tmp_path / str(node_id),
                    {
                        "broker.id": str(node_id),
                        "zookeeper.connect": keeper.address,
                        "listeners": f"CONTROL://127.0.0.1:{control},PLAINTEXT://127.0.0.1:{plain}",
                        "advertised.listeners": f"CONTROL://127.0.0.1:{control},PLAINTEXT://127.0.0.1:{nowhere}",
                        "listener.security.protocol.map": "CONTROL:PLAINTEXT,PLAINTEXT:PLAINTEXT",
                        "control.plane.listener.name": "CONTROL",
                        "controlled.shutdown.max.retries": "1",
                    },
                )
                running.append(broker)
                broker.start()
                broker.port = plain
            yield running
        finally:
            for broker in reversed(running):
                broker.close()


def told(broker: RunningBroker, topic: str) -> list[int]:
    """The leaders of a topic, as a broker has them."""
    with Link(broker.port) as link:
        answer = link.call(metadata(topic), 9)
    assert isinstance(answer, MetadataResponse)
    return [row.leader_id for found in answer.topics for row in found.partitions]


def test_all_that_the_controller_and_brokers_ask_goes_over_it(brokers: list[RunningBroker]) -> None:
    one, two = brokers
    with Link(one.port) as link:
        request = CreateTopicsRequest(topics=[CreatableTopic("t", 4, 1)], timeout_ms=30_000)
        answer = link.call(request, 5)
    assert isinstance(answer, CreateTopicsResponse)
    assert [row.error_code for row in answer.topics] == [0]
    wait_until(lambda: sorted(set(told(two, "t"))) == [1, 2], "the other broker is told nothing", seconds=30)
    # It asks for producer ids, the other way round.
    assert two.run(two.broker.services.producer_ids.allocate()) >= 0
