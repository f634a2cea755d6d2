"""Transactional producers as raw requests: one thread, a connection for each, nothing encoded twice.

A producer runs transaction after transaction: partitions join, a record goes to each of them, offsets of a
group are committed if the load says so, and the transaction is committed. The next request is sent when the
one before is answered, as clients do. CONCURRENT_TRANSACTIONS has a request come again after `AGAIN_SECONDS`;
clients of librdkafka and Java wait for 20 ms.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastlog.errors import ErrorCode
from fastlog.native import crc32c
from fastlog.wire import Request, decode_response, encode_request
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    EndTxnRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

AGAIN_SECONDS: Final = 0.001
_MORE_SECONDS: Final = 20.0
"""For so long a load goes on in which no transaction was done in time."""
RECORD_BYTES: Final = 100
TOPIC: Final = "bench"
_AGAIN: Final = frozenset(
    {
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_ENOUGH_REPLICAS,
    }
)
_LENGTH: Final = struct.Struct(">i")
_IDENTITY: Final = struct.Struct(">qh")
_ERROR: Final = struct.Struct(">h")
_PLACE: Final = (0x5A5A_A5A5_5A5A_A5A5, 0x5AA5)
"""An identity that is found again in a frame."""
_TRANSACTIONAL: Final = 0x10
_RAISES: Final = 5
"""The version of EndTxn from which on the answer has the next identity."""
_END_ERROR: Final = 9
_END_IDENTITY: Final = 11
_ROW_BYTES: Final = 33
"""Of one partition in an answer to Produce 9 to 12 without an error."""


@dataclass(frozen=True, slots=True)
class Load:
    """What each transaction consists of. Without transactions: plain writes with acks=all."""

    name: str
    partitions: int
    producers: int
    offsets: bool = False
    transactional: bool = True


@dataclass(slots=True)
class Run:
    """What the producers of one load saw in one turn."""

    latencies: list[float] = field(default_factory=list)
    """Seconds from the first request of a transaction to the answer of its last."""
    seconds: float = 0.0
    client_cpu: float = 0.0
    """Seconds, as is the broker's."""
    broker_cpu: float = 0.0
    again: int = 0
    """Requests that had to come again."""


class _Template:
    """A frame in which some pieces change from time to time; all of them are alike."""

    def __init__(self, frame: bytes, piece: bytes) -> None:
        self._frame = bytearray(frame)
        self._size = len(piece)
        self._places = []
        at = frame.find(piece)
        while at >= 0:
            self._places.append(at)
            at = frame.find(piece, at + len(piece))
        assert self._places

    def filled(self, piece: bytes) -> bytes:
        """The frame with another piece of the same size."""
        frame, size = self._frame, self._size
        for at in self._places:
            frame[at : at + size] = piece
        return bytes(frame)


class _Batch:
    """A batch of one record."""

    def __init__(self, transactional: bool) -> None:
        content = b"\0\0\0\x01" + _varint(RECORD_BYTES) + bytes(RECORD_BYTES) + b"\0"
        self._record = _varint(len(content)) + content
        self._attributes = _TRANSACTIONAL if transactional else 0

    def of(self, producer_id: int, epoch: int, sequence: int) -> bytes:
        """With that producer and first sequence number."""
        now_ms = 1_700_000_000_000
        covered = (
            struct.pack(">hiqqqhii", self._attributes, 0, now_ms, now_ms, producer_id, epoch, sequence, 1)
            + self._record
        )
        return struct.pack(">qiibI", 0, len(covered) + 9, 0, 2, crc32c(covered)) + covered


@dataclass(slots=True)
class _Step:
    """One request of a transaction."""

    request: type[Request]
    version: int
    frame: Callable[[], bytes]
    is_good: Callable[[bytes], bool]


