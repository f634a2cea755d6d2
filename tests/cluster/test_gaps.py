"""A record behind a refused one, when enough replicas are in sync again: its gap is no lost record.

librdkafka begins a new epoch after OUT_OF_ORDER_SEQUENCE_NUMBER for a request behind a refused one, and sends
once more what was written and not answered: Apache Kafka 3.9.1 has such a record twice. Nothing here needs a
JVM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.cluster.guards.stage import Stage
from tests.harness.batches import batch
from tests.integration.running import RawClient

pytestmark = pytest.mark.timeout(120)
_VERSION = 9
_TOPIC = "topic"


def test_a_gap_behind_too_few_in_sync(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        key = stage.topic(_TOPIC, (1, 2), min_in_sync=2)
        with stage.brokers[1].connect(timeout=60) as client, stage.brokers[1].connect(timeout=60) as other:
            assert _sent(client, 0) == ErrorCode.NONE
            stage.silence(2, key)
            # It is in the log, and too few have it: the producer does not know what became of it.
            _send(client, 1, wait_ms=300)
            stage.wait(lambda: stage.partition(1, key).end_offset == 2, "it is not written")
            assert _answer(client) == ErrorCode.REQUEST_TIMED_OUT
            stage.elect(key, 1, [1], told=[1])
            assert _sent(client, 1) == ErrorCode.NOT_ENOUGH_REPLICAS
            assert _sent(client, 2) == ErrorCode.NOT_ENOUGH_REPLICAS
            stage.elect(key, 1, (1, 2))
            assert _sent(client, 3) == ErrorCode.NOT_ENOUGH_REPLICAS, "it was under way at the refusal"
            assert _sent(other, 3) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "nothing was refused there"
            assert [_sent(client, number) for number in (1, 2, 3)] == [ErrorCode.NONE] * 3
            assert stage.partition(1, key).end_offset == 4


def _sent(client: RawClient, number: int) -> ErrorCode:
    _send(client, number)
    return _answer(client)


def _send(client: RawClient, number: int, *, wait_ms: int = 30_000) -> None:
    """The record of this sequence number."""
    data = PartitionProduceData(index=0, records=batch(b"%d" % number, producer=(7, 0, number)))
    topic = TopicProduceData(name=_TOPIC, partition_data=[data])
    client.send(ProduceRequest(acks=-1, timeout_ms=wait_ms, topic_data=[topic]), _VERSION)


def _answer(client: RawClient) -> ErrorCode:
    answer: Any = client.receive(ApiKey.PRODUCE, _VERSION)[1]
    return ErrorCode.of(answer.responses[0].partition_responses[0].error_code)
