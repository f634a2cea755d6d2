"""Memory has a ceiling: idle under 60 MB, 100 connections that produce 1 MB requests under 400 MB."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from fastlog.native import build_batch
from fastlog.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link

CONNECTIONS = 100
REQUESTS = 10
VERSION = 9


@pytest.mark.timeout(60)
def test_idle_broker(tmp_path: Path) -> None:
    """A broker that waits for its first client."""
    with BrokerProcess(tmp_path) as broker:
        time.sleep(2)
        resident = broker.resident_mb()
        print(f"idle: {resident:.1f} MiB resident")
        assert resident < 60


@pytest.mark.timeout(120)
def test_a_hundred_connections_of_one_megabyte_requests(tmp_path: Path) -> None:
    """All send at the same time, five requests in flight each, as fast as the broker takes them."""
    batch = build_batch([(None, b"x" * 1_000_000, [], 1_700_000_000_000)])
    with BrokerProcess(tmp_path, settings={"log.retention.ms": "-1"}) as broker:
        errors: list[BaseException | int] = []

        def client(number: int) -> None:
            try:
                _produce(broker.port, number % 10, batch, errors)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                errors.append(error)

        _create(broker.port)
        threads = [threading.Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors[:3]
        stored = sum(path.stat().st_size for path in broker.data_dir.glob("big-*/*.log"))
        assert stored == len(batch) * CONNECTIONS * REQUESTS
        peak = broker.peak_resident_mb()
        print(f"{CONNECTIONS} connections: peak {peak:.1f} MiB resident")
        assert peak < 400


def _produce(
    port: int, partition: int, batch: bytes, errors: list[BaseException | int], *, requests: int = REQUESTS
) -> None:
    data = PartitionProduceData(index=partition, records=batch)
    request = ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[TopicProduceData("big", [data])])
    with Link(port, timeout=60) as link:
        in_flight = 0
        for sent in range(requests):
            link.send(request, VERSION)
            in_flight += 1
            while in_flight >= 5 or (sent == requests - 1 and in_flight):
                response = link.receive(request, VERSION)
                assert isinstance(response, ProduceResponse)
                code = response.responses[0].partition_responses[0].error_code
                if code:
                    errors.append(code)
                in_flight -= 1


def _create(port: int) -> None:
    with Link(port) as link:
        response = link.call(CreateTopicsRequest(topics=[CreatableTopic("big", 10, 1)]), 2)
        assert isinstance(response, CreateTopicsResponse)
        assert response.topics[0].error_code == 0