class Producer:
    """One producer and its connection."""

    def __init__(self, port: int, load: Load, name: str, protocol: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.began = 0.0
        self._position = 0
        self._load = load
        self._name = name
        self._protocol = protocol
        self._identity = (-1, -1)
        self._sequence = -1
        self._batch = _Batch(load.transactional)
        self._good: dict[int, bytes] = {}
        if load.transactional:
            self._identity = self._initialized()
            self._sequence = 0
        self._steps = self._make_steps()
        self.socket.setblocking(False)

    # -- requests --------------------

    def start(self) -> bytes:
        """The first request of a transaction."""
        self._position = 0
        return self._steps[0].frame()

    def again(self) -> bytes:
        """The request that was sent last."""
        return self._steps[self._position].frame()

    def answered(self, answer: bytes) -> bytes | bool:
        """The next request; False: the same again; True: the transaction is committed."""
        step = self._steps[self._position]
        if not step.is_good(answer):
            codes = _codes(decode_response(step.request.API, step.version, answer)[1])
            if codes & _AGAIN and not codes - _AGAIN - {ErrorCode.NONE}:
                return False
            assert codes == {ErrorCode.NONE}, (step.request.__name__, codes)
            self._good[self._position] = answer
        self._position += 1
        return self._position == len(self._steps) or self._steps[self._position].frame()

    def _initialized(self) -> tuple[int, int]:
        request = InitProducerIdRequest(transactional_id=self._name, transaction_timeout_ms=60_000)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            answer = self._ask(request, 4)
            if not answer.error_code:
                return answer.producer_id, answer.producer_epoch
            assert answer.error_code in _AGAIN, answer
            time.sleep(0.02)
        raise TimeoutError(f"{self._name} gets no producer id")

    def _ask(self, request: Request, version: int) -> Any:
        self.socket.sendall(_framed(request, version))
        (size,) = _LENGTH.unpack(self._take(4))
        return decode_response(request.API, version, self._take(size))[1]

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "the broker closed a connection"
            data += more
        return data

    def _make_steps(self) -> list[_Step]:
        load, second = self._load, self._protocol == 2
        produce = self._produce(12 if second else 11 if load.transactional else 9)
        if not load.transactional:
            return [produce]
        end = self._end(_RAISES if second else 3)
        # One for all, as the instances of an application have it.
        group = f"group-{self._protocol}-{load.name}"
        numbers = list(range(load.partitions))
        rows = [TxnOffsetCommitRequestPartition(number, 1, 0, "") for number in numbers]
        commit = self._with_identity(
            lambda pid, epoch: TxnOffsetCommitRequest(
                transactional_id=self._name,
                group_id=group,
                producer_id=pid,
                producer_epoch=epoch,
                topics=[TxnOffsetCommitRequestTopic(TOPIC, rows)],
            ),
            5 if second else 3,
        )
        if second:
            return [produce, commit, end] if load.offsets else [produce, end]
        add = self._with_identity(
            lambda pid, epoch: AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=self._name,
                v3_and_below_producer_id=pid,
                v3_and_below_producer_epoch=epoch,
                v3_and_below_topics=[AddPartitionsToTxnTopic(TOPIC, numbers)],
            ),
            3,
        )
        add_offsets = self._with_identity(
            lambda pid, epoch: AddOffsetsToTxnRequest(self._name, pid, epoch, group), 3
        )
        return [add, produce, add_offsets, commit, end] if load.offsets else [add, produce, end]

    def _with_identity(self, request: Callable[[int, int], Request], version: int) -> _Step:
        """A request that changes with the identity alone, and is answered with the same each time."""
        one = request(*_PLACE)
        template = _Template(_framed(one, version), _IDENTITY.pack(*_PLACE))
        return _Step(
            type(one),
            version,
            lambda: template.filled(_IDENTITY.pack(*self._identity)),
            lambda answer: answer == self._good.get(self._position),
        )

    def _produce(self, version: int) -> _Step:
        batch = self._batch.of(*self._identity, self._sequence)
        rows = [PartitionProduceData(number, batch) for number in range(self._load.partitions)]
        request = ProduceRequest(
            transactional_id=self._name if self._load.transactional else None,
            acks=-1,
            timeout_ms=30_000,
            topic_data=[TopicProduceData(TOPIC, rows)],
        )
        template = _Template(_framed(request, version), batch)
        first = 4 + 1 + 1 + 1 + len(TOPIC) + 1 + 4
        places = [first + _ROW_BYTES * number for number in range(self._load.partitions)]

        def is_good(answer: bytes) -> bool:
            known = self._good.get(self._position)
            return (
                known is not None
                and len(known) == len(answer)
                and not any(_ERROR.unpack_from(answer, at)[0] for at in places)
            )

        return _Step(
            ProduceRequest,
            version,
            lambda: template.filled(self._batch.of(*self._identity, self._sequence)),
            is_good,
        )

    def _end(self, version: int) -> _Step:
        step = self._with_identity(
            lambda pid, epoch: EndTxnRequest(self._name, pid, epoch, committed=True), version
        )

        def is_good(answer: bytes) -> bool:
            if _ERROR.unpack_from(answer, _END_ERROR)[0]:
                return False
            if version >= _RAISES:
                pid, epoch = _IDENTITY.unpack_from(answer, _END_IDENTITY)
                self._identity, self._sequence = (pid, epoch), 0
            else:
                self._sequence += 1
            return True

        step.is_good = is_good
        return step


