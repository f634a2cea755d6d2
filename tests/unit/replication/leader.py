"""A leader for followers under test: real logs, answered as Kafka does to replicas; errors on demand."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fastlog.errors import ErrorCode
from fastlog.native import Frame, FrameReader, Log
from fastlog.net.errors import ConnectionFailed
from fastlog.replication.partition import PartitionKey
from fastlog.wire import Request, Response, encode_request, encode_response
from fastlog.wire.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from fastlog.wire.messages.offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

SESSION: Final = 77


def frame_of(message: Response, version: int) -> Frame:
    """An answer as it comes from a connection."""
    data = encode_response(message, version, 1)
    reader = FrameReader(1 << 30)
    frames: list[Frame] = []
    at = 0
    while at < len(data):
        with memoryview(reader) as room:
            size = min(len(room), len(data) - at)
            room[:size] = data[at : at + size]
        frames += reader.advance(size)
        at += size
    (frame,) = frames
    return frame


@dataclass
class Led:
    """One partition that it leads."""

    log: Log
    leader_epoch: int
    topic_id: bytes = bytes([1] * 16)
    high_watermark: int = 0
    error: int = 0
    """Answered to the next fetch of it, once."""
    spoil: Callable[[bytes], bytes] | None = None
    """Changes the records on their way."""
    fetched: int = -1
    """Where the follower's log ended at its last fetch."""


