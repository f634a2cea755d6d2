"""A producer and a reader that go where the test says, and what `tests.cluster.checker` is to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastlog.errors import ErrorCode
from fastlog.replication.partition import PartitionKey
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.cluster.guards.stage import Stage
from tests.cluster.history import Failed, LogHistory, ProducerHistory, Row
from tests.harness.batches import batch, records
from tests.integration.requests import fetch
from tests.integration.running import RawClient

_SURE: Final = (ErrorCode.NOT_ENOUGH_REPLICAS,)
"""Errors that say for certain that nothing was written."""
_PRODUCE, _FETCH = 9, 12
_PRODUCER, _READER = "producer", "reader"


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that has been sent, and the connection on which the answer comes."""

    value: int
    acks: int
    client: RawClient


class Course:
    """All that happens to the one partition of a script."""

    def __init__(self, stage: Stage, key: PartitionKey) -> None:
        self.stage = stage
        self.key = key
        self._history = LogHistory(producers={_PRODUCER: ProducerHistory()}, readers={_READER: [[]]})

    @property
    def _producer(self) -> ProducerHistory:
        return self._history.producers[_PRODUCER]

    def send(self, number: int, value: int, *, acks: int = -1, wait_ms: int = 10_000) -> Sent:
        """Sends a record to a broker; `answer` waits for what becomes of it."""
        data = PartitionProduceData(index=0, records=batch(b"%d" % value))
        topic = TopicProduceData(name=self.key[0], partition_data=[data])
        client = self.stage.brokers[number].connect(timeout=30)
        self._producer.sent.append((0, value))
        client.send(ProduceRequest(acks=acks, timeout_ms=wait_ms, topic_data=[topic]), _PRODUCE)
        return Sent(value, acks, client)

    def answer(self, sent: Sent) -> ErrorCode:
        """Waits for the answer."""
        with sent.client as client:
            answer: Any = client.receive(ProduceRequest.API, _PRODUCE)[1]
        row = answer.responses[0].partition_responses[0]
        code = ErrorCode.of(row.error_code)
        if code is ErrorCode.NONE and sent.acks == -1:
            self._producer.acked.append((0, row.base_offset, sent.value))
        elif code is ErrorCode.NONE:
            # One copy is no promise.
            self._producer.failed.append(Failed(0, sent.value, "acks=1", sure=False))
        else:
            self._producer.failed.append(Failed(0, sent.value, code.name, code in _SURE))
        return code

    def write(self, number: int, value: int, *, acks: int = -1, wait_ms: int = 10_000) -> ErrorCode:
        """Sends a record, and waits for the answer."""
        return self.answer(self.send(number, value, acks=acks, wait_ms=wait_ms))

    def read(self, number: int) -> None:
        """The reader reads on from where it is, at that broker, as far as it may."""
        rows = self._history.readers[_READER][-1]
        rows += self._rows(number, rows[-1][1] + 1 if rows else 0, is_reader=True)

    def finish(self, number: int) -> LogHistory:
        """All is over: reads everything from the broker that leads now."""
        self._history.final = self._rows(number, 0)
        return self._history

    def _rows(self, number: int, offset: int, *, is_reader: bool = False) -> list[Row]:
        found: list[Row] = []
        with self.stage.brokers[number].connect() as client:
            while True:
                answer = client.ask(fetch(self.key[0], offset), _FETCH)
                part = answer.responses[0].partitions[0]
                code = ErrorCode.of(part.error_code)
                if code is ErrorCode.OFFSET_OUT_OF_RANGE and is_reader:
                    self._history.lost.append((_READER, code.name))
                    return found
                assert code is ErrorCode.NONE, f"{self.key} cannot be read: {code.name}"
                some = [(0, at, int(value or b"")) for at, value in records(part.records) if at >= offset]
                if not some:
                    return found
                found += some
                offset = some[-1][1] + 1
