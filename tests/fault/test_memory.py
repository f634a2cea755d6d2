"""Memory has a ceiling: idle under 60 MB, 100 connections that produce 1 MB requests under 400 MB."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from fastlog.native import build_batch
from fastlog.wire import ApiKey, decode_response, encode_request
from fastlog.wire.messages.produce import (
    ProducePartitionData,
    ProduceRequest,
    ProduceResponse,
    ProduceTopicData,
)
from tests.fault.test_hostile_frames import read_frame
from tests.harness.broker_process import BrokerProcess

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
    with BrokerProcess(tmp_path, settings={"num.partitions": "10", "log.retention.ms": "-1"}) as broker:
        errors: list[BaseException | int] = []

        def client(number: int) -> None:
            try:
                _produce(broker.port, number % 10, batch, errors)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                errors.append(error)

        _produce(broker.port, 0, batch, [], requests=1, until_created=True)
        threads = [threading.Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors[:3]
        stored = sum(path.stat().st_size for path in broker.data_dir.glob("big-*/*.log"))
        assert stored == len(batch) * (CONNECTIONS * REQUESTS + 1)
        peak = broker.peak_resident_mb()
        print(f"{CONNECTIONS} connections: peak {peak:.1f} MiB resident")
        assert peak < 400


def _produce(
    port: int,
    partition: int,
    batch: bytes,
    errors: list[BaseException | int],
    *,
    requests: int = REQUESTS,
    until_created: bool = False,
) -> None:
    data = ProducePartitionData(index=partition, records=batch)
    request = ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[ProduceTopicData("big", [data])])
    frame = encode_request(request, VERSION, 1, "big")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        if until_created:
            _create(link)
        in_flight = 0
        for sent in range(requests):
            link.sendall(frame)
            in_flight += 1
            while in_flight >= 5 or (sent == requests - 1 and in_flight):
                _, response = decode_response(ApiKey.PRODUCE, VERSION, read_frame(link))
                assert isinstance(response, ProduceResponse)
                code = response.responses[0].partition_responses[0].error_code
                if code:
                    errors.append(code)
                in_flight -= 1


def _create(link: socket.socket) -> None:
    from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

    while True:
        link.sendall(encode_request(MetadataRequest(topics=[MetadataRequestTopic(name="big")]), 8, 1, "big"))
        _, response = decode_response(ApiKey.METADATA, 8, read_frame(link))
        assert isinstance(response, MetadataResponse)
        if response.topics[0].error_code == 0:
            return
        time.sleep(0.05)