class _Drive:
    """Producers that run transactions until their time is over."""

    def __init__(self, producers: Sequence[Producer], broker_cpu: Callable[[], float]) -> None:
        self.run = Run()
        self._broker_cpu = broker_cpu
        self._producers = producers
        self._later: list[tuple[float, int, Producer]] = []
        self._measured_from = self._until = 0.0
        self._is_measured = self._is_over = False
        self._left = len(producers)

    def go(self, seconds: float, warm_up: float) -> None:
        """Returns when no transaction is open."""
        self._measured_from = time.perf_counter() + warm_up
        self._until = self._measured_from + seconds
        with selectors.DefaultSelector() as selector:
            for producer in self._producers:
                selector.register(producer.socket, selectors.EVENT_READ, producer)
                self._begin(producer)
            while self._left:
                wait = 1.0 if not self._later else max(0.0, self._later[0][0] - time.perf_counter())
                ready = selector.select(wait)
                now = time.perf_counter()
                self._look_at(now)
                for key, _ in ready:
                    answer = _frame_of(key.data)
                    if answer is not None:
                        self._take(key.data, answer, now)

    def _look_at(self, now: float) -> None:
        if not self._is_measured and now >= self._measured_from:
            self._is_measured, self._measured_from = True, now
            self.run.client_cpu, self.run.broker_cpu = -time.process_time(), -self._broker_cpu()
        if (
            not self._is_over
            and now >= self._until
            and (self.run.latencies or now >= self._until + _MORE_SECONDS)
        ):
            self._is_over = True
            self.run.seconds = now - self._measured_from
            self.run.client_cpu += time.process_time()
            self.run.broker_cpu += self._broker_cpu()
        while self._later and self._later[0][0] <= now:
            producer = heapq.heappop(self._later)[2]
            producer.socket.send(producer.again())
        assert now < self._until + _MORE_SECONDS + 30, "transactions do not end"

    def _take(self, producer: Producer, answer: bytes, now: float) -> None:
        outcome = producer.answered(answer)
        if outcome is False:
            heapq.heappush(self._later, (now + AGAIN_SECONDS, id(producer), producer))
            self.run.again += self._is_measured
        elif outcome is not True:
            producer.socket.send(outcome)
        elif self._is_over:
            self._left -= 1
        else:
            if self._is_measured:
                self.run.latencies.append(now - producer.began)
            self._begin(producer)

    def _begin(self, producer: Producer) -> None:
        producer.began = time.perf_counter()
        producer.socket.send(producer.start())


def drive(
    producers: Sequence[Producer], seconds: float, warm_up: float, broker_cpu: Callable[[], float]
) -> Run:
    """All of them run for `warm_up` and then `seconds`, of which alone is told; then they end what is open.

    `broker_cpu`: seconds of the broker's process.
    """
    driving = _Drive(producers, broker_cpu)
    driving.go(seconds, warm_up)
    return driving.run


def _frame_of(producer: Producer) -> bytes | None:
    data = producer.socket.recv(65536)
    if not data:
        raise ConnectionError("the broker closed a connection")
    received = producer.received
    received += data
    if len(received) < 4 or len(received) < 4 + _LENGTH.unpack_from(received)[0]:
        return None
    answer = bytes(received[4:])
    received.clear()
    return answer


def _framed(request: Request, version: int) -> bytes:
    return bytes(encode_request(request, version, 1, "bench"))


def _codes(message: Any) -> set[ErrorCode]:
    """All error codes of an answer."""
    found: set[ErrorCode] = set()
    for name in message.__dataclass_fields__:
        value = getattr(message, name)
        if name.endswith("error_code"):
            found.add(ErrorCode.of(value))
        elif isinstance(value, list):
            for one in value:
                if hasattr(one, "__dataclass_fields__"):
                    found |= _codes(one)
    return found


def _varint(value: int) -> bytes:
    rest, out = value << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
