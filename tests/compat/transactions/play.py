"""One scenario at one broker: short ways to ask about one transactional id, and notes of all answers.

Producer ids are noted by their order: p0, p1, ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fastlog.coordination.transactions.state import TransactionEntry
from fastlog.errors import ErrorCode
from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    DeleteTopicsRequest,
)
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest
from tests.harness.waiting import wait_until
from tests.integration.requests import list_offset
from tests.integration.running import RawClient
from tests.integration.transaction_broker import Producer, ask_as_broker
from tests.integration.transactional_client import (
    Identity,
    Partition,
    batch_of,
    commit_offsets,
    fetched,
    mark,
    offset_of,
    produce,
    values_in,
)

FAR: Final = 1 << 40
"""A producer id that nobody has."""
LATER: Final = 1000
"""The epoch of a coordinator that is to come."""
SECONDS: Final = 60
_PASSING: Final = frozenset({ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.NOT_ENOUGH_REPLICAS})

Note = tuple[str, Any]
Scenario = Callable[["Play"], Iterator[None] | None]
"""One that yields goes on when both brokers were killed and started again."""


class Play:
    """One id, and topics and groups of its own."""

    def __init__(self, port: int, name: str, *, finds: bool = True) -> None:
        self.port = port
        self.name = name
        self._finds = finds
        self.notes: list[Note] = []
        self.rewritten: dict[str, TransactionEntry] = {}
        """What `__transaction_state` is to say of ids after the restart."""
        self._ids: list[int] = []
        self.reconnect()

    def reconnect(self) -> None:
        """The broker was started again."""
        self.client = RawClient(self.port, timeout=SECONDS)
        self.producer = Producer(self.client, self.name, finds=self._finds)

    def close(self) -> None:
        """No more is asked."""
        self.client.socket.close()

    # -- notes --------------------

    def note(self, what: str, answer: Any) -> None:
        """An answer."""
        self.notes.append((what, answer))

    def known(self, producer_id: int) -> str | int:
        """A producer id as it is noted."""
        if producer_id < 0:
            return producer_id
        if producer_id not in self._ids:
            self._ids.append(producer_id)
        return f"p{self._ids.index(producer_id)}"

    # -- topics --------------------

    def topic(self, suffix: str = "", *, partitions: int = 2, **configs: str) -> str:
        """Makes a topic; returns its name when it is led."""
        name = f"{self.name}{suffix}"
        rows = [CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()]
        topic = CreatableTopic(name, partitions, 1, configs=rows)
        (made,) = self.client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=30_000), 5).topics
        assert made.error_code in (0, ErrorCode.TOPIC_ALREADY_EXISTS), made
        wait_until(
            lambda: not any(self.end_of((name, number))[0] for number in range(partitions)),
            "it is led",
            seconds=SECONDS,
            pause=0.02,
        )
        return name

    def delete_topic(self, name: str) -> None:
        """Deletes a topic; returns when it is gone."""
        self.client.ask(DeleteTopicsRequest(topic_names=[name], timeout_ms=30_000), 4)
        wait_until(lambda: self.end_of((name, 0))[0], "it is gone", seconds=SECONDS, pause=0.02)

    def end_of(self, partition: Partition) -> tuple[int, int]:
        """(code, end of its log)."""
        (topic,) = self.client.ask(list_offset(partition[0], -1, partition=partition[1]), 5).topics
        return topic.partitions[0].error_code, topic.partitions[0].offset

    # -- the coordinator --------------------

    def init(self, identity: Identity = (-1, -1), **how: Any) -> Identity:
        """The answer to InitProducerId is noted."""
        code, producer_id, epoch = self.producer.init(identity, **how)
        self.note(f"init {how}", (name_of(code), self.known(producer_id), epoch))
        return producer_id, epoch

    def initialized(self, **how: Any) -> Identity:
        """The identity, once nothing is under way."""
        producer_id, epoch = self.producer.initialized(**how)
        self.note(f"initialized {sorted(how)}", (self.known(producer_id), epoch))
        return producer_id, epoch

    def add(
        self, identity: Identity, *partitions: Partition, version: int = 3, at_once: bool = False
    ) -> None:
        """AddPartitionsToTxn, once the transaction before is complete."""
        codes = _settled(
            lambda: self.producer.add(identity, *partitions, version=version),
            lambda found: not at_once and set(found.values()) <= _PASSING,
        )
        self.note(f"add {partitions} {version}", names_of(codes))

    def add_as_broker(self, *asked: Any, version: int = 4) -> None:
        """The same for several, and to verify."""
        answer = ask_as_broker(self.client, *asked, version=version)
        self.note(
            f"add as broker {version}", {name: names_of(codes) for name, codes in sorted(answer.items())}
        )

    def add_offsets(self, identity: Identity, group: str, *, version: int = 3, at_once: bool = False) -> None:
        """AddOffsetsToTxn, once the transaction before is complete."""
        code = _settled(
            lambda: (
                self.client.ask(
                    AddOffsetsToTxnRequest(self.producer.name, *identity, group), version
                ).error_code
            ),
            lambda found: not at_once and found in _PASSING,
        )
        self.note(f"add offsets {group} {version}", name_of(code))

    def end(
        self, identity: Identity, *, commits: bool = True, version: int = 4, at_once: bool = False
    ) -> Identity:
        """EndTxn, once what was before is complete; the identity in its answer."""
        code, producer_id, epoch = _settled(
            lambda: self.producer.end(identity, commits=commits, version=version),
            lambda found: not at_once and found[0] in _PASSING,
        )
        self.note(f"end {commits} {version}", (name_of(code), self.known(producer_id), epoch))
        return producer_id, epoch

    def ended(self, identity: Identity, *, commits: bool = True, version: int = 4) -> Identity:
        """The same, when all markers are written."""
        following = self.end(identity, commits=commits, version=version)
        self.describe("CompleteCommit" if commits else "CompleteAbort")
        return following

    def describe(self, state: str) -> None:
        """What DescribeTransactions tells, once it is in this state."""
        found = self.producer.wait_for(state)
        self.note(
            f"describe {state}",
            (
                name_of(found.error_code),
                self.known(found.producer_id),
                found.producer_epoch,
                found.transaction_timeout_ms,
                # Kafka's memory keeps the start of the transaction before, its log does not.
                state != "Empty" and found.transaction_start_time_ms > 0,
                sorted((topic.topic, sorted(topic.partitions)) for topic in found.topics),
            ),
        )

    # -- leaders --------------------

    def put(
        self,
        identity: Identity,
        sequence: int,
        partition: Partition,
        *,
        value: bytes = b"v",
        version: int = 9,
        at_once: bool = False,
        transactional: bool = True,
        name: str | None = "",
    ) -> None:
        """One record to one partition; `name`: a transactional id other than its own."""
        batch = batch_of(identity, sequence, [value], transactional=transactional)
        self.put_rows((partition, batch), version=version, at_once=at_once, name=name)

    def put_rows(
        self, *rows: tuple[Partition, bytes], version: int = 9, at_once: bool = False, name: str | None = ""
    ) -> None:
        """Batches to partitions, in one request."""
        transactional_id = self.name if name == "" else name
        found = _settled(
            lambda: produce(self.client, transactional_id, *rows, version=version),
            lambda told: not at_once and all(code in _PASSING for code, _ in told),
        )
        # Topics are answered in any order.
        told = sorted((name_of(code), offset) for code, offset in found)
        self.note(f"produce {[partition for partition, _ in rows]} {version}", told)

    def log(self, partition: Partition) -> None:
        """What consumers of what is committed find in a partition."""
        row = fetched(self.client, partition)
        aborted = [(self.known(one.producer_id), one.first_offset) for one in row.aborted_transactions or ()]
        self.note(
            f"log {partition}",
            (name_of(row.error_code), row.last_stable_offset, row.high_watermark, values_in(row), aborted),
        )

    def producers(self, partition: Partition) -> None:
        """DescribeProducers of a partition."""
        asked = DescribeProducersRequest([TopicRequest(partition[0], [partition[1]])])
        (topic,) = self.client.ask(asked, 0).topics
        (row,) = topic.partitions
        told = [
            (
                self.known(one.producer_id),
                one.producer_epoch,
                one.last_sequence,
                # It rises when a broker is started again, by one or more.
                min(one.coordinator_epoch, 1),
                one.current_txn_start_offset,
            )
            for one in sorted(row.active_producers, key=lambda one: one.producer_id)
        ]
        self.note(f"producers {partition}", (name_of(row.error_code), told))

    def mark(self, identity: Identity, *partitions: Partition, **how: Any) -> None:
        """WriteTxnMarkers."""
        codes = mark(self.client, identity, *partitions, **how)
        self.note(f"mark {partitions} {how}", [name_of(code) for code in codes])

    def hold(self, identity: Identity, partition: Partition) -> None:
        """The marker for a partition of the open transaction cannot be written from now on.

        Its leader takes the coordinator for an old one, who leaves the transaction to a later one: it stays
        decided and incomplete.
        """
        self.mark(identity, partition, coordinator_epoch=LATER)

    # -- groups --------------------

    def commit(
        self,
        identity: Identity,
        group: str,
        offsets: dict[Partition, int],
        *,
        version: int = 3,
        member: tuple[str, str | None, int] = ("", None, -1),
        at_once: bool = False,
        what: str = "",
    ) -> None:
        """TxnOffsetCommit, when nothing is under way. `member`: its id, instance, generation."""
        codes = _settled(
            lambda: commit_offsets(
                self.client, self.name, group, identity, offsets, version=version, member=member
            ),
            lambda found: not at_once and found <= _PASSING,
        )
        told = sorted(name_of(code) for code in codes)
        self.note(f"commit {group} {offsets} {what} {version}", told)

    def offset(self, group: str, partition: Partition, *, stable: bool = False) -> None:
        """What OffsetFetch tells of a partition."""
        code, offset = offset_of(self.client, group, partition, stable=stable)
        self.note(f"offset {group} {partition} {stable}", (name_of(code), offset))


def name_of(code: int) -> str:
    """An error code as it is noted."""
    return ErrorCode.of(code).name


def names_of(codes: dict[Partition, int]) -> dict[Partition, str]:
    """The same of partitions."""
    return {key: name_of(code) for key, code in sorted(codes.items())}


def names(codes: Sequence[int]) -> list[str]:
    """The same, in their order."""
    return [name_of(code) for code in codes]


def _settled(ask: Callable[[], Any], passes: Callable[[Any], bool]) -> Any:
    """The answer to a question that is asked until nothing is under way."""
    deadline = time.monotonic() + SECONDS
    while passes(found := ask()):
        assert time.monotonic() < deadline, f"still {found}"
        time.sleep(0.02)
    return found
