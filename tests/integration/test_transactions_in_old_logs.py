"""Open transactions, and logs that are compacted, shortened or cut meanwhile: what consumers see in the end.

Each course goes over a restart before the end of the transaction, or does not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fastlog.native import build_batch, read_batches
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from tests.harness.compacted import EAGER, cleaned_to
from tests.harness.waiting import wait_until
from tests.integration.requests import fetch, list_offset
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import Identity, produce

SETTINGS: Final = {
    **EAGER,
    "transaction.state.log.num.partitions": "1",
    "offsets.topic.num.partitions": "1",
    "log.retention.check.interval.ms": "50",
    "log.cleaner.delete.retention.ms": "0",
}
COMPACTED: Final = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
    "file.delete.delay.ms": "0",
    "segment.bytes": "1024",
}
FILLER: Final = b"filler" * 100
"""Two do not fit into a segment."""
LATE: Final = b"late" * 100
Row = tuple[bytes | None, bytes | None]


class Place:
    """A broker, a topic, and producers by their transactional ids."""

    def __init__(self, directory: Path, name: str) -> None:
        self.running = RunningBroker(directory, SETTINGS)
        self.running.start()
        self.name = name
        self.client = RawClient(self.running.port, timeout=30)
        self.identities: dict[str, Identity] = {}
        self._sequences: dict[str, int] = {}

    def close(self) -> None:
        """It is over."""
        self.client.socket.close()
        self.running.close()

    def again(self) -> None:
        """The broker is stopped and started."""
        self.client.socket.close()
        assert self.running.stop()
        self.running.start()
        self.client = RawClient(self.running.port, timeout=30)

    def make(self, **configs: str) -> None:
        """The topic, of one partition."""
        rows = [CreatableTopicConfig(key, value) for key, value in configs.items()]
        asked = CreateTopicsRequest(topics=[CreatableTopic(self.name, 1, 1, configs=rows)], timeout_ms=30_000)
        assert self.client.ask(asked, 5).topics[0].error_code == 0

    def put(self, who: str | None, *rows: Row, at_ms: int | None = None) -> None:
        """Records in one batch: in the open transaction of `who`, which may begin with it, or in none."""
        now_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
        how: dict[str, Any] = {}
        if who is not None:
            producer = Producer(self.client, who)
            if who not in self.identities:
                self.identities[who] = producer.initialized(timeout_ms=600_000)
            identity = self.identities[who]
            producer.added(identity, (self.name, 0))
            sequence = self._sequences.get(who, 0)
            self._sequences[who] = sequence + len(rows)
            how = {
                "producer_id": identity[0],
                "producer_epoch": identity[1],
                "base_sequence": sequence,
                "transactional": True,
            }
        batch = build_batch([(key, value, [], now_ms) for key, value in rows], **how)
        ((code, _),) = produce(self.client, who, ((self.name, 0), batch))
        assert code == 0

    def end(self, who: str, *, commits: bool) -> None:
        """The transaction is over, markers and all."""
        producer = Producer(self.client, who)
        # A coordinator that has just been started reads its log first.
        wait_until(
            lambda: producer.end(self.identities[who], commits=commits)[0] == 0, "it does not end", seconds=20
        )
        producer.wait_for("CompleteCommit" if commits else "CompleteAbort")

    def row(self, offset: int = 0) -> Any:
        """A fetch of what is committed."""
        asked = fetch(self.name, offset, min_bytes=0, isolation_level=1)
        return self.client.ask(asked, 11).responses[0].partitions[0]

    def start(self) -> int:
        """The first offset of the log."""
        (topic,) = self.client.ask(list_offset(self.name, -2), 5).topics
        return int(topic.partitions[0].offset)

    def seen(self) -> list[Row]:
        """What a consumer of what is committed gets, from the start of the log on, without fillers."""
        offset = self.start()
        found: list[Row] = []
        while True:
            row = self.row(offset)
            assert row.error_code == 0, row
            data = bytes(row.records or b"")
            if not data:
                assert offset >= row.last_stable_offset
                return found
            aborted = _aborted_offsets(data, row.aborted_transactions or ())
            for at, _, key, value, _ in read_batches(data):
                if at >= offset and at not in aborted and key != b"filler":
                    found.append((key, value))
            offset = _end_of(data)

    def fill(self, count: int = 3) -> None:
        """Seals what is in the log so far."""
        for _ in range(count):
            self.put(None, (b"filler", FILLER))

    def compacted(self) -> None:
        """All that can be is compacted."""
        self.fill()
        log = self.running.broker.services.logs.get(self.name, 0)
        assert log is not None
        stable = log.last_stable_offset(log.log_end_offset)
        # The segment that what is undecided begins in stays as it is.
        goal = max(row[0] for row in log.segments() if row[0] <= stable)
        wait_until(
            lambda: cleaned_to(self.running.directory, self.name) >= goal,
            lambda: f"{cleaned_to(self.running.directory, self.name)} of {goal}",
            seconds=30,
        )


def _end_of(data: bytes) -> int:
    position, end = 0, -1
    while position + 61 <= len(data):
        length = int.from_bytes(data[position + 8 : position + 12], "big")
        if position + 12 + length > len(data):
            break
        base = int.from_bytes(data[position : position + 8], "big")
        end = base + int.from_bytes(data[position + 23 : position + 27], "big") + 1
        position += 12 + length
    return end


def _aborted_offsets(data: bytes, listed: Any) -> set[int]:
    """Offsets of records that a consumer leaves out, as clients find them: by producer id, from the first
    offset on that is listed until the producer's next marker."""
    to_come = sorted(((one.first_offset, one.producer_id) for one in listed), reverse=True)
    aborting: set[int] = set()
    left_out: set[int] = set()
    position = 0
    while position + 61 <= len(data):
        length = int.from_bytes(data[position + 8 : position + 12], "big")
        base = int.from_bytes(data[position : position + 8], "big")
        last = base + int.from_bytes(data[position + 23 : position + 27], "big")
        attributes = int.from_bytes(data[position + 21 : position + 23], "big")
        producer_id = int.from_bytes(data[position + 43 : position + 51], "big", signed=True)
        while to_come and to_come[-1][0] <= last:
            aborting.add(to_come.pop()[1])
        if attributes & 0x20:
            aborting.discard(producer_id)
        elif attributes & 0x10 and producer_id in aborting:
            left_out.update(range(base, last + 1))
        position += 12 + length
    return left_out


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    place = Place(tmp_path / "data", re.sub("[^a-z0-9_]+", ".", request.node.name))
    yield place
    place.close()


