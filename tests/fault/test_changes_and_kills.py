"""Changes of every kind at once, kill -9 in the middle, and the next broker keeps all that was answered.

Each client owns what it changes, so that it knows what must be there: what was acknowledged, or what it had
asked for when the broker died.
"""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_admin import DeleteGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetFetchRequest,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.harness.batches import batch, records
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.integration.requests import fetch, list_offset, metadata, produce

ROUNDS = 6
SETTINGS = {
    "num.partitions": "1",
    "offsets.topic.num.partitions": "2",
    "log.segment.bytes": "3000",
    "log.flush.offset.checkpoint.interval.ms": "100",
    "log.retention.check.interval.ms": "200",
    "log.initial.task.delay.ms": "50",
    "log.segment.delete.delay.ms": "0",
    "log.cleaner.backoff.ms": "50",
    "log.cleaner.min.cleanable.ratio": "0",
}
_RETRIABLE = {5, 6, 7, 14, 15, 16, 36, 56}
EARLIEST, LATEST = -2, -1


class Owner(ABC):
    """A client of its own things: `change` is done again and again; `verify` is true of the next broker."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.chance = random.Random(f"{name} {seed}")
        self.done = 0

    @abstractmethod
    def change(self, link: Link) -> None:
        """Does one more thing."""

    @abstractmethod
    def verify(self, link: Link) -> None:
        """Raises AssertionError where something that was answered is not so."""


def insist(ask: Callable[[], int]) -> int:
    """The error code, once it is none that passes."""
    end = time.monotonic() + 20
    while (code := ask()) in _RETRIABLE and time.monotonic() < end:
        time.sleep(0.05)
    return code


class Records(Owner):
    """Appends with sequence numbers, each value once, and deletes from the start."""

    def __init__(self, name: str, seed: int, *, compact: bool) -> None:
        super().__init__(name, seed)
        self.compact = compact
        self.values: dict[int, bytes] = {}
        self.pending = b""
        self.start = 0
        self.producer: tuple[int, int] | None = None
        self.sequence = 0

    def change(self, link: Link) -> None:
        if self.producer is None:
            link.call(metadata(self.name), 9)
            answer: Any = link.call(InitProducerIdRequest(None, transaction_timeout_ms=1), 4)
            if answer.error_code:
                return
            self.producer = answer.producer_id, answer.producer_epoch
        if self.chance.random() < 0.1 and self.values:
            self._delete(link)
        self._append(link)

    def _append(self, link: Link) -> None:
        assert self.producer is not None
        # The same again when the broker died over it: it may be there.
        value = self.pending or b"%d %s" % (self.sequence, b"." * self.chance.randrange(400))
        self.pending = value
        key = b"%d" % self.sequence
        data = batch(
            value, key=key, producer=(*self.producer, self.sequence), timestamp=int(time.time() * 1000)
        )
        row: Any = None

        def ask() -> int:
            nonlocal row
            answer: Any = link.call(produce(self.name, data), 8)
            row = answer.responses[0].partition_responses[0]
            return int(row.error_code)

        code = insist(ask)
        assert code == 0, (self.name, code, row)
        assert row.base_offset not in self.values, f"{self.name}: offset {row.base_offset} is given out twice"
        self.values[row.base_offset] = value
        self.pending = b""
        self.sequence += 1

    def _delete(self, link: Link) -> None:
        offset = self.chance.choice(sorted(self.values)[:20])
        rows = [DeleteRecordsPartition(0, offset)]
        answer: Any = link.call(DeleteRecordsRequest([DeleteRecordsTopic(self.name, rows)]), 2)
        row = answer.topics[0].partitions[0]
        if row.error_code == 0:
            self.start = max(self.start, offset)
            assert row.low_watermark >= self.start

    def verify(self, link: Link) -> None:
        start, end = (_offset(link, self.name, at) for at in (EARLIEST, LATEST))
        if not self.values:
            return
        assert start >= self.start, f"{self.name}: begins at {start}, deleted up to {self.start}"
        assert end > max(self.values), f"{self.name}: ends at {end}"
        found: dict[int, bytes | None] = {}
        at = start
        while at < end:
            answer: Any = link.call(fetch(self.name, at), 11)
            row = answer.responses[0].partitions[0]
            assert row.error_code == 0, (self.name, at, row.error_code)
            got = [(offset, value) for offset, value in records(row.records) if offset >= at]
            assert got, (self.name, at, end)
            found.update(got)
            at = got[-1][0] + 1
        for offset, value in self.values.items():
            if offset >= start:
                assert found.get(offset) == value, (self.name, offset)
        strange = {offset: value for offset, value in found.items() if offset not in self.values}
        # The one that was under way when the broker died may be there, once.
        assert list(strange.values()) in ([], [self.pending]), (self.name, strange)


def _offset(link: Link, topic: str, at: int) -> int:
    row: Any = None

    def ask() -> int:
        nonlocal row
        answer: Any = link.call(list_offset(topic, at), 5)
        row = answer.topics[0].partitions[0]
        return int(row.error_code)

    assert insist(ask) in (0, 3), (topic, row)
    return int(row.offset)


class Settings(Owner):
    """Changes what the logs of a topic that is written to are told to do."""

    CHOICES = (
        ("segment.bytes", "2000"),
        ("segment.bytes", "6000"),
        ("flush.messages", "1"),
        ("flush.messages", "100"),
        ("retention.ms", "604800000"),
        ("min.cleanable.dirty.ratio", "0.0"),
        ("max.message.bytes", "100000"),
        ("index.interval.bytes", "100"),
    )

    def __init__(self, name: str, seed: int, *, compact: bool) -> None:
        super().__init__(name, seed)
        self.compact = compact
        self.known: dict[str, set[str | None]] = {}

    def change(self, link: Link) -> None:
        key, value = self.chance.choice(self.CHOICES)
        if self.compact and self.chance.random() < 0.3:
            key, value = "cleanup.policy", self.chance.choice(("compact", "delete", "compact,delete"))
        before = self.known.get(key, {None})
        self.known[key] = before | {value}
        config = AlterableConfig(key, 0, value)
        answer: Any = link.call(
            IncrementalAlterConfigsRequest([AlterConfigsResource(2, self.name, [config])]), 1
        )
        self.known[key] = before if answer.responses[0].error_code else {value}

    def verify(self, link: Link) -> None:
        answer: Any = link.call(DescribeConfigsRequest([DescribeConfigsResource(2, self.name)]), 4)
        if not self.known or answer.results[0].error_code == 3:
            return
        found = {row.name: row.value for row in answer.results[0].configs}
        for key, values in self.known.items():
            if None not in values:
                assert found[key] in values, (self.name, key, found[key], values)


class Topics(Owner):
    """Makes, fills, grows and deletes a topic of one name."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, seed)
        self.partitions: set[int] = {0}
        self.values: list[bytes] = []
        self.lives = 0

    def change(self, link: Link) -> None:
        if len(self.partitions) > 1:
            # The outcome of the last change is not known: the next broker will tell.
            time.sleep(0.01)
            return
        (count,) = self.partitions
        if count == 0:
            self.lives += 1
            self.values = []
            self.partitions = {0, 2}
            answer: Any = link.call(
                CreateTopicsRequest([CreatableTopic(self.name, 2, 1)], timeout_ms=5000), 7
            )
            self._settle(answer.topics[0].error_code, {2}, {0})
        elif self.chance.random() < 0.3:
            self.partitions = {0, count}
            request = DeleteTopicsRequest([DeleteTopicState(self.name)], timeout_ms=5000)
            answer = link.call(request, 6)
            self._settle(answer.responses[0].error_code, {0}, {count})
        elif self.chance.random() < 0.3 and count < 6:
            self.partitions = {count, count + 1}
            rows = [CreatePartitionsTopic(self.name, count + 1, None)]
            answer = link.call(CreatePartitionsRequest(rows, timeout_ms=5000), 3)
            self._settle(answer.results[0].error_code, {count + 1}, {count})
        else:
            value = b"%d %d" % (self.lives, len(self.values))
            data = batch(value, timestamp=int(time.time() * 1000))
            answer = link.call(produce(self.name, data), 8)
            row = answer.responses[0].partition_responses[0]
            if row.error_code == 0:
                assert row.base_offset == len(self.values), (self.name, row.base_offset, self.values)
                self.values.append(value)

    def _settle(self, code: int, after: set[int], before: set[int]) -> None:
        assert code in (0, 7, 56), (self.name, code, self.partitions)
        if code == 0:
            self.partitions = after
        elif code == 56:
            self.partitions = before

    def verify(self, link: Link) -> None:
        answer: Any = link.call(metadata(self.name, create=False), 9)
        topic = answer.topics[0]
        assert topic.error_code in (0, 3), (self.name, topic)
        assert len(topic.partitions) in self.partitions, (self.name, len(topic.partitions), self.partitions)
        assert all(row.leader_id == 1 for row in topic.partitions)
        self.partitions = {len(topic.partitions)}
        if not topic.partitions:
            return
        end = _offset(link, self.name, LATEST)
        if 0 in self.partitions:
            return
        assert end in (len(self.values), len(self.values) + 1), (self.name, end, self.values)
        if self.values:
            got: Any = link.call(fetch(self.name, 0), 11)
            found = [value for _, value in records(got.responses[0].partitions[0].records)]
            assert found[: len(self.values)] == self.values, self.name
        if end > len(self.values):
            self.values.append(b"under way")


