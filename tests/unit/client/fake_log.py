"""A fake broker with a log per partition that checks producers as Kafka does, and answers fetches."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from fastlog.errors import ErrorCode
from fastlog.native import read_batches
from fastlog.wire import Request
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from fastlog.wire.messages.offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from fastlog.wire.messages.produce import (
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from tests.unit.net.fake_broker import Answer, FakeBroker

TOPIC_ID = b"topic-id-of-16-b"


@dataclass
class FakeLog:
    """One partition. Batches are kept as (base offset, bytes with that offset)."""

    batches: list[tuple[int, bytes]] = field(default_factory=list)
    end: int = 0
    start: int = 0
    producers: dict[int, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)

    def append(self, data: bytes) -> tuple[int, int]:
        """(error code, base offset). Checks the producer's sequence; a known batch is not written again."""
        producer, epoch, sequence, count = struct.unpack_from(">qhii", data, 43)
        last = (sequence + count - 1) & 0x7FFFFFFF
        if producer >= 0:
            known = self.producers.setdefault(producer, [])
            for first, end, of_epoch, offset in known:
                if (first, end, of_epoch) == (sequence, last, epoch):
                    return 0, offset
            if known and sequence != (known[-1][1] + 1) & 0x7FFFFFFF:
                return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1
            known.append((sequence, last, epoch, self.end))
            del known[:-5]
        base = self.end
        self.batches.append((base, struct.pack(">q", base) + data[8:]))
        self.end += count
        return 0, base

    def values(self) -> list[bytes | None]:
        """All values in the log."""
        return [record[3] for _, data in self.batches for record in read_batches(data)]

    def read(self, offset: int) -> bytes:
        """Everything from the batch with `offset` on."""
        return b"".join(
            data for base, data in self.batches if base + struct.unpack_from(">i", data, 57)[0] > offset
        )


class FakeLogBroker(FakeBroker):
    """Topic "t" with so many partitions. `before` may answer a request instead of the logs."""

    def __init__(self, partitions: int = 1, *, before: Callable[[Request], Answer] | None = None) -> None:
        super().__init__(self._serve_request)
        self.logs: defaultdict[int, FakeLog] = defaultdict(FakeLog)
        self.partitions = partitions
        self.before = before
        self.producer_ids = 1000

    def _serve_request(self, header: RequestHeader, request: Request) -> Answer:
        answer = None if self.before is None else self.before(request)
        if answer is not None:
            return answer
        if isinstance(request, MetadataRequest):
            return self.describe()
        if isinstance(request, InitProducerIdRequest):
            self.producer_ids += 1
            return InitProducerIdResponse(producer_id=self.producer_ids, producer_epoch=0)
        if isinstance(request, ProduceRequest):
            return self.produce(request)
        if isinstance(request, FetchRequest):
            return self.fetch(request)
        if isinstance(request, ListOffsetsRequest):
            return self.list_offsets(request)
        raise AssertionError(f"unexpected {type(request).__name__}")

    def describe(self) -> MetadataResponse:
        found = self.metadata()
        rows = [MetadataResponsePartition(partition_index=i, leader_id=1) for i in range(self.partitions)]
        found.topics = [MetadataResponseTopic(name="t", topic_id=TOPIC_ID, partitions=rows)]
        return found

    def produce(self, request: ProduceRequest) -> ProduceResponse | None:
        rows = []
        for row in request.topic_data[0].partition_data:
            code, offset = self.logs[row.index].append(bytes(row.records or b""))
            rows.append(PartitionProduceResponse(index=row.index, error_code=code, base_offset=offset))
        return ProduceResponse(responses=[TopicProduceResponse("t", rows)]) if request.acks else None

    def fetch(self, request: FetchRequest) -> FetchResponse:
        rows = []
        for row in request.topics[0].partitions:
            log = self.logs[row.partition]
            out = not log.start <= row.fetch_offset <= log.end
            rows.append(
                PartitionData(
                    partition_index=row.partition,
                    error_code=ErrorCode.OFFSET_OUT_OF_RANGE if out else 0,
                    high_watermark=log.end,
                    records=b"" if out else log.read(row.fetch_offset),
                )
            )
        return FetchResponse(responses=[FetchableTopicResponse("t", TOPIC_ID, rows)])

    def list_offsets(self, request: ListOffsetsRequest) -> ListOffsetsResponse:
        rows = []
        for row in request.topics[0].partitions:
            log = self.logs[row.partition_index]
            offset = {-1: log.end, -2: log.start}.get(row.timestamp, -1)
            rows.append(ListOffsetsPartitionResponse(row.partition_index, 0, [], -1, offset, 0))
        return ListOffsetsResponse(topics=[ListOffsetsTopicResponse("t", rows)])
