"""What an answer is made of is weighed before it is encoded: a few bytes may ask for very much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.server.handlers import list_offsets
from fastlog.server.network.exchange import Exchange
from fastlog.server.requests.dispatch import Dispatcher
from fastlog.wire import Request, Response, encode_response
from fastlog.wire.messages.cluster import DescribeLogDirsRequest
from fastlog.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.batches import batch
from tests.harness.waiting import wait_until
from tests.integration.requests import list_offset, produce
from tests.integration.running import RawClient, RunningBroker

PARTITIONS = 300
PRODUCERS = 600
TOPIC = 2


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One topic of many partitions, all of them one member's, and many producers in one of them."""
    running = RunningBroker(
        tmp_path_factory.mktemp("weights"),
        {"offsets.topic.num.partitions": "1", "group.coordinator.rebalance.protocols": "classic,consumer"},
    )
    running.start()
    with running.connect(timeout=60) as client:
        client.ask(CreateTopicsRequest(topics=[CreatableTopic("t", PARTITIONS, 1)], timeout_ms=60_000), 2)
        for producer_id in range(PRODUCERS):
            client.ask(produce("t", batch(b"v", producer=(producer_id, 0, 0)), acks=1), 7)
        client.ask(FindCoordinatorRequest(key="g"), 2)
        wait_until(lambda: has_all(client), "the member gets its partitions", seconds=30)
    yield running
    running.close()


def has_all(client: RawClient) -> bool:
    """Whether the only member of the group has all partitions."""
    beat = ConsumerGroupHeartbeatRequest(
        group_id="g",
        member_id="m",
        member_epoch=0,
        rebalance_timeout_ms=60_000,
        subscribed_topic_names=["t"],
        topic_partitions=[],
    )
    given = client.ask(beat, 1).assignment
    return given is not None and sum(len(topic.partitions) for topic in given.topic_partitions) == PARTITIONS


@pytest.mark.parametrize(
    ("request_", "version"),
    [
        (CreateTopicsRequest([CreatableTopic(f"{n}", 1, 1) for n in range(20)], validate_only=True), 7),
        (DescribeLogDirsRequest(topics=None), 2),
        (DescribeConfigsRequest([DescribeConfigsResource(TOPIC, "t")], include_synonyms=True), 4),
        (DescribeProducersRequest([TopicRequest("t", [0])]), 0),
        (ConsumerGroupDescribeRequest(["g"]), 1),
        (list_offset("t", -1, max_num_offsets=1000), 0),
    ],
    ids=lambda value: value.API.name if isinstance(value, Request) else "",
)
def test_an_answer_is_weighed_before_it_is_encoded(
    broker: RunningBroker, monkeypatch: pytest.MonkeyPatch, request_: Request, version: int
) -> None:
    weights: list[tuple[int, int]] = []
    encode = Dispatcher._encode_in_steps

    def noted(dispatcher: Dispatcher, exchange: Exchange, pace: Any, response: Response) -> Any:
        made = exchange.connection.host.answers.in_the_making
        weights.append((made, len(encode_response(response, exchange.api_version, 1))))
        return encode(dispatcher, exchange, pace, response)

    monkeypatch.setattr(Dispatcher, "_encode_in_steps", noted)
    monkeypatch.setattr(list_offsets, "_segment_offsets", lambda *_: list(range(10**6, 10**6 + 1000)))
    with broker.connect() as client:
        client.ask(request_, version)
    ((weight, size),) = weights
    assert size > 1000
    assert weight > size / 2, (weight, size)