class Group(Owner):
    """Commits, deletes offsets and the group."""

    def __init__(self, name: str, seed: int, topic: str) -> None:
        super().__init__(name, seed)
        self.topic = topic
        self.offsets: dict[int, set[int]] = {0: {-1}}
        self.next = 0

    def change(self, link: Link) -> None:
        link.call(FindCoordinatorRequest(self.name), 2)
        kind = self.chance.random()
        before = set(self.offsets[0])
        if kind < 0.7:
            self.next += 1
            self.offsets[0] = before | {self.next}
            rows = [OffsetCommitRequestPartition(0, self.next)]
            request = OffsetCommitRequest(self.name, topics=[OffsetCommitRequestTopic(self.topic, rows)])
            request.generation_id_or_member_epoch = -1
            answer: Any = link.call(request, 8)
            self._settle(answer.topics[0].partitions[0].error_code, self.next, before)
        elif kind < 0.85:
            self.offsets[0] = before | {-1}
            of_topic = OffsetDeleteRequestTopic(self.topic, [OffsetDeleteRequestPartition(0)])
            answer = link.call(OffsetDeleteRequest(self.name, topics=[of_topic]), 0)
            code = answer.error_code or answer.topics[0].partitions[0].error_code
            self._settle(code, -1, before)
        else:
            self.offsets[0] = before | {-1}
            answer = link.call(DeleteGroupsRequest([self.name]), 2)
            self._settle(answer.results[0].error_code, -1, before)

    def _settle(self, code: int, offset: int, before: set[int]) -> None:
        if code == 0:
            self.offsets[0] = {offset}
        elif code != 7:
            self.offsets[0] = before

    def verify(self, link: Link) -> None:
        answer: Any = None

        link.call(FindCoordinatorRequest(self.name), 2)

        def ask() -> int:
            nonlocal answer
            answer = link.call(OffsetFetchRequest(self.name, topics=None), 5)
            return int(answer.error_code)

        assert insist(ask) == 0
        found = {row.committed_offset for topic in answer.topics for row in topic.partitions} or {-1}
        assert found <= self.offsets[0], (self.name, found, self.offsets)
        self.offsets[0] = found


