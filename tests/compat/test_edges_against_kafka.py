"""Every API that both have, in every version, each field at the edges of its type: Kafka's answers and ours.

docs/protocol.md says in what they differ, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import OF_CLUSTERS
from fastlog.server.requests.registry import load_handlers
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.compat.edge_answers import Side, surprises
from tests.compat.test_groups_against_kafka import ready_to_coordinate
from tests.harness.batches import batch
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.peers.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]

SETTINGS = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
}
# A slow machine must not fence Kafka's broker: that gives partitions new leader epochs.
PATIENCE = {"broker.session.timeout.ms": "120000"}
# Formats 0 and 1 of records are not served, and the other protocol of groups is played in scenarios.
OLDEST = {ApiKey.PRODUCE: 3, ApiKey.FETCH: 4}
ELSEWHERE = (ApiKey.CONSUMER_GROUP_HEARTBEAT, ApiKey.CONSUMER_GROUP_DESCRIBE)
APIS = [ApiKey(key) for key in sorted(load_handlers()) if key not in {*ELSEWHERE, *OF_CLUSTERS}]
BY_NAME = [
    *(ApiKey.CREATE_TOPICS, ApiKey.DELETE_TOPICS, ApiKey.CREATE_PARTITIONS, ApiKey.DELETE_RECORDS),
    *(ApiKey.METADATA, ApiKey.DESCRIBE_CONFIGS, ApiKey.INCREMENTAL_ALTER_CONFIGS, ApiKey.OFFSET_COMMIT),
    *(ApiKey.LIST_OFFSETS, ApiKey.OFFSET_FOR_LEADER_EPOCH, ApiKey.DESCRIBE_PRODUCERS),
]


@dataclass
class Pair:
    """The two brokers, with the newest version that Kafka has of each API."""

    kafka: Side
    fastlog: Side
    newest: dict[int, int]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both with the same topics and records, and ready to coordinate groups."""
    directory = tmp_path_factory.mktemp("edges")
    with (
        ApacheKafka(directory / "kafka", settings={**SETTINGS, **PATIENCE}, heap="384m", quick=True) as kafka,
        BrokerProcess(directory / "fastlog", settings={**SETTINGS, "node.id": "1"}) as fastlog,
    ):
        for port in (kafka.port, fastlog.port):
            prepare(port)
        with Link(kafka.port) as link:
            answer: Any = link.call(ApiVersionsRequest("tests", "1"), 3)
        newest = {entry.api_key: entry.max_version for entry in answer.api_keys}
        both = Pair(Side(kafka.port), Side(fastlog.port), newest)
        yield both
        both.kafka.close()
        both.fastlog.close()
        assert "Traceback" not in fastlog.log_text, fastlog.log_text[-4000:]
        kafka.kill()


def prepare(port: int) -> None:
    """Makes the topics, fills two of them, and waits until producers, transactions and groups are served."""
    names = ("t", "written", "grown", "cut", "marked")
    with Link(port, timeout=60) as link:
        topics = CreateTopicsRequest([CreatableTopic(name, 1, 1) for name in names], 30_000)
        made: Any = link.call(topics, 5)
        assert {topic.error_code for topic in made.topics} == {0}
        link.call(FindCoordinatorRequest("t", 1), 1)
        # Producer ids 0 and 1 are nobody's; the transactional ids are in one partition each.
        for name in (None, None, "t", "u"):
            while link.call(InitProducerIdRequest(name, 1000), 0).error_code:  # type: ignore[attr-defined]
                pass
        for name in ("t", "cut"):
            for number in range(3):
                rows = [PartitionProduceData(0, batch(b"%d" % number, b"again"))]
                request = ProduceRequest(None, 1, 9000, [TopicProduceData(name, rows)])
                code = int(ErrorCode.LEADER_NOT_AVAILABLE)
                while code:
                    produced: Any = link.call(request, 7)
                    code = produced.responses[0].partition_responses[0].error_code
    ready_to_coordinate(port)


@pytest.mark.parametrize(
    ("key", "fresh"),
    [*((key, False) for key in APIS), *((key, True) for key in BY_NAME)],
    ids=lambda value: value.name if isinstance(value, ApiKey) else "fresh" if value else "there",
)
def test_same_answers(pair: Pair, key: ApiKey, fresh: bool) -> None:
    """`fresh`: of topics that are not there."""
    newest = min(pair.newest[key], API_VERSIONS[key][1])
    versions = range(OLDEST.get(key, 0), newest + 1)
    prefix = f"{key.name}{'-fresh' if fresh else ''}"
    both = (side.edges(key, versions, prefix, fresh) for side in (pair.kafka, pair.fastlog))
    found = [
        surprise
        for theirs, ours in zip(*both, strict=True)
        for surprise in surprises(key, ours, pair.kafka.ask(key, theirs), pair.fastlog.ask(key, ours))
    ]
    assert not found, "\n".join(found)