restarted = pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
ending = pytest.mark.parametrize("commits", [False, True], ids=["aborted", "committed"])


@restarted
@ending
def test_compaction_waits_for_the_end(place: Place, restarted: bool, commits: bool) -> None:
    """A key that an open transaction writes keeps its former value, until that is decided and for good."""
    place.make(**COMPACTED)
    place.put(None, (b"a", b"old"), (b"b", b"old"), (b"c", b"old"))
    place.put(None, (b"b", b"new"))
    place.fill()
    place.put("one", (b"a", b"one"))
    place.compacted()
    place.put("one", (b"c", b"one"))
    place.compacted()
    if restarted:
        place.again()
    assert [row for row in place.seen() if row[0] == b"a"] == [(b"a", b"old")]
    place.end("one", commits=commits)
    for _ in range(3):
        place.compacted()
    if restarted:
        place.again()
    latest = dict(place.seen())
    a = b"one" if commits else b"old"
    assert latest == {b"a": a, b"b": b"new", b"c": a}
    assert {key for key, _ in place.seen()} == {b"a", b"b", b"c"}
    assert len(place.seen()) == 3


@restarted
def test_aborted_records_never_come_back(place: Place, restarted: bool) -> None:
    """Many transactions of two producers, compacted after each, with keys in common."""
    place.make(**COMPACTED)
    expected: dict[bytes | None, bytes | None] = {}
    for number in range(6):
        who, other = ("one", "two") if number % 2 else ("two", "one")
        place.put(who, (b"k", b"%d" % number), (b"%d" % number, b"x"))
        place.put(other, (b"k", b"other %d" % number))
        place.put(None, (b"p", b"%d" % number))
        commits = number % 3 == 0
        place.end(other, commits=not commits)
        if number == 3 and restarted:
            place.compacted()
            place.again()
        place.end(who, commits=commits)
        expected[b"p"] = b"%d" % number
        if commits:
            expected[b"%d" % number] = b"x"
        # The record that is last in the log, of those that count.
        expected[b"k"] = b"%d" % number if commits else b"other %d" % number
        place.compacted()
        assert dict(place.seen()) == expected, number
    if restarted:
        place.again()
    assert dict(place.seen()) == expected


