"""Requests that take many turns of the event loop: whom they wait for, and when they end."""

from __future__ import annotations

import time

from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.batches import batch
from tests.harness.waiting import wait_until
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import produce
from tests.integration.running import RawClient, RunningBroker

MANY = 20_000


def _topics(broker: RunningBroker) -> int:
    return len(broker.broker.services.cluster.topics)


def _ask_for_many_topics(broker: RunningBroker) -> RawClient:
    client = broker.connect()
    topics = [MetadataRequestTopic(name=f"auto-{number}") for number in range(MANY)]
    client.send(MetadataRequest(topics=topics), 9)
    wait_until(lambda: _topics(broker) > 0, "the first topics are made", seconds=30, pause=0.01)
    return client


def test_no_topics_are_made_for_a_client_that_is_gone(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"num.partitions": "1"})
    _ask_for_many_topics(broker).socket.close()
    services = broker.broker.services
    wait_until(lambda: not services.metrics.connections_open, "the connection is lost", seconds=30)
    # What is under way is finished.
    broker.run(services.turns.wait_tasks(25))
    made = _topics(broker)
    time.sleep(0.2)
    assert _topics(broker) == made < MANY


def test_a_long_request_does_not_keep_the_broker_from_stopping(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"num.partitions": "1", "fastlog.shutdown.timeout.ms": "25000"})
    with _ask_for_many_topics(broker):
        began = time.monotonic()
        assert broker.stop()
        assert time.monotonic() - began < 20, "it waited for all topics to be made"


def test_a_fetch_of_many_partitions_is_woken_by_any_of_them(broker: RunningBroker) -> None:
    partitions = 300
    with broker.connect() as client, broker.connect() as producer:
        topic = CreatableTopic(name="wide", num_partitions=partitions, replication_factor=1)
        (made,) = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), 7).topics
        assert made.error_code == 0
        rows = [FetchPartition(partition=number, partition_max_bytes=1 << 20) for number in range(partitions)]
        wide = FetchTopic(topic="wide", partitions=rows)
        first = client.ask(FetchRequest(max_wait_ms=0, session_epoch=0, topics=[wide]), 11)
        assert len(first.responses[0].partitions) == partitions
        epoch = 1
        for number in (0, 150, 299):
            request = FetchRequest(
                max_wait_ms=20_000, min_bytes=1, session_id=first.session_id, session_epoch=epoch
            )
            client.send(request, 11)
            began = time.monotonic()
            producer.ask(produce("wide", batch(b"v"), partition=number), 9)
            _, answer = client.receive(request.API, 11)
            assert time.monotonic() - began < 10
            (row,) = answer.responses[0].partitions  # type: ignore[attr-defined]
            assert (row.partition_index, row.high_watermark) == (number, 1)
            # Read on, so that the next fetch waits again.
            rows[number].fetch_offset = 1
            after = FetchTopic(topic="wide", partitions=[rows[number]])
            epoch += 2
            request = FetchRequest(
                max_wait_ms=0, session_id=first.session_id, session_epoch=epoch - 1, topics=[after]
            )
            client.ask(request, 11)


def test_a_fetch_counts_the_bytes_of_many_partitions_together(broker: RunningBroker) -> None:
    partitions, records = 200, batch(b"v" * 100)
    with broker.connect() as client, broker.connect() as producer:
        topic = CreatableTopic(name="wide", num_partitions=partitions, replication_factor=1)
        client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), 7)
        rows = [FetchPartition(partition=number, partition_max_bytes=1 << 20) for number in range(partitions)]
        wanted = FetchRequest(
            max_wait_ms=20_000,
            min_bytes=10 * len(records),
            max_bytes=1 << 24,
            session_epoch=-1,
            topics=[FetchTopic(topic="wide", partitions=rows)],
        )
        # One has come before, the others while the fetch waits.
        producer.ask(produce("wide", records, partition=7), 9)
        client.send(wanted, 11)
        began = time.monotonic()
        for number in range(10, 19):
            producer.ask(produce("wide", records, partition=number), 9)
        _, answer = client.receive(wanted.API, 11)
        assert time.monotonic() - began < 10
        sizes = [len(row.records or b"") for row in answer.responses[0].partitions]  # type: ignore[attr-defined]
        assert sum(sizes) == 10 * len(records)


def test_a_produce_request_of_many_rows_is_answered_row_by_row(broker: RunningBroker) -> None:
    request = produce("known", batch(b"v"))
    with broker.connect() as client:
        topic = CreatableTopic(name="known", num_partitions=1, replication_factor=1)
        client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), 7)
        (data,) = request.topic_data
        row = data.partition_data[0]
        data.partition_data = [type(row)(index=number, records=row.records) for number in range(600)]
        rows = client.ask(request, 9).responses[0].partition_responses
        assert [row.index for row in rows] == list(range(600))
        assert [row.error_code for row in rows] == [0] + [3] * 599
        assert rows[0].base_offset == 0
