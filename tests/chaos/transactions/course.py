"""Transactions that go where a test says, on one broker in this process, and what `checker` is to look at."""

from __future__ import annotations

import asyncio
import shutil
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from fastlog.coordination.transactions.completions import Marker, MarkerWriter, Outcomes
from fastlog.errors import ErrorCode as E
from fastlog.native import read_batches
from fastlog.server.requests.context import BrokerServices
from fastlog.server.transactions import MakeMarkerWriter, leader_markers
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import OffsetFetchRequest, OffsetFetchRequestGroup
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest
from tests.chaos.transactions.history import ABORTED, COMMITTED, Row, Transaction, TransactionHistory
from tests.harness.waiting import wait_until
from tests.integration.requests import fetch, make_topic
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import (
    Identity,
    batch_of,
    commit_offsets,
    fetched,
    mark,
    offset_of,
    produce,
)

PARTITIONS: Final = 2
SETTINGS: Final = {
    "transaction.state.log.num.partitions": "2",
    "offsets.topic.num.partitions": "2",
    "num.partitions": str(PARTITIONS),
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
}
_BATCH: Final = struct.Struct(">qiibIhiqqqhii")
_CONTROL: Final = 0x20
_SETTLED_SECONDS: Final = 3.0


class HeldWriter:
    """The leader's markers, which wait while `is_held`."""

    def __init__(self, writer: MarkerWriter) -> None:
        self._writer = writer
        self.is_held = False

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """See `MarkerWriter`."""
        while self.is_held:  # noqa: ASYNC110 - told by another thread
            await asyncio.sleep(0.01)
        return await self._writer.write(markers)


class HeldBroker(RunningBroker):
    """A broker whose markers can be held."""

    writer: HeldWriter

    def marker_writer(self) -> MakeMarkerWriter | None:
        """The leader's, held or not."""

        def make(broker: BrokerServices) -> HeldWriter:
            self.writer = HeldWriter(leader_markers(broker))
            return self.writer

        return make