@dataclass
class Leader:
    """`LeaderConnection` and `Connect` in one. A fetch with nothing to say is answered at once."""

    partitions: dict[PartitionKey, Led] = field(default_factory=dict)
    sessions: bool = True
    """Whether it grants them."""
    requests: list[tuple[FetchRequest, int]] = field(default_factory=list)
    on_fetched: Callable[[PartitionKey, int], object] = lambda key, offset: None
    before_answer: Callable[[], object] = lambda: None
    answers: list[Response] = field(default_factory=list)
    """Given instead of its own to the next fetches."""
    down: bool = False
    connections: int = 0
    max_bytes: int = 1 << 20
    pause: float | None = None
    """Seconds before each answer."""
    is_open: bool = False
    is_due: bool = False
    _session: dict[tuple[str | bytes, int], FetchPartition] = field(default_factory=dict)
    _epoch: int = 0

    async def connect(self, host: str, port: int, client_id: str, seconds: float) -> Leader:
        """`Connect`."""
        if self.down:
            raise ConnectionFailed("connection refused")
        self.connections += 1
        self.client_id = client_id
        self.is_open = True
        return self

    async def close(self) -> None:
        """Ends it."""
        self.is_open = False

    async def ask(self, message: Request, version: int, *, timeout: float) -> Frame:  # noqa: ASYNC109
        """A Fetch."""
        if self.down:
            self.is_open = False
            raise ConnectionFailed("reset")
        assert isinstance(message, FetchRequest)
        encode_request(message, version, 1, None)
        self.requests.append((message, version))
        if self.pause is not None:
            await asyncio.sleep(self.pause)
        answer = self.answers.pop(0) if self.answers else self._fetch(message, version)
        self.before_answer()
        return frame_of(answer, version)

    async def call(self, message: Request, version: int, *, timeout: float) -> Response:  # noqa: ASYNC109
        """A ListOffsets."""
        assert isinstance(message, ListOffsetsRequest)
        encode_request(message, version, 1, None)
        return ListOffsetsResponse(
            topics=[
                ListOffsetsTopicResponse(
                    name=topic.name,
                    partitions=[
                        self._offset(topic.name, row.partition_index, row.timestamp)
                        for row in topic.partitions
                    ],
                )
                for topic in message.topics
            ]
        )

    def _offset(self, topic: str, partition: int, timestamp: int) -> ListOffsetsPartitionResponse:
        led = self.partitions[topic, partition]
        offset = led.log.log_end_offset if timestamp == -1 else led.log.log_start_offset
        error, led.error = led.error, 0
        return ListOffsetsPartitionResponse(partition, error, timestamp=-1, offset=offset)

    def _fetch(self, request: FetchRequest, version: int) -> FetchResponse:
        by_id = version >= 13
        named = {
            (topic.topic_id if by_id else topic.topic, row.partition): row
            for topic in request.topics
            for row in topic.partitions
        }
        is_full = request.session_epoch == 0
        if is_full:
            self._session, self._epoch = {}, 1
        elif (request.session_id, request.session_epoch) != (SESSION, self._epoch):
            return FetchResponse(error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        else:
            self._epoch += 1
        self._session |= named
        for topic in request.forgotten_topics_data:
            for partition in topic.partitions:
                del self._session[topic.topic_id if by_id else topic.topic, partition]
        topics: dict[str | bytes, FetchableTopicResponse] = {}
        for (name, partition), row in self._session.items():
            data = self._partition(name, partition, row)
            if not (is_full or data.error_code or data.records or data.diverging_epoch.epoch >= 0):
                known = (data.high_watermark, data.log_start_offset)
                if self._told.get((name, partition)) == known:
                    continue
            self._told[name, partition] = (data.high_watermark, data.log_start_offset)
            if name not in topics:
                topics[name] = FetchableTopicResponse(
                    topic="" if isinstance(name, bytes) else name,
                    topic_id=name if isinstance(name, bytes) else bytes(16),
                )
            topics[name].partitions.append(data)
        return FetchResponse(session_id=SESSION if self.sessions else 0, responses=list(topics.values()))

    _told: dict[tuple[str | bytes, int], tuple[int, int]] = field(default_factory=dict)

    def _partition(self, name: str | bytes, partition: int, row: FetchPartition) -> PartitionData:
        found = [
            (key, led)
            for key, led in self.partitions.items()
            if key[1] == partition and name in (key[0], led.topic_id)
        ]
        if not found:
            return _error(partition, ErrorCode.UNKNOWN_TOPIC_ID)
        key, led = found[0]
        log = led.log
        if led.error:
            error, led.error = led.error, 0
            return _error(partition, error)
        if row.current_leader_epoch != led.leader_epoch:
            is_old = row.current_leader_epoch < led.leader_epoch
            return _error(
                partition, ErrorCode.FENCED_LEADER_EPOCH if is_old else ErrorCode.UNKNOWN_LEADER_EPOCH
            )
        if row.fetch_offset < log.log_start_offset:
            return _error(partition, ErrorCode.OFFSET_OUT_OF_RANGE)
        if row.last_fetched_epoch >= 0:
            epoch, end = log.end_offset_for_epoch(row.last_fetched_epoch)
            if epoch < 0:
                return _error(partition, ErrorCode.OFFSET_OUT_OF_RANGE)
            if epoch < row.last_fetched_epoch or end < row.fetch_offset:
                return PartitionData(
                    partition,
                    0,
                    led.high_watermark,
                    log_start_offset=log.log_start_offset,
                    diverging_epoch=EpochEndOffset(epoch, end),
                    records=b"",
                )
        if row.fetch_offset > log.log_end_offset:
            return _error(partition, ErrorCode.OFFSET_OUT_OF_RANGE)
        led.fetched = row.fetch_offset
        self.on_fetched(key, row.fetch_offset)
        records = bytes(log.read(row.fetch_offset, min(self.max_bytes, row.partition_max_bytes)))
        if records and led.spoil is not None:
            records = led.spoil(records)
        return PartitionData(
            partition, 0, led.high_watermark, log_start_offset=log.log_start_offset, records=records
        )


def _error(partition: int, code: int) -> PartitionData:
    return PartitionData(partition, int(code), -1, records=b"")


def bytes_of(log: Log) -> bytes:
    """All batches of a log."""
    start, end = log.log_start_offset, log.log_end_offset
    return b"" if start == end else bytes(log.read(start, log.size_bytes))


def ends_of(data: bytes) -> list[int]:
    """Where each batch ends."""
    ends, at = [], 0
    while at + 12 <= len(data):
        at += 12 + struct.unpack_from(">i", data, at + 8)[0]
        ends.append(at)
    return ends
