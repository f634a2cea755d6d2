"""What Fluentd's Kafka plugins do on the wire through ruby-kafka 1.5: its requests, in its versions.

fluent-plugin-kafka has out_kafka2, which sends a chunk again until it is acknowledged, and in_kafka_group,
whose members commit what they have handed on. The real ones need Ruby and its packages.
"""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from fastlog.errors import ErrorCode
from fastlog.native import build_batch, read_batches
from fastlog.wire import Request
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
)
from fastlog.wire.messages.groups import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    LeaveGroupRequest,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.compat.ruby_brokers import PAUSE, Brokers, Client

CHUNK: Final = 250
"""Events of one request."""
_BEAT: Final = 1.0
"""Seconds between heartbeats."""
_SOON: Final = {
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.LEADER_NOT_AVAILABLE,
}
_ELSEWHERE: Final = {
    ErrorCode.NOT_COORDINATOR,
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
}
_MOVED: Final = {
    ErrorCode.ILLEGAL_GENERATION,
    ErrorCode.REBALANCE_IN_PROGRESS,
    ErrorCode.UNKNOWN_MEMBER_ID,
}


class Moved(OSError):
    """Another broker leads the partition, or coordinates the group, or too few replicas are there."""


@dataclass
class Output:
    """out_kafka2 with `required_acks -1`; `idempotent` is ruby-kafka's option of this name."""

    ports: Sequence[int]
    topic: str
    codec: str = "none"
    idempotent: bool = False
    retried: int = 0
    _producer: tuple[int, int] = (-1, -1)
    _sequences: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._brokers = Brokers(self.ports)

    def send(self, values: Sequence[bytes], after_half: Callable[[], None] = lambda: None) -> None:
        """Returns when all is acknowledged. `after_half` is called in the middle."""
        for first in range(0, len(values), CHUNK):
            chunk = values[first : first + CHUNK]
            count = len(self._leaders())
            parts = {at: chunk[at::count] for at in range(count) if chunk[at::count]}
            while parts:
                self._deliver(parts)
            if first <= len(values) // 2 < first + CHUNK:
                after_half()
        self._brokers.close()

    def _leaders(self) -> dict[int, int]:
        while True:
            try:
                return self._brokers.leaders(self.topic)
            except OSError:
                self._try_again()

    def _try_again(self) -> None:
        self._brokers.close()
        self.retried += 1
        time.sleep(PAUSE)

    def _deliver(self, parts: dict[int, Sequence[bytes]]) -> None:
        """Sends each leader its partitions, and takes away what was acknowledged. The rest stays buffered."""
        try:
            if self.idempotent and self._producer[0] < 0:
                made = self._brokers.ask_any(InitProducerIdRequest(transaction_timeout_ms=60_000), 0)
                assert made.error_code == 0
                self._producer = made.producer_id, made.producer_epoch
            leaders = self._leaders()
            for port in {leaders[at] for at in parts}:
                self._deliver_to(port, {at: part for at, part in parts.items() if leaders[at] == port}, parts)
        except OSError:
            self._try_again()

    def _deliver_to(
        self, port: int, chosen: Mapping[int, Sequence[bytes]], parts: dict[int, Sequence[bytes]]
    ) -> None:
        rows = [PartitionProduceData(at, self._batch(at, values)) for at, values in chosen.items()]
        request = ProduceRequest(acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(self.topic, rows)])
        # zstd came with version 7.
        answer = self._brokers.at(port).ask(request, 7 if self.codec == "zstd" else 3)
        errors = set()
        for row in answer.responses[0].partition_responses:
            error = ErrorCode.of(row.error_code)
            if error in (ErrorCode.NONE, ErrorCode.DUPLICATE_SEQUENCE_NUMBER):
                self._sequences[row.index] = self._sequences.get(row.index, 0) + len(parts.pop(row.index))
            else:
                errors.add(error)
        assert errors <= _ELSEWHERE, errors
        if errors:
            raise Moved(errors)

    def _batch(self, partition: int, values: Iterable[bytes]) -> bytes:
        now = int(time.time() * 1000)
        producer_id, epoch = self._producer
        return build_batch(
            [(None, value, [("source", b"fluentd")], now) for value in values],
            codec=self.codec,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=self._sequences.get(partition, 0) if producer_id >= 0 else -1,
        )