class Course:
    """One transactional id, whose topic and group have its name, and all that becomes of its transactions."""

    def __init__(self, running: HeldBroker, name: str) -> None:
        self.running, self.name = running, name
        self._client: RawClient | None = running.connect()
        make_topic(self.client, name)
        self.producer = Producer(self.client, name)
        self._meet_group()
        self.history = TransactionHistory(readers={"reader": [[]]})
        self._position: int | None = None

    @property
    def client(self) -> RawClient:
        """The connection."""
        assert self._client is not None
        return self._client

    def close(self) -> None:
        """Ends the connection."""
        if self._client is not None:
            self._client.socket.close()
            self._client = None

    # -- a transaction --------------------

    def begin(self, number: int, *sent: tuple[int, int], position: int | None = None) -> Transaction:
        """A transaction that will write these values (partition and value), and move the group."""
        one = Transaction(self.name, number, [*sent], position)
        self.history.transactions[self.name, number] = one
        return one

    def add(self, identity: Identity, *partitions: int) -> None:
        """The partitions join, once the transaction before is complete."""
        self.producer.added(identity, *((self.name, partition) for partition in partitions))

    def write(
        self, one: Transaction, identity: Identity, sequence: int, which: int, *, version: int = 9
    ) -> int:
        """Writes one of its values; the code. Asks again while the transaction before is being completed."""
        partition, value = one.sent[which]
        row = (self.name, partition), batch_of(identity, sequence, [b"%d" % value])
        found: list[tuple[int, int]] = []

        def is_answered() -> bool:
            found[:] = produce(self.client, self.name, row, version=version)
            return found[0][0] not in (E.CONCURRENT_TRANSACTIONS, E.NOT_ENOUGH_REPLICAS)

        wait_until(is_answered, lambda: f"{one.name}: {found}", seconds=20, pause=0.02)
        code, offset = found[0]
        if code == E.NONE:
            one.acked.append((partition, offset, value))
        return code

    def move(self, identity: Identity, position: int) -> None:
        """Moves the group within the transaction."""
        asked = AddOffsetsToTxnRequest(self.name, *identity, self.name)
        assert self.client.ask(asked, 3).error_code == E.NONE
        at = self.name, 0
        assert commit_offsets(self.client, self.name, self.name, identity, {at: position}) == {E.NONE}

    def end(self, one: Transaction, identity: Identity, *, commits: bool, version: int = 4) -> Identity:
        """Ends it, and waits until that is complete; the identity to go on with."""
        code, *told = self.producer.end(identity, commits=commits, version=version)
        assert code == E.NONE, E.of(code).name
        one.fate, one.why = (COMMITTED if commits else ABORTED), "its client asked for it"
        self.producer.wait_for("CompleteCommit" if commits else "CompleteAbort")
        return (told[0], told[1]) if version >= 5 else identity

    def mark(self, identity: Identity, partition: int, **how: Any) -> int:
        """A marker for one partition; the code."""
        (code,) = mark(self.client, identity, (self.name, partition), **how)
        return code

    # -- what can be seen --------------------

    def read(self) -> None:
        """A reader reads everything there is from the beginning."""
        self.history.readers["reader"].append(self._rows())

    def look_at_position(self) -> None:
        """Somebody asks where the group is."""
        code, offset = offset_of(self.client, self.name, (self.name, 0), stable=True)
        if code == E.NONE:
            self.history.positions[self.name].append((0, offset))

    def finish(self) -> TransactionHistory:
        """All is over: waits until nothing is open, as long as that may take, and reads all there is."""
        deadline = time.monotonic() + _SETTLED_SECONDS
        ends = self._ends()
        while any(stable != end for stable, end in ends.values()) and time.monotonic() < deadline:
            time.sleep(0.02)
            ends = self._ends()
        self.history.ends = ends
        self.history.final = self._rows()
        code, offset = offset_of(self.client, self.name, (self.name, 0), stable=True)
        self.history.final_positions[self.name] = offset if code == E.NONE else -2
        self.close()
        return self.history

    def after_a_kill(self, image: Path) -> TransactionHistory:
        """The machine's disk as it is now; another broker goes on with that. Looks at what that one has."""
        shutil.copytree(self.running.directory, image)
        other = HeldBroker(image, self.running.settings)
        other.start()
        try:
            self.close()
            self.running, self._client = other, other.connect()
            # Somebody needs a coordinator.
            Producer(self.client, self.name)
            self._meet_group()
            return self.finish()
        finally:
            self.close()
            other.close()

    def _meet_group(self) -> None:
        """The group has a coordinator, which has read what there is."""
        asked = FindCoordinatorRequest(key_type=0, coordinator_keys=[self.name])
        group = OffsetFetchRequestGroup(group_id=self.name, topics=[])

        def is_served() -> bool:
            (found,) = self.client.ask(asked, 4).coordinators
            answer = self.client.ask(OffsetFetchRequest(groups=[group]), 8)
            return found.error_code == answer.groups[0].error_code == E.NONE

        wait_until(is_served, "the group has no coordinator", seconds=20, pause=0.02)

    def _ends(self) -> dict[int, tuple[int, int]]:
        rows = {partition: fetched(self.client, (self.name, partition)) for partition in range(PARTITIONS)}
        return {partition: (row.last_stable_offset, row.high_watermark) for partition, row in rows.items()}

    def _rows(self) -> list[Row]:
        return [
            row
            for partition in range(PARTITIONS)
            for row in committed_rows(self.client, self.name, partition)
        ]


def committed_rows(client: RawClient, topic: str, partition: int) -> list[Row]:
    """What a `read_committed` consumer makes of a partition, from its beginning to where it may read."""
    found: list[Row] = []
    offset = 0
    while True:
        asked = fetch(topic, offset, partition=partition, min_bytes=0, isolation_level=1)
        (row,) = client.ask(asked, 11).responses[0].partitions
        assert row.error_code == E.NONE, E.of(row.error_code).name
        data = bytes(row.records or b"")
        if not data:
            return found
        aborted = sorted((one.first_offset, one.producer_id) for one in row.aborted_transactions or ())
        offset = _take(data, partition, offset, aborted, found)


def _take(data: bytes, partition: int, offset: int, aborted: list[tuple[int, int]], found: list[Row]) -> int:
    """Adds what a client keeps of some batches; the offset after them."""
    out: set[int] = set()
    at = 0
    while at + _BATCH.size <= len(data):
        base, length, _, _, _, attributes, delta, _, _, producer, *_ = _BATCH.unpack_from(data, at)
        batch = data[at : at + 12 + length]
        at += 12 + length
        while aborted and aborted[0][0] <= base + delta:
            out.add(aborted.pop(0)[1])
        if attributes & _CONTROL:
            out.discard(producer)
        elif producer not in out:
            records: Callable[[bytes], Any] = read_batches
            found += [(partition, row[0], int(row[3])) for row in records(batch) if row[0] >= offset]
        offset = base + delta + 1
    return offset
