"""What goes wrong on the way to a broker, as a client of plain sockets sees it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog import errors
from fastlog.errors import ErrorCode
from fastlog.testing import BrokerThread, FaultProxy
from fastlog.wire import ApiKey
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.harness.batches import batch
from tests.integration.running import RawClient


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path_factory.mktemp("proxy")) as broker:
        broker.topic("t")
        yield broker


@pytest.fixture
def proxy(broker: BrokerThread) -> Iterator[FaultProxy]:
    broker.proxy.requests.clear()
    yield broker.proxy
    broker.proxy.clear()


def connect(proxy: FaultProxy, timeout: float = 10) -> RawClient:
    return RawClient(int(proxy.bootstrap.rpartition(":")[2]), timeout=timeout)


def offsets(at: int = -1) -> ListOffsetsRequest:
    parts = [ListOffsetsPartition(partition_index=0, timestamp=at)]
    return ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=parts)])


def produce(acks: int = -1) -> ProduceRequest:
    data = [PartitionProduceData(index=0, records=batch(b"v"))]
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=[TopicProduceData("t", data)])


def end(client: RawClient) -> int:
    answer = client.ask(offsets(), 7).topics[0].partitions[0]
    assert answer.error_code == 0
    return int(answer.offset)


def test_clients_are_told_of_the_proxy_alone(broker: BrokerThread, proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        (node,) = client.ask(MetadataRequest(topics=None), 9).brokers
        assert f"{node.host}:{node.port}" == proxy.bootstrap
    assert proxy.requests == {"METADATA": 1}


@pytest.mark.parametrize("where", ["request", "answer"])
def test_delay(proxy: FaultProxy, where: str) -> None:
    with connect(proxy) as client, proxy.delay(0.3, "list_offsets", times=2, where=where) as fault:  # type: ignore[arg-type]
        for expected in (0.3, 0.3, 0.0):
            began = time.monotonic()
            end(client)
            assert expected <= time.monotonic() - began < expected + 0.25
        assert (fault.hits, fault.is_over) == (2, True)


def test_delay_of_others_is_no_delay(proxy: FaultProxy) -> None:
    with connect(proxy) as client, proxy.delay(5, ApiKey.PRODUCE) as fault:
        end(client)
        assert fault.hits == 0


@pytest.mark.parametrize("where", ["request", "answer"])
def test_hold_and_release(proxy: FaultProxy, where: str) -> None:
    """What is sent after it waits, too, and comes in order."""
    with connect(proxy) as client, proxy.hold("ListOffsets", where=where) as fault:  # type: ignore[arg-type]
        first = client.send(offsets(), 7)
        second = client.send(ApiVersionsRequest(), 0)
        fault.wait()
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        fault.release()
        assert client.receive(ApiKey.LIST_OFFSETS, 7)[0] == first
        assert client.receive(ApiKey.API_VERSIONS, 0)[0] == second


def test_drop_of_a_request(proxy: FaultProxy) -> None:
    """The broker never sees it, and the connection is silent from then on; another one is not."""
    with connect(proxy) as client, connect(proxy) as other:
        before = end(other)
        fault = proxy.drop("produce")
        client.send(produce(), 8)
        fault.wait()
        client.send(ApiVersionsRequest(), 0)
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        assert end(other) == before


def test_drop_of_an_answer(proxy: FaultProxy) -> None:
    """What was asked for is done all the same."""
    with connect(proxy) as client, connect(proxy) as other:
        before = end(other)
        fault = proxy.drop("produce", where="answer")
        client.send(produce(), 8)
        fault.wait()
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        assert end(other) == before + 1


@pytest.mark.parametrize("after", [None, 2, 6])
def test_cut_in_an_answer(proxy: FaultProxy, after: int | None) -> None:
    with connect(proxy) as client:
        proxy.cut("list_offsets", after=after)
        client.send(offsets(), 7)
        data = b""
        while piece := client.socket.recv(1000):
            data += piece
        if after is None:
            (size,) = struct.unpack_from(">i", data)
            assert 4 < len(data) < size + 4
        else:
            assert len(data) == after
    with connect(proxy) as client:
        end(client)


def test_cut_in_a_request(proxy: FaultProxy) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        before = end(other)
        proxy.cut("produce", where="request")
        client.send(produce(), 8)
        assert client.is_closed()
        assert end(other) == before


@pytest.mark.parametrize("error", ["NOT_LEADER_OR_FOLLOWER", 6, ErrorCode.NOT_LEADER_OR_FOLLOWER])
def test_the_next_requests_fail(proxy: FaultProxy, error: str | int | ErrorCode) -> None:
    with connect(proxy) as client:
        before = end(client)
        with proxy.fail("Produce", error, times=2) as fault:
            for _ in range(2):
                (row,) = client.ask(produce(), 8).responses
                assert (row.name, row.partition_responses[0].index) == ("t", 0)
                assert row.partition_responses[0].error_code == 6
            assert client.ask(produce(), 8).responses[0].partition_responses[0].error_code == 0
            assert fault.hits == 2
        assert end(client) == before + 1


def test_what_fails_although_it_was_done(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        before = end(client)
        proxy.fail("produce", errors.RequestTimedOut, carried_out=True)
        assert client.ask(produce(), 8).responses[0].partition_responses[0].error_code == 7
        assert end(client) == before + 1


def test_answers_of_the_proxy_come_in_their_turn(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.fail("list_offsets", "LEADER_NOT_AVAILABLE")
        order = [
            (ApiKey.API_VERSIONS, 0, client.send(ApiVersionsRequest(), 0)),
            (ApiKey.LIST_OFFSETS, 7, client.send(offsets(), 7)),
            (ApiKey.API_VERSIONS, 0, client.send(ApiVersionsRequest(), 0)),
        ]
        for key, version, correlation_id in order:
            assert client.receive(key, version)[0] == correlation_id


def test_metadata_that_fails_still_names_the_brokers(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.fail("metadata", "LEADER_NOT_AVAILABLE")
        answer = client.ask(MetadataRequest(topics=[MetadataRequestTopic(name="t")]), 9)
        assert (len(answer.brokers), answer.topics[0].error_code) == (1, 5)


def test_without_acks_nothing_is_answered(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        before = end(client)
        client.send(produce(acks=0), 8)
        assert end(client) == before + 1
        proxy.fail("produce", "NOT_LEADER_OR_FOLLOWER")
        client.send(produce(acks=0), 8)
        assert end(client) == before + 1


def test_a_slow_line(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.bytes_per_second = 1000
        began = time.monotonic()
        client.ask(ApiVersionsRequest(), 0)
        assert time.monotonic() - began > 0.2


def test_down(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        end(client)
        with proxy.down():
            assert client.is_closed()
            with connect(proxy) as other:
                assert other.is_closed()
    with connect(proxy) as client:
        end(client)


def test_a_broker_that_ends_ends_its_connections(tmp_path: Path) -> None:
    with BrokerThread(tmp_path) as broker, connect(broker.proxy) as client:
        client.ask(ApiVersionsRequest(), 0)
        broker.stop()
        assert client.is_closed()
        with connect(broker.proxy) as other:
            assert other.is_closed()


def test_a_closed_proxy_gives_its_port_back() -> None:
    with FaultProxy("127.0.0.1:1") as proxy:
        port = int(proxy.bootstrap.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_names_that_are_none() -> None:
    with FaultProxy("127.0.0.1:1") as proxy:
        with pytest.raises(ValueError, match="there is no API 'Prodce'"):
            proxy.fail("Prodce", "NOT_LEADER_OR_FOLLOWER")
        with pytest.raises(ValueError, match="there is no error code 'NOT_LEADER'"):
            proxy.fail("Produce", "NOT_LEADER")
        with pytest.raises(ValueError, match="less than once"):
            proxy.drop("Produce", times=0)
        with pytest.raises(TimeoutError, match="has happened 0 times"):
            proxy.drop("Produce").wait(timeout=0.01)