class Member(threading.Thread):
    """in_kafka_group: one member, which keeps the values that it has been given."""

    def __init__(self, ports: Sequence[int], group: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._brokers = Brokers(ports)
        self._group, self._topic = group, topic
        self._leaders: dict[int, int] = {}
        self._ending = threading.Event()
        self._id = ""
        self._generation = -1
        self._mine: dict[int, int] = {}
        self.found: list[bytes] = []
        """All that was handed on, committed or not."""
        self.problem: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Has it leave the group; raises what went wrong in it, unless something else did before."""
        self._ending.set()
        self.join(60)
        assert not self.is_alive(), "the member does not end"
        if self.problem is not None and error is None:
            raise self.problem

    def run(self) -> None:
        """Until it is stopped, over lost connections."""
        try:
            while not self._ending.is_set():
                try:
                    self._session()
                except OSError:
                    time.sleep(PAUSE)
                finally:
                    self._brokers.close()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is stopped
            self.problem = error

    def _session(self) -> None:
        client = self._brokers.coordinator(self._group)
        self._leaders = self._brokers.leaders(self._topic)
        while not self._ending.is_set():
            if self._joined(client):
                self._consume(client)
        client.ask(LeaveGroupRequest(self._group, self._id), 0)

    def _until_ready(self, client: Client, request: Request, version: int) -> Any:
        while True:
            answer = client.ask(request, version)
            _check_place(answer.error_code)
            if ErrorCode.of(answer.error_code) not in _SOON:
                return answer
            time.sleep(PAUSE)

    def _joined(self, client: Client) -> bool:
        """Joins, and shares out the partitions if this is the leader. False when it is to join again."""
        metadata = struct.pack(">hih", 0, 1, len(self._topic)) + self._topic.encode() + struct.pack(">i", -1)
        join = JoinGroupRequest(
            group_id=self._group,
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000,
            member_id=self._id,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol("roundrobin", metadata)],
        )
        joined = self._until_ready(client, join, 1)
        if self._moved(joined.error_code):
            return False
        self._id, self._generation = joined.member_id, joined.generation_id
        plan = []
        if joined.leader == self._id:
            members = itertools.cycle(sorted(member.member_id for member in joined.members))
            shares: dict[str, list[int]] = {member.member_id: [] for member in joined.members}
            for partition, member in zip(sorted(self._leaders), members, strict=False):
                shares[member].append(partition)
            plan = [SyncGroupRequestAssignment(name, self._packed(share)) for name, share in shares.items()]
        sync = SyncGroupRequest(self._group, self._generation, self._id, assignments=plan)
        synced = self._until_ready(client, sync, 0)
        if self._moved(synced.error_code):
            return False
        self._mine = self._positions(client, self._unpacked(bytes(synced.assignment)))
        return True

    def _packed(self, partitions: Sequence[int]) -> bytes:
        topic = struct.pack(">hih", 0, 1, len(self._topic)) + self._topic.encode()
        return topic + struct.pack(f">i{len(partitions)}ii", len(partitions), *partitions, -1)

    def _unpacked(self, assignment: bytes) -> Sequence[int]:
        at = 8 + len(self._topic)
        (count,) = struct.unpack_from(">i", assignment, at)
        return struct.unpack_from(f">{count}i", assignment, at + 4)

    def _moved(self, code: int) -> bool:
        """Whether the group has gone on without this member; any other error is none that may be."""
        error = ErrorCode.of(code)
        assert error is ErrorCode.NONE or error in _MOVED, error
        if error is ErrorCode.UNKNOWN_MEMBER_ID:
            self._id = ""
        return error is not ErrorCode.NONE

    def _positions(self, client: Client, partitions: Sequence[int]) -> dict[int, int]:
        if not partitions:
            return {}
        wanted = OffsetFetchRequest(self._group, [OffsetFetchRequestTopic(self._topic, list(partitions))])
        rows = client.ask(wanted, 1).topics[0].partitions
        assert not any(row.error_code for row in rows), rows
        found = {row.partition_index: row.committed_offset for row in rows}
        for partition in [partition for partition, offset in found.items() if offset < 0]:
            earliest = [ListOffsetsPartition(partition_index=partition, timestamp=-2)]
            request = ListOffsetsRequest(-1, topics=[ListOffsetsTopic(self._topic, earliest)])
            (row,) = self._brokers.at(self._leaders[partition]).ask(request, 1).topics[0].partitions
            _check_place(row.error_code)
            assert row.error_code == 0, row
            found[partition] = row.offset
        return found

    def _consume(self, client: Client) -> None:
        """Until the group goes on without this member, or it is stopped."""
        beat = time.monotonic()
        while not self._ending.is_set():
            if self._fetched() and self._commit_moved(client):
                return
            if time.monotonic() - beat > _BEAT:
                beat = time.monotonic()
                answer = client.ask(HeartbeatRequest(self._group, self._generation, self._id), 0)
                _check_place(answer.error_code)
                if ErrorCode.of(answer.error_code) in _SOON:
                    continue
                if self._moved(answer.error_code):
                    return

    def _fetched(self) -> bool:
        if not self._mine:
            time.sleep(PAUSE)
        before = len(self.found)
        for port in {self._leaders[partition] for partition in self._mine}:
            self._fetch_from(port)
        return len(self.found) > before

    def _fetch_from(self, port: int) -> None:
        rows = [
            FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=1 << 20)
            for partition, offset in self._mine.items()
            if self._leaders[partition] == port
        ]
        request = FetchRequest(
            max_wait_ms=200,
            min_bytes=1,
            max_bytes=10 << 20,
            isolation_level=1,
            topics=[FetchTopic(topic=self._topic, partitions=rows)],
        )
        for row in self._brokers.at(port).ask(request, 4).responses[0].partitions:
            _check_place(row.error_code)
            assert row.error_code == 0, row.error_code
            for offset, _, _, value, _ in read_batches(bytes(row.records or b"")):
                if offset >= self._mine[row.partition_index]:
                    self._mine[row.partition_index] = offset + 1
                    self.found.append(value or b"")

    def _commit_moved(self, client: Client) -> bool:
        rows = [OffsetCommitRequestPartition(partition, offset) for partition, offset in self._mine.items()]
        request = OffsetCommitRequest(
            group_id=self._group,
            generation_id_or_member_epoch=self._generation,
            member_id=self._id,
            topics=[OffsetCommitRequestTopic(self._topic, rows)],
        )
        codes = {row.error_code for row in client.ask(request, 2).topics[0].partitions}
        for code in codes:
            _check_place(code)
        return any(self._moved(code) for code in codes if ErrorCode.of(code) not in _SOON)


def _check_place(code: int) -> None:
    """Raises `Moved` when another broker is to be asked."""
    if ErrorCode.of(code) in _ELSEWHERE:
        raise Moved(ErrorCode.of(code))
