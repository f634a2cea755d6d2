"""Who looks on: a `read_committed` consumer of librdkafka, and what brokers say of offsets and positions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from fastlog.errors import ErrorCode as E
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tests.chaos.transactions.history import Row, Writer
from tests.chaos.transactions.wire import GROUPS, Lost, Wire
from tests.cluster.load import row_of

_PAUSE_SECONDS: Final = 0.1
_LATEST: Final = -1
_COMMITTED: Final = 1


def consumer(bootstrap: str, name: str, *, tells_ends: bool = False) -> Consumer:
    """One that reads what is committed, from where it is told."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": name,
            "client.id": name,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": tells_ends,
            # It reads on where it is, or says that it cannot.
            "auto.offset.reset": "error",
            "reconnect.backoff.max.ms": 500,
            "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 0,
        }
    )


class Reader:
    """Reads in a thread, from the beginning, all the time; now and then it begins anew."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, writer: Writer) -> None:
        self._bootstrap, self._topic, self._partitions = bootstrap, topic, partitions
        self._writer = writer
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name="reader", daemon=True)
        self.rows = 0
        """How many it has read."""

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Reads no more."""
        self._closed.set()
        self._thread.join()

    def _guarded(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - told by the checker
            self._writer.write("failed", error=repr(error))

    def _read(self) -> None:
        reads = consumer(self._bootstrap, "reader")
        try:
            reads.assign([TopicPartition(self._topic, index, 0) for index in range(self._partitions)])
            self._writer.write("begun")
            while not self._closed.is_set():
                rows = []
                for message in reads.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        rows.append(row_of(message))
                    elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):
                        self._writer.write("failed", error=f"the reader's place is gone: {error}")
                self._writer.records("read", rows)
                self.rows += len(rows)
        finally:
            reads.close()


def read_all(bootstrap: str, topic: str, partitions: int, *, seconds: float = 600) -> list[Row]:
    """All that a `read_committed` consumer gets."""
    reads = consumer(bootstrap, "last-look", tells_ends=True)
    rows: list[Row] = []
    left = set(range(partitions))
    try:
        reads.assign([TopicPartition(topic, index, 0) for index in sorted(left)])
        deadline = time.monotonic() + seconds
        while left:
            assert time.monotonic() < deadline, f"not read to the end: {sorted(left)}"
            for message in reads.consume(1000, 0.2):
                error = message.error()
                if error is None:
                    rows.append(row_of(message))
                    continue
                assert error.code() == KafkaError._PARTITION_EOF, error
                left.discard(message.partition() or 0)
    finally:
        reads.close()
    return rows


class Observer:
    """Asks leaders for last stable offsets, and coordinators for positions."""

    def __init__(self, wire: Wire, topic: str, groups: Sequence[str], writer: Writer) -> None:
        self._wire, self._topic, self._groups, self._writer = wire, topic, groups, writer
        self.looks = 0
        """How many answers it has had."""

    async def run(self, ended: asyncio.Event) -> None:
        """Looks all the time."""
        while not ended.is_set():
            try:
                for partition, (epoch, stable, end) in (await self.stability()).items():
                    self._writer.write("stable", partition=partition, epoch=epoch, stable=stable, end=end)
                    self.looks += 1
                for group, (node, offset) in (await self.positions()).items():
                    self._writer.write("position", group=group, node=node, offset=offset)
            except Lost:
                self._wire.forget()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def stability(self) -> dict[int, tuple[int, int, int]]:
        """(leader epoch, last stable offset, high watermark) of each partition that tells. Raises Lost."""
        await self._wire.look(fresh=self.looks % 40 == 0)
        found: dict[int, tuple[int, int, int]] = {}
        is_wrong = False
        for partition, (port, epoch) in self._wire.leaders.items():
            stable = await self._latest(port, partition, epoch, _COMMITTED)
            end = await self._latest(port, partition, epoch, 0)
            if stable is None or end is None:
                is_wrong = True
            else:
                found[partition] = epoch, stable, end
        if is_wrong:
            self._wire.forget()
        return found

    async def positions(self) -> dict[str, tuple[int, int]]:
        """(port of the coordinator, offset) of each group that has a stable one. Raises Lost."""
        found: dict[str, tuple[int, int]] = {}
        for group in self._groups:
            asked = OffsetFetchRequestGroup(
                group_id=group, topics=[OffsetFetchRequestTopics(self._topic, [0])]
            )
            request = OffsetFetchRequest(groups=[asked], require_stable=True)
            answer = await self._wire.coordinate(GROUPS, group, request, 8)
            (told,) = answer.groups
            if told.error_code != E.NONE:
                self._wire.forget()
                continue
            row = told.topics[0].partitions[0]
            if row.error_code == E.NONE:
                found[group] = self._wire.coordinator(GROUPS, group), row.committed_offset
        return found

    async def _latest(self, port: int, partition: int, epoch: int, isolation: int) -> int | None:
        row = ListOffsetsPartition(partition_index=partition, timestamp=_LATEST, current_leader_epoch=epoch)
        request = ListOffsetsRequest(
            replica_id=-1,
            isolation_level=isolation,
            topics=[ListOffsetsTopic(name=self._topic, partitions=[row])],
        )
        answer: Any = await self._wire.ask(port, request, 5)
        told = answer.topics[0].partitions[0]
        return int(told.offset) if told.error_code == E.NONE else None