class ProducerIds(Owner):
    """Ids are given out once."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, seed)
        self.seen: set[int] = set()

    def change(self, link: Link) -> None:
        answer: Any = link.call(InitProducerIdRequest(None, transaction_timeout_ms=1), 4)
        if answer.error_code == 0:
            assert answer.producer_id not in self.seen
            self.seen.add(answer.producer_id)

    def verify(self, link: Link) -> None:
        self.change(link)


class Client(threading.Thread):
    """Has an owner change things until the connection breaks."""

    def __init__(self, owner: Owner, port: int) -> None:
        super().__init__(daemon=True)
        self.owner = owner
        self.port = port
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with Link(self.port) as link:
                while True:
                    self.owner.change(link)
                    self.owner.done += 1
        except (OSError, EOFError):
            pass
        except BaseException as failure:  # noqa: BLE001 - raised by the test
            self.failure = failure


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("durability", ["fsync", "pagecache"])
def test_all_that_was_answered_is_there(tmp_path: Path, durability: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    owners: list[Owner] = [
        Records("plain", seed, compact=False),
        Records("compacted", seed, compact=True),
        Settings("plain", seed, compact=False),
        Settings("compacted", seed, compact=True),
        Topics("comes-and-goes", seed),
        Topics("another", seed),
        Group("g", seed, "plain"),
        Group("h", seed, "compacted"),
        ProducerIds("ids", seed),
    ]
    second = ("--data-dir", f"{tmp_path / 'data'},{tmp_path / 'more'}")
    broker = BrokerProcess(tmp_path, settings=SETTINGS | {"fastlog.durability": durability})
    broker.start(*second)
    try:
        for number in range(ROUNDS):
            clients = [Client(owner, broker.port) for owner in owners]
            goal = [owner.done + moments.randrange(3, 40) for owner in owners]
            for client in clients:
                client.start()
            end = time.monotonic() + 20
            while time.monotonic() < end and any(
                owner.done < least for owner, least in zip(owners, goal, strict=True)
            ):
                time.sleep(0.01)
            if number % 3 == 2:
                broker.stop()
            else:
                broker.kill()
            for client in clients:
                client.join(30)
                if client.failure is not None:
                    raise client.failure
            broker.start(*second)
            with Link(broker.port) as link:
                for owner in owners:
                    owner.verify(link)
        assert "Traceback" not in broker.log_text
        assert all(owner.done for owner in owners)
    finally:
        broker.kill()
