"""What was reported against other brokers and clients of transactions, made again on this one.

| test           | report                                                                                |
|----------------|---------------------------------------------------------------------------------------|
| `stuck`        | twmb/kcl #10 (KAFKA-12671): a late batch begins a transaction that nobody ends        |
| `reloaded`     | apache/kafka #21176 (KAFKA-19999): markers of a decided transaction sent again        |
| `raised once`  | apache/kafka #19910 (KAFKA-19367): a fence raised the epoch twice, and too far        |
| `timed out`    | apache/kafka #21506 (KAFKA-20090): a time-out at the last epoch, then an abort        |
| `used up`      | apache/kafka #8239 (KAFKA-9666): fences that cannot be written use epochs up          |
| `fast`         | apache/kafka #18467 (KAFKA-18464): an abort at once after a commit fenced itself      |
| `late abort`   | confluentinc/librdkafka #3297: an abort after the time-out was fatal                  |
| `told twice`   | redpanda-data/redpanda #17921: a commit that is asked for twice, then the next one    |
| `for ever`     | redpanda-data/redpanda #14624, 17827: decided, and never complete, over restarts      |
| `offsets only` | redpanda-data/redpanda #8236: a time-out with nothing but positions left these open   |
| `nothing done` | tulios/kafkajs #1388: the end of nothing made a producer unusable                     |
| `at once`      | confluentinc/librdkafka #3221: positions sent at once after a commit                  |
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fastlog.coordination.transactions.state import LAST_GIVEN_EPOCH, TransactionEntry, TransactionState
from fastlog.errors import ErrorCode as E
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest
from tests.compat.transactions.stage import append_state
from tests.harness.waiting import wait_until
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import Producer
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

SETTINGS: Final = {
    "transaction.state.log.num.partitions": "2",
    "offsets.topic.num.partitions": "1",
    "num.partitions": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "50",
}
STATE_TOPIC: Final = "__transaction_state"
LONG_MS: Final = 900_000
JOINS, RAISES = 12, 5
RETRIED: Final = {int(E.CONCURRENT_TRANSACTIONS), int(E.NOT_ENOUGH_REPLICAS)}


class Place:
    """A broker, which may be started again, and a topic of the test."""

    def __init__(self, directory: Path, name: str, **settings: str) -> None:
        self.running = RunningBroker(directory, {**SETTINGS, **settings})
        self.running.start()
        self.name = name
        self.at: Partition = (name, 0)
        self.connect()
        make_topic(self.client, name)
        self.producer = Producer(self.client, name)

    def connect(self) -> None:
        """After a start."""
        self.client = RawClient(self.running.port, timeout=30)

    def close(self) -> None:
        """Nothing is asked any more."""
        self.client.socket.close()
        self.running.close()

    def again(self, **entries: TransactionEntry) -> None:
        """The broker is stopped and started; meanwhile ids may have come to something else."""
        self.client.socket.close()
        assert self.running.stop()
        for entry in entries.values():
            append_state(self.running.directory, self.name, entry)
            # It knows where logs ended when they were closed.
            (self.running.directory / ".kafka_cleanshutdown").unlink(missing_ok=True)
        self.running.start()
        self.connect()
        self.producer = Producer(self.client, self.name)

    def put(self, identity: Identity, sequence: int, value: bytes = b"v", version: int = 9) -> int:
        """One record, once nothing is under way any more; the code."""
        found: list[int] = []

        def is_told() -> bool:
            row = self.at, batch_of(identity, sequence, [value])
            found[:] = [produce(self.client, self.name, row, version=version)[0][0]]
            return found[0] not in RETRIED

        wait_until(is_told, lambda: f"still {found}", seconds=20, pause=0.02)
        return found[0]

    def end(self, identity: Identity, *, commits: bool = True, version: int = 4) -> tuple[int, int, int]:
        """EndTxn, once nothing is under way any more."""
        found: list[tuple[int, int, int]] = []

        def is_told() -> bool:
            found[:] = [self.producer.end(identity, commits=commits, version=version)]
            return found[0][0] not in RETRIED

        wait_until(is_told, lambda: f"still {found}", seconds=20, pause=0.02)
        return found[0]

    def alter(self, topic: str, key: str, value: str) -> None:
        """A setting of a topic."""
        row = AlterConfigsResource(2, topic, [AlterableConfig(key, 0, value)])
        answer: Any = self.client.ask(IncrementalAlterConfigsRequest([row]), 1)
        assert [one.error_code for one in answer.responses] == [0]

    def seen(self) -> list[bytes | None]:
        """All that consumers of what is committed are given, aborted records left out."""
        row = fetched(self.client, self.at)
        assert row.last_stable_offset == row.high_watermark
        return [] if row.aborted_transactions else values_in(row)


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    level = getattr(request, "param", 2)
    name = re.sub("[^a-z0-9_]+", ".", request.node.name)
    place = Place(tmp_path / "data", name, **{"fastlog.default.transaction.version": str(level)})
    yield place
    place.close()


def entry_of(
    identity: Identity, state: TransactionState, *partitions: Partition, **how: Any
) -> TransactionEntry:
    now_ms = time.time_ns() // 1_000_000
    return TransactionEntry(
        *identity, LONG_MS, state, frozenset(partitions), last_update_ms=now_ms, start_ms=now_ms, **how
    )


@pytest.mark.parametrize("version", [9, 11, JOINS])
def test_stuck(place: Place, version: int) -> None:
    """After the abort, in the epoch of the transaction; and after one that its time-out has ended."""
    identity = place.producer.initialized()
    if version < JOINS:
        place.producer.added(identity, place.at)
    assert place.put(identity, 0, b"aborted", version) == 0
    ends = RAISES if version == JOINS else 4
    assert place.end(identity, commits=False, version=ends)[0] == 0
    place.producer.wait_for("CompleteAbort")
    assert place.put(identity, 1, b"late", version) not in (0, E.OUT_OF_ORDER_SEQUENCE_NUMBER)
    row = fetched(place.client, place.at)
    assert (row.last_stable_offset, row.high_watermark) == (2, 2)
    assert values_in(row) == [b"aborted"]


@pytest.mark.parametrize("commits", [True, False])
def test_reloaded(place: Place, commits: bool) -> None:
    """All markers were written, and the broker stopped before it had written that."""
    identity = place.producer.initialized(timeout_ms=LONG_MS)
    assert place.put(identity, 0, b"first", JOINS) == 0
    code, *following = place.end(identity, commits=commits, version=RAISES)
    assert (code, following) == (0, [identity[0], 1])
    place.producer.wait_for("CompleteCommit" if commits else "CompleteAbort")
    state = TransactionState.PREPARE_COMMIT if commits else TransactionState.PREPARE_ABORT
    decided = entry_of((identity[0], 1), state, place.at, client_version=2)
    place.again(decided=decided)
    place.producer.wait_for("CompleteCommit" if commits else "CompleteAbort")
    # The answer of before was lost; then the next transaction.
    assert place.end(identity, commits=commits, version=RAISES) == (0, *following)
    assert place.put((identity[0], 1), 0, b"second", JOINS) == 0
    assert place.end((identity[0], 1), version=RAISES) == (0, identity[0], 2)
    place.producer.wait_for("CompleteCommit")
    row = fetched(place.client, place.at)
    assert values_in(row) == [b"first", b"second"]
    assert [one.first_offset for one in row.aborted_transactions] == [0] * (not commits)
    assert row.last_stable_offset == row.high_watermark == 5


@pytest.mark.parametrize("epoch", [3, LAST_GIVEN_EPOCH - 1, LAST_GIVEN_EPOCH])
def test_raised_once(place: Place, epoch: int) -> None:
    """Somebody asks for the id while its transaction is open."""
    producer_id, _ = place.producer.initialized(timeout_ms=LONG_MS)
    opened = entry_of((producer_id, epoch), TransactionState.ONGOING, place.at, client_version=2)
    place.again(opened=opened)
    assert place.put((producer_id, epoch), 0, b"aborted", JOINS) == 0
    assert place.producer.init()[0] == E.CONCURRENT_TRANSACTIONS
    again = place.producer.initialized()
    if epoch < LAST_GIVEN_EPOCH - 1:
        assert again == (producer_id, epoch + 2)
    else:
        assert again[0] > producer_id
    assert place.put((producer_id, epoch), 1, version=JOINS) not in (0, E.UNKNOWN_SERVER_ERROR)
    assert place.put(again, 0, b"new", JOINS) == 0
    assert place.end(again, version=RAISES)[0] == 0
    place.producer.wait_for("CompleteCommit")
    row = fetched(place.client, place.at)
    assert [one.first_offset for one in row.aborted_transactions] == [0]
    assert row.last_stable_offset == row.high_watermark == 4


def test_timed_out(place: Place) -> None:
    """At the last epoch; its producer aborts afterwards, and goes on."""
    producer_id, _ = place.producer.initialized(timeout_ms=LONG_MS)
    last = producer_id, LAST_GIVEN_EPOCH
    opened = entry_of(last, TransactionState.ONGOING, place.at, client_version=2)
    place.again(opened=TransactionEntry(*last, 1, opened.state, opened.partitions, 1, 1, client_version=2))
    place.producer.wait_for("CompleteAbort")
    code, following, epoch = place.end(last, commits=False, version=RAISES)
    assert (code, following > producer_id, epoch) == (0, True, 0)
    assert place.end(last, version=RAISES)[0] == E.PRODUCER_FENCED
    # Of the next one, also when the answer was lost in a restart.
    place.again()
    assert place.end(last, commits=False, version=RAISES) == (0, following, 0)
    assert place.producer.init(last) == (0, following, 0)
    assert place.put((following, 0), 0, b"new", JOINS) == 0
    assert place.end((following, 0), version=RAISES) == (0, following, 1)
    place.producer.wait_for("CompleteCommit")
    assert place.seen() == [b"new"]


@pytest.mark.parametrize(("place", "version"), [(0, 9), (2, 9), (2, JOINS)], indirect=["place"])
def test_used_up(place: Place, version: int) -> None:
    """Nothing can be written for a while, and many ask for the id."""
    identity = place.producer.initialized(timeout_ms=LONG_MS)
    if version < JOINS:
        place.producer.added(identity, place.at)
    assert place.put(identity, 0, version=version) == 0
    place.alter(STATE_TOPIC, "max.message.bytes", "50")
    for _ in range(50):
        assert place.producer.init()[0] == E.UNKNOWN_SERVER_ERROR
    assert place.end(identity, version=RAISES if version == JOINS else 4)[0] in (
        E.UNKNOWN_SERVER_ERROR,
        E.PRODUCER_FENCED,
    )
    place.alter(STATE_TOPIC, "max.message.bytes", "1048588")
    producer_id, epoch = place.producer.initialized()
    assert (producer_id, epoch <= 2) == (identity[0], True)


def test_fast(place: Place) -> None:
    """A commit, and without a pause an abort of nothing with the epoch that it gave."""
    identity = place.producer.initialized()
    for number in range(40):
        assert place.put(identity, 0, b"%d" % number, JOINS) == 0
        code, *following = place.end(identity, version=RAISES)
        assert (code, following) == (0, [identity[0], identity[1] + 1])
        code, *following = place.end((following[0], following[1]), commits=False, version=RAISES)
        assert (code, following) == (0, [identity[0], identity[1] + 2])
        identity = following[0], following[1]
    assert place.seen() == [b"%d" % number for number in range(40)]


@pytest.mark.parametrize("version", [1, 3, 4])
def test_late_abort(place: Place, version: int) -> None:
    """The owner of a transaction that was too long asks for its next epoch, and goes on."""
    identity = place.producer.initialized(timeout_ms=100)
    place.producer.added(identity, place.at)
    assert place.put(identity, 0, b"aborted") == 0
    place.producer.wait_for("CompleteAbort")
    for commits in (False, True):
        code = place.end(identity, commits=commits, version=version)[0]
        assert code == (E.PRODUCER_FENCED if version > 1 else E.INVALID_PRODUCER_EPOCH)
    code, *following = place.producer.init(identity, timeout_ms=LONG_MS)
    assert (code, following) == (0, [identity[0], identity[1] + 1])
    own = following[0], following[1]
    place.producer.added(own, place.at)
    assert place.put(own, 0, b"new") == 0
    assert place.end(own, version=version)[0] == 0
    place.producer.wait_for("CompleteCommit")
    row = fetched(place.client, place.at)
    assert [one.first_offset for one in row.aborted_transactions] == [0]
    assert row.last_stable_offset == row.high_watermark == 4


@pytest.mark.parametrize("version", [4, RAISES])
def test_told_twice(place: Place, version: int) -> None:
    identity = place.producer.initialized()
    for number in range(20):
        sequence = 0 if version == RAISES else number
        if version < RAISES:
            place.producer.added(identity, place.at)
        assert place.put(identity, sequence, b"%d" % number, JOINS if version == RAISES else 9) == 0
        told = {place.end(identity, version=version) for _ in range(3)}
        assert len(told) == 1
        ((code, *following),) = told
        assert code == 0
        if version == RAISES:
            identity = following[0], following[1]
    place.producer.wait_for("CompleteCommit")
    assert place.seen() == [b"%d" % number for number in range(20)]


def test_for_ever(place: Place) -> None:
    """A partition that takes nothing of a marker's size: markers are the broker's own, and it does not stay
    prepared through one start after the other."""
    identity = place.producer.initialized(timeout_ms=LONG_MS)
    place.producer.added(identity, place.at, (place.name, 1))
    assert place.put(identity, 0, b"kept") == 0
    place.alter(place.name, "max.message.bytes", "50")
    assert place.end(identity)[0] == 0
    place.producer.wait_for("CompleteCommit")
    assert place.seen() == [b"kept"]
    place.again()
    assert place.producer.describe().transaction_state == "CompleteCommit"
    place.alter(place.name, "max.message.bytes", "1048588")
    assert place.seen() == [b"kept"]
    assert place.producer.initialized(identity=identity) == (identity[0], identity[1] + 1)


def test_offsets_only(place: Place) -> None:
    identity = place.producer.initialized(timeout_ms=200)
    asked = AddOffsetsToTxnRequest(place.name, *identity, "g")
    wait_until(lambda: place.client.ask(asked, 3).error_code == 0, "the group is served", seconds=20)
    _commit(place, identity, place.at, 5)
    assert offset_of(place.client, "g", place.at, stable=True)[0] == E.UNSTABLE_OFFSET_COMMIT
    place.producer.wait_for("CompleteAbort")
    assert offset_of(place.client, "g", place.at, stable=True) == (0, -1)
    again = place.producer.initialized()
    assert place.client.ask(AddOffsetsToTxnRequest(place.name, *again, "g"), 3).error_code == 0
    _commit(place, again, place.at, 6)
    assert place.end(again)[0] == 0
    place.producer.wait_for("CompleteCommit")
    assert offset_of(place.client, "g", place.at, stable=True) == (0, 6)


@pytest.mark.parametrize("commits", [True, False])
def test_nothing_done(place: Place, commits: bool) -> None:
    identity = place.producer.initialized()
    for version in range(5):
        assert place.end(identity, commits=commits, version=version)[0] == E.INVALID_TXN_STATE
    place.producer.added(identity, place.at)
    assert place.put(identity, 0, b"kept") == 0
    assert place.end(identity)[0] == 0
    place.producer.wait_for("CompleteCommit")
    assert place.seen() == [b"kept"]


def test_at_once(place: Place) -> None:
    """Positions of one transaction after the other, without a pause: all of it can be retried."""
    identity = place.producer.initialized()
    make_topic(place.client, "read")
    for number in range(40):
        asked = AddOffsetsToTxnRequest(place.name, *identity, "g")
        wait_until(lambda asked=asked: _is_added(place, asked), "added", seconds=20, pause=0.01)  # type: ignore[misc]
        _commit(place, identity, ("read", 0), number)
        assert place.end(identity, commits=number % 3 > 0)[0] == 0
    place.producer.wait_for("CompleteAbort")
    assert offset_of(place.client, "g", ("read", 0), stable=True) == (0, 38)


def _commit(place: Place, identity: Identity, at: Partition, offset: int) -> None:
    found: list[set[int]] = []

    def is_done() -> bool:
        found[:] = [commit_offsets(place.client, place.name, "g", identity, {at: offset})]
        return found[0] not in ({int(E.NOT_COORDINATOR)}, {int(E.COORDINATOR_LOAD_IN_PROGRESS)})

    wait_until(is_done, lambda: f"still {found}", seconds=20, pause=0.02)
    assert found == [{0}]


def _is_added(place: Place, asked: AddOffsetsToTxnRequest) -> bool:
    code = place.client.ask(asked, 3).error_code
    assert code in (0, E.CONCURRENT_TRANSACTIONS, E.COORDINATOR_NOT_AVAILABLE, E.COORDINATOR_LOAD_IN_PROGRESS)
    return bool(code == 0)


def test_an_administrator_marks_the_coordinators_own_topic(place: Place) -> None:
    """WriteTxnMarkers names `__transaction_state`: its records are none of the marker's business."""
    identity = place.producer.initialized(timeout_ms=LONG_MS)
    place.producer.added(identity, place.at)
    assert mark(place.client, (700, 3), (STATE_TOPIC, 0), (STATE_TOPIC, 1)) == [0, 0]
    place.again()
    assert place.put(identity, 0, b"kept") == 0
    assert place.end(identity)[0] == 0
    place.producer.wait_for("CompleteCommit")
    assert place.seen() == [b"kept"]