@restarted
@ending
def test_retention_takes_the_beginning_of_an_open_transaction(
    place: Place, restarted: bool, commits: bool
) -> None:
    """As in Kafka: what is too old goes; the rest is decided by the marker, and nothing hangs."""
    place.make(**{"segment.bytes": "1024", "retention.ms": "3600000", "file.delete.delay.ms": "0"})
    old_ms = time.time_ns() // 1_000_000 - 7_200_000
    place.put("one", (b"a", FILLER), at_ms=old_ms)
    place.put(None, (b"b", FILLER), at_ms=old_ms)
    place.put("one", (b"c", LATE))
    wait_until(lambda: place.start() == 2, lambda: f"{place.start()}", seconds=20)
    if restarted:
        place.again()
    row = place.row(2)
    assert (row.log_start_offset, row.last_stable_offset, row.high_watermark) == (2, 2, 3)
    place.put("one", (b"d", b"later"))
    assert place.row(2).last_stable_offset == 2
    place.end("one", commits=commits)
    assert place.seen() == ([(b"c", LATE), (b"d", b"later")] if commits else [])
    if restarted:
        place.again()
        assert place.seen() == ([(b"c", LATE), (b"d", b"later")] if commits else [])
    place.put("one", (b"e", b"next"))
    place.end("one", commits=True)
    assert place.seen()[-1] == (b"e", b"next")
    assert place.row(2).last_stable_offset == place.row(2).high_watermark


@restarted
def test_all_records_of_an_open_transaction_are_deleted(place: Place, restarted: bool) -> None:
    place.make()
    place.put("one", (b"a", b"1"), (b"a", b"2"))
    rows = [DeleteRecordsPartition(0, -1)]
    asked = DeleteRecordsRequest(topics=[DeleteRecordsTopic(place.name, rows)], timeout_ms=30_000)
    assert place.client.ask(asked, 2).topics[0].partitions[0].low_watermark == 2
    if restarted:
        place.again()
    place.put(None, (b"b", b"plain"))
    row = place.row(2)
    assert (row.log_start_offset, row.last_stable_offset, row.high_watermark) == (2, 2, 3)
    place.end("one", commits=False)
    assert place.seen() == [(b"b", b"plain")]


def test_a_changed_index_of_aborted_transactions_is_noticed(place: Place) -> None:
    """After a clean stop, at each byte that matters: no aborted record is ever given out."""
    place.make()
    place.put("one", (b"a", b"aborted"))
    place.put("two", (b"a", b"kept"))
    place.end("one", commits=False)
    place.end("two", commits=True)
    expected = [(b"a", b"kept")]
    assert place.seen() == expected
    path = place.running.directory / f"{place.name}-0" / f"{0:020}.txnindex"
    for position in (9, 17, 25, 33, None):
        place.client.socket.close()
        assert place.running.stop()
        sound = path.read_bytes()
        assert len(sound) == 34
        if position is None:
            path.unlink()
        else:
            path.write_bytes(bytes((*sound[:position], sound[position] ^ 2, *sound[position + 1 :])))
        place.running.start()
        place.client = RawClient(place.running.port, timeout=30)
        assert place.seen() == expected, position
        assert path.read_bytes() == sound
