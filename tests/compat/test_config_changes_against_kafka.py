"""Random changes of settings at Apache Kafka and at fastlog: the same codes, then the same in force."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import Request
from fastlog.wire.messages import alter_configs as legacy
from fastlog.wire.messages import incremental_alter_configs as incremental
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]

TOPIC, BROKER = 2, 4
RESOURCES: Final = ((TOPIC, "t"), (BROKER, "1"), (BROKER, ""))
OF_TOPICS: Final = (
    *("retention.ms", "retention.bytes", "cleanup.policy", "compression.type", "segment.bytes", "segment.ms"),
    *("min.compaction.lag.ms", "max.compaction.lag.ms", "max.message.bytes", "message.timestamp.type"),
    *("min.insync.replicas", "flush.ms", "index.interval.bytes", "local.retention.ms", "preallocate"),
    *("message.timestamp.difference.max.ms", "message.timestamp.before.max.ms", "compression.gzip.level"),
    *("leader.replication.throttled.replicas", "unclean.leader.election.enable"),
)
OF_BROKERS: Final = (
    *("log.retention.ms", "log.retention.minutes", "log.retention.bytes", "log.cleanup.policy"),
    # Together with the largest one it is refused when they contradict each other: docs/protocol.md.
    *("log.cleaner.min.compaction.lag.ms", "log.segment.bytes", "log.roll.ms"),
    *("message.max.bytes", "log.message.timestamp.type", "min.insync.replicas"),
    *("log.flush.interval.ms", "num.io.threads", "max.connections.per.ip.overrides", "compression.type"),
    *("log.cleaner.threads", "follower.replication.throttled.rate", "unclean.leader.election.enable"),
    *("log.message.timestamp.difference.max.ms", "log.message.timestamp.after.max.ms"),
)
VALUES: Final = (
    *("1", "0", "-1", "5", "100", "10", "14", "1000000", "9223372036854775807", "2147483648"),
    *("compact", "delete", "delete,compact", "compact,delete", "gzip", "CreateTime", "LogAppendTime"),
    *("true", "false", "x", "", "0:1", "127.0.0.1:5"),
)
OPERATIONS: Final = (0, 0, 0, 1, 2, 3)
"""SET, DELETE, APPEND, SUBTRACT."""


@pytest.fixture
def links(tmp_path: Any) -> Iterator[tuple[Link, Link]]:
    """(to Kafka, to fastlog), both with the topic `t`."""
    with (
        ApacheKafka(tmp_path / "kafka", heap="384m", quick=True) as kafka,
        BrokerProcess(tmp_path / "fastlog", settings={"node.id": "1"}) as fastlog,
        Link(kafka.port, timeout=60) as to_kafka,
        Link(fastlog.port, timeout=60) as to_fastlog,
    ):
        for link in (to_kafka, to_fastlog):
            link.call(CreateTopicsRequest([CreatableTopic("t", 1, 1)], 30_000), 5)
        yield to_kafka, to_fastlog
        kafka.kill()


def change(chance: random.Random) -> tuple[Request, int]:
    """(request for one resource, its version)."""
    kind, name = chance.choice((RESOURCES[0], *RESOURCES))
    keys = chance.sample(OF_TOPICS if kind == TOPIC else OF_BROKERS, chance.choice((1, 1, 1, 2, 3)))
    if chance.random() < 0.1:
        all_of_it = [legacy.AlterableConfig(key, chance.choice(VALUES)) for key in keys]
        return legacy.AlterConfigsRequest([legacy.AlterConfigsResource(kind, name, all_of_it)]), 2
    some = [
        incremental.AlterableConfig(key, chance.choice(OPERATIONS), chance.choice(VALUES)) for key in keys
    ]
    resource = incremental.AlterConfigsResource(kind, name, some)
    return incremental.IncrementalAlterConfigsRequest([resource]), 1


def in_force(link: Link, kind: int, name: str) -> dict[str, Any]:
    """Value, source and synonyms of each key that the test changes."""
    keys = list(OF_TOPICS if kind == TOPIC else OF_BROKERS)
    request = DescribeConfigsRequest([DescribeConfigsResource(kind, name, keys)], include_synonyms=True)
    (result,) = link.call(request, 4).results  # type: ignore[attr-defined]
    return {
        entry.name: (
            entry.value,
            entry.config_source,
            [(synonym.name, synonym.value, synonym.source) for synonym in entry.synonyms],
        )
        for entry in result.configs
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_is_in_force(links: tuple[Link, Link], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(150):
        request, version = change(chance)
        kafka, fastlog = (
            ErrorCode.of(link.call(request, version).responses[0].error_code)  # type: ignore[attr-defined]
            for link in links
        )
        if kafka is ErrorCode.UNKNOWN_SERVER_ERROR:
            assert fastlog is not ErrorCode.NONE, request
        else:
            assert fastlog is kafka, request
        for resource in RESOURCES:
            wait_until_same(links, resource, request)


def wait_until_same(links: tuple[Link, Link], resource: tuple[int, str], request: Request) -> None:
    """Kafka answers before its own view has the change."""
    different: dict[str, Any] = {}

    def same() -> bool:
        kafka, fastlog = (in_force(link, *resource) for link in links)
        different.clear()
        different.update(
            (key, (value, fastlog.get(key))) for key, value in kafka.items() if value != fastlog.get(key)
        )
        return not different and len(kafka) == len(fastlog)

    wait_until(same, lambda: f"{request}: {different}", seconds=20, pause=0.02)
