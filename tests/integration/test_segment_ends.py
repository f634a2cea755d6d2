"""Fetches that want more bytes than their segment still holds: they are answered at once, as in Apache Kafka.

Every wait here would be longer than the connection's timeout.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from fastlog.wire.messages.topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tests.harness.batches import batch
from tests.integration.requests import fetch, produce
from tests.integration.running import RawClient, RunningBroker

BATCH = batch(b"v" * 500)
PER_SEGMENT = 4
MUCH = 1 << 20
LONG_MS = 120_000


def make_topics(client: RawClient, *names: str) -> None:
    """Topics whose segments hold four of the batches."""
    size = CreatableTopicConfig("segment.bytes", str(PER_SEGMENT * len(BATCH)))
    topics = [CreatableTopic(name, 1, 1, configs=[size]) for name in names]
    answer = client.ask(CreateTopicsRequest(topics=topics, timeout_ms=10_000), 5)
    assert {topic.error_code for topic in answer.topics} == {0}


def wait_long(topic: str, offset: int) -> Any:
    """A fetch that wants more than there is."""
    return fetch(topic, offset, min_bytes=MUCH, max_bytes=MUCH, max_wait_ms=LONG_MS, session_epoch=-1)


def batches_in(answer: Any) -> list[int]:
    """Batches per partition."""
    rows = [row for topic in answer.responses for row in topic.partitions]
    assert {row.error_code for row in rows} == {0}
    return [len(row.records or b"") // len(BATCH) for row in rows]


@pytest.mark.parametrize("isolation_level", [0, 1])
def test_a_backlog_is_read_segment_by_segment_without_a_wait(client: RawClient, isolation_level: int) -> None:
    make_topics(client, "t")
    total = 5 * PER_SEGMENT + 2
    for _ in range(total):
        client.ask(produce("t", BATCH), 9)
    offset, found = 0, []
    while offset < 5 * PER_SEGMENT:
        request = wait_long("t", offset)
        request.isolation_level = isolation_level
        found += batches_in(client.ask(request, 11))
        offset += found[-1]
    assert found == [PER_SEGMENT] * 5
    # From inside of a segment too.
    assert batches_in(client.ask(wait_long("t", 3), 11)) == [1]


def test_one_partition_behind_is_enough(client: RawClient) -> None:
    make_topics(client, "old", "new")
    for _ in range(PER_SEGMENT + 1):
        client.ask(produce("old", BATCH), 9)
    client.ask(produce("new", BATCH), 9)
    request = wait_long("new", 0)
    request.topics += wait_long("old", 2).topics
    assert batches_in(client.ask(request, 11)) == [1, 2]


def test_a_fetch_that_waits_ends_when_its_segment_does(broker: RunningBroker) -> None:
    with broker.connect() as client, broker.connect() as producer:
        make_topics(client, "t")
        for _ in range(PER_SEGMENT - 1):
            producer.ask(produce("t", BATCH), 9)
        client.send(wait_long("t", 1), 11)
        # The first append fills the segment, the second one begins another.
        for _ in range(2):
            producer.ask(produce("t", BATCH), 9)
        request = wait_long("t", 1)
        _, answer = client.receive(request.API, 11)
        assert batches_in(answer) == [PER_SEGMENT - 1]


def test_in_the_newest_segment_it_waits_for_all_that_it_wants(broker: RunningBroker) -> None:
    with broker.connect() as client, broker.connect() as producer:
        make_topics(client, "t")
        producer.ask(produce("t", BATCH), 9)
        request = wait_long("t", 0)
        request.min_bytes = 2 * len(BATCH)
        client.send(request, 11)
        producer.ask(produce("t", BATCH), 9)
        _, answer = client.receive(request.API, 11)
        assert batches_in(answer) == [2]
        (first,) = struct.unpack_from(">q", answer.responses[0].partitions[0].records)  # type: ignore[attr-defined]
        assert first == 0
