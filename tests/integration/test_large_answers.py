"""Answers larger than their share of memory: one after the other, to clients that read; small ones pass."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator

import pytest

from fastlog.server.memory.answer_memory import AnswerMemory
from fastlog.wire import encode_request
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RawClient, RunningBroker

MIB = 1 << 20
CEILING = 64 * MIB
SHARE = CEILING // 16
MOST = 3 * CEILING // 16
SLACK = 2 * MIB
"""Bytes that are made between two looks."""

TOPIC = 2
TOPICS = 240
FAT_KEY = "follower.replication.throttled.replicas"
FAT_VALUE = ",".join(f"{number}:1" for number in range(4500))
"""Told twice, as the value and as where it comes from."""


class Peak:
    """The most bytes that all answers together had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        grow = AnswerMemory.grow

        def noted(memory: AnswerMemory, maker: object, size: int) -> bool:
            may_go_on = grow(memory, maker, size)
            self.bytes = max(self.bytes, memory.in_the_making + memory.untaken)
            return may_go_on

        monkeypatch.setattr(AnswerMemory, "grow", noted)


@pytest.fixture
def broker(start_broker: BrokerFactory) -> Iterator[RunningBroker]:
    """It has topics with long settings, and little memory."""
    broker = start_broker(**{"fastlog.memory.max.bytes": str(CEILING)})
    configs = [CreatableTopicConfig(FAT_KEY, FAT_VALUE)]
    with broker.connect(timeout=60) as client:
        topics = [CreatableTopic(f"t{number}", 1, 1, configs=configs) for number in range(TOPICS)]
        for first in range(0, TOPICS, 60):
            made = client.ask(CreateTopicsRequest(topics=topics[first : first + 60]), 2)
            assert {topic.error_code for topic in made.topics} == {0}
    yield broker


def wanted(topics: int = TOPICS // 2) -> bytes:
    """A request for so many of them. What is told of all is more than one answer may have."""
    resources = [DescribeConfigsResource(TOPIC, f"t{number}") for number in range(topics)]
    return encode_request(DescribeConfigsRequest(resources=resources, include_synonyms=True), 3, 1)


def read_all(broker: RunningBroker, sizes: list[int]) -> None:
    """One client's answer."""
    with broker.connect(timeout=60) as client:
        client.socket.sendall(wanted())
        sizes.append(len(client.receive_frame()))


def stall(broker: RunningBroker) -> RawClient:
    """A client that asks and does not read."""
    client = broker.connect(timeout=60)
    client.socket.sendall(wanted())
    return client


def test_every_client_that_reads_gets_its_answer(
    broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = Peak(monkeypatch)
    sizes: list[int] = []
    readers = [threading.Thread(target=read_all, args=(broker, sizes)) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(timeout=60)
    assert len(sizes) == len(readers)
    assert min(sizes) > SHARE, "each is larger than all together may be"
    assert max(sizes) < peak.bytes <= MOST + SHARE + SLACK
    assert peak.bytes < 3 * max(sizes)


def test_an_answer_that_is_too_large_ends_its_connection_alone(broker: RunningBroker) -> None:
    with broker.connect() as other, broker.connect(timeout=60) as client:
        client.socket.sendall(wanted(TOPICS))
        assert client.is_closed()
        other.ask(ApiVersionsRequest(), 0)
    assert broker.broker.services.metrics.closed["failed request"] == 1


def test_those_who_take_nothing_are_cut_when_somebody_waits(broker: RunningBroker) -> None:
    stalled = [stall(broker) for _ in range(3)]
    sizes: list[int] = []
    time.sleep(0.2)
    read_all(broker, sizes)
    assert sizes[0] > SHARE
    assert broker.broker.services.metrics.closed["slow reader"] >= 1
    for client in stalled:
        client.socket.close()


def test_a_slow_reader_gets_all_of_a_large_answer_when_nobody_waits(broker: RunningBroker) -> None:
    with stall(broker) as client, broker.connect() as other:
        time.sleep(3)
        other.ask(ApiVersionsRequest(), 0)
        (size,) = struct.unpack(">i", client.receive_start(4))
        assert len(client.receive_start(size)) == size > SHARE
