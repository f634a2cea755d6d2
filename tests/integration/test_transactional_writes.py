"""What a leader takes in transactions: records, markers and offsets of groups, on one broker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.coordination.transactions.completions import Marker
from fastlog.coordination.transactions.verification import Codes
from fastlog.errors import ErrorCode as E
from fastlog.server.transaction_parts import TransactionParts
from fastlog.wire.messages.group_admin import DeleteGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from fastlog.wire.messages.topics import DeleteTopicsRequest
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker
from tests.integration.test_admin_configs import DELETE, SET, TOPIC, alter
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import (
    Identity,
    batch_of,
    commit_offsets,
    fetched,
    mark,
    offset_of,
    produce,
    values_in,
)

SETTINGS = {
    "transaction.state.log.num.partitions": "2",
    "offsets.topic.num.partitions": "2",
    "num.partitions": "2",
}
NO_ID = -1, -1
RAISING = 5
JOINING = 12


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One for all tests: each has a topic and ids of its own."""
    running = RunningBroker(tmp_path_factory.mktemp("transactional"), SETTINGS)
    running.start()
    yield running
    running.close()


@pytest.fixture
def client(running: RunningBroker) -> Iterator[RawClient]:
    with running.connect() as connection:
        yield connection


class Case:
    """A topic, a group and a producer of a test."""

    def __init__(self, client: RawClient, name: str) -> None:
        self.client = client
        self.name = self.group = name
        self.at = name, 0
        make_topic(client, name)
        self.producer = Producer(client, name)

    def put(
        self, identity: Identity, sequence: int, value: bytes = b"v", *, version: int = 9, partition: int = 0
    ) -> int:
        """Writes one record; the code."""
        row = (self.name, partition), batch_of(identity, sequence, [value])
        ((code, _),) = produce(self.client, self.name, row, version=version)
        return code

    def begun(self) -> Identity:
        """A producer with the topic's first partition in its transaction."""
        identity = self.producer.initialized()
        self.producer.added(identity, self.at)
        return identity

    def ended(self, identity: Identity, *, commits: bool = True) -> None:
        """The transaction is over, markers and all."""
        assert self.producer.end(identity, commits=commits)[0] == 0
        self.producer.wait_for("CompleteCommit" if commits else "CompleteAbort")

    def add_offsets(self, identity: Identity) -> None:
        """The group's partition joins."""
        asked = AddOffsetsToTxnRequest(self.name, *identity, self.group)
        assert self.client.ask(asked, 3).error_code == 0


@pytest.fixture
def case(client: RawClient, request: pytest.FixtureRequest) -> Case:
    return Case(client, re.sub("[^a-z0-9_]+", ".", request.node.name))


# -- records --------------------


def test_what_is_committed_is_read_and_what_is_aborted_is_listed(case: Case) -> None:
    identity = case.begun()
    assert case.put(identity, 0, b"kept") == 0
    row = fetched(case.client, case.at)
    assert (row.last_stable_offset, row.high_watermark, values_in(row)) == (0, 1, [])
    case.ended(identity)
    case.producer.added(identity, case.at)
    assert case.put(identity, 1, b"dropped") == 0
    case.ended(identity, commits=False)
    row = fetched(case.client, case.at)
    assert values_in(row) == [b"kept", b"dropped"]
    assert [(it.producer_id, it.first_offset) for it in row.aborted_transactions] == [(identity[0], 2)]
    assert row.last_stable_offset == row.high_watermark == 4
    assert fetched(case.client, case.at, committed=False).aborted_transactions is None


@pytest.mark.parametrize(("version", "code"), [(9, E.INVALID_TXN_STATE), (11, E.TRANSACTION_ABORTABLE)])
def test_a_partition_that_was_not_added_takes_nothing(case: Case, version: int, code: E) -> None:
    identity = case.begun()
    assert case.put(identity, 0, version=version, partition=1) == code
    assert fetched(case.client, (case.name, 1)).high_watermark == 0
    assert case.put(identity, 0, version=version) == 0


def test_version_12_adds_the_partition_itself(case: Case) -> None:
    identity = case.producer.initialized()
    for partition in (0, 1):
        assert case.put(identity, 0, version=JOINING, partition=partition) == 0
    assert case.producer.describe().transaction_state == "Ongoing"
    code, producer_id, epoch = case.producer.end(identity, version=RAISING)
    assert (code, producer_id, epoch) == (0, identity[0], identity[1] + 1)
    # At once, while the markers of the last one may be under way: it is asked again by the leader.
    following = producer_id, epoch
    code = case.put(following, 0, version=JOINING)
    while code == E.CONCURRENT_TRANSACTIONS:
        code = case.put(following, 0, version=JOINING)
    assert code == 0
    # The former epoch is fenced, in the log and by the coordinator.
    assert case.put(identity, 1, version=JOINING) == E.INVALID_PRODUCER_EPOCH
    assert case.put(identity, 1, version=JOINING, partition=1) == E.INVALID_PRODUCER_EPOCH


def test_a_late_batch_is_not_taken_after_its_marker(case: Case) -> None:
    identity = case.begun()
    case.ended(identity, commits=False)
    assert case.put(identity, 0) == E.INVALID_TXN_STATE
    case.producer.added(identity, (case.name, 1))
    assert case.put(identity, 0) == E.INVALID_TXN_STATE
    case.ended(identity)
    row = fetched(case.client, case.at)
    assert row.last_stable_offset == row.high_watermark == 1


class LateAnswer:
    """`Verifier` whose answers come when a marker has ended the transaction."""

    def __init__(self, parts: TransactionParts) -> None:
        self._verifier = parts.verifier
        self._writer = parts.writer

    async def verify(
        self, name: str, identity: Identity, partitions: frozenset[tuple[str, int]], *, adds: bool = False
    ) -> Codes:
        """See `Verifier`."""
        codes = await self._verifier.verify(name, identity, partitions, adds=adds)
        marker = Marker(*identity, commits=False, coordinator_epoch=0, partitions=tuple(partitions))
        await self._writer.write([marker])
        return codes

    def is_here(self, _: str) -> bool:
        """See `Verifier`."""
        return False


def test_an_answer_that_is_older_than_a_marker_is_worth_nothing(running: RunningBroker, case: Case) -> None:
    identity = case.begun()
    transactions = running.broker.services.transactions
    assert transactions is not None
    parts: Any = transactions.made
    verifier, parts.verifier = parts.verifier, LateAnswer(parts)
    try:
        assert case.put(identity, 0) == E.INVALID_TXN_STATE
    finally:
        parts.verifier = verifier
    row = fetched(case.client, case.at)
    assert row.last_stable_offset == row.high_watermark == 1
    assert case.put(identity, 0) == 0


def test_fenced_producers_are_told_so(case: Case) -> None:
    former = case.begun()
    assert case.put(former, 0) == 0
    identity = case.producer.initialized()
    assert identity == (former[0], former[1] + 2)
    case.producer.added(identity, case.at)
    assert case.put(former, 1) == E.INVALID_PRODUCER_EPOCH
    assert case.put(identity, 0) == 0


def test_an_unknown_id_and_another_producer_have_no_transaction(case: Case) -> None:
    identity = case.begun()
    batch = batch_of((identity[0] + 1000, 0), 0)
    assert produce(case.client, case.name, (case.at, batch)) == [(E.INVALID_PRODUCER_ID_MAPPING, -1)]
    batch = batch_of(identity, 0)
    assert produce(case.client, "nobody", (case.at, batch)) == [(E.INVALID_PRODUCER_ID_MAPPING, -1)]


def test_two_producers_in_a_request_and_none(case: Case) -> None:
    identity = case.begun()
    other = case.name, 1
    plain = batch_of((-1, -1), -1, transactional=False)
    rows = (case.at, batch_of(identity, 0)), (other, batch_of((identity[0] + 1, 0), 0))
    found = produce(case.client, case.name, *rows)
    assert found == [(E.INVALID_PRODUCER_ID_MAPPING, -1)] * 2
    found = produce(case.client, None, rows[0], (other, plain))
    assert found == [(E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1)] * 2
    # What belongs to no transaction may come along.
    assert produce(case.client, case.name, rows[0], (other, plain)) == [(0, 0), (0, 0)]


def test_outside_of_its_open_transaction_a_producer_writes_nothing(case: Case) -> None:
    identity = case.begun()
    assert case.put(identity, 0) == 0
    outside = batch_of(identity, 1, transactional=False)
    assert produce(case.client, case.name, (case.at, outside)) == [(E.INVALID_TXN_STATE, -1)]


def test_a_transaction_begins_with_sequence_zero_where_epochs_rise(case: Case) -> None:
    identity = case.begun()
    assert case.put(identity, 5, version=JOINING) == E.OUT_OF_ORDER_SEQUENCE_NUMBER
    case.ended(identity, commits=False)
    identity = case.begun()
    # The marker has told the partition of this epoch's predecessor: the first protocol starts anywhere.
    assert case.put(identity, 0, version=11) == 0


def test_a_batch_that_was_written_is_answered_again(case: Case) -> None:
    identity = case.begun()
    row = case.at, batch_of(identity, 0)
    assert produce(case.client, case.name, row) == [(0, 0)]
    assert produce(case.client, case.name, row) == [(0, 0)]
    assert fetched(case.client, case.at).high_watermark == 1


# -- markers --------------------


def test_markers_are_fenced_by_epochs(case: Case) -> None:
    producer = 900_001, 4
    assert mark(case.client, producer, case.at, coordinator_epoch=7) == [0]
    assert mark(case.client, producer, case.at, coordinator_epoch=6) == [E.TRANSACTION_COORDINATOR_FENCED]
    assert mark(case.client, (900_001, 3), case.at, coordinator_epoch=7) == [E.INVALID_PRODUCER_EPOCH]
    # No data was there: nothing is aborted, and nothing hidden.
    row = fetched(case.client, case.at)
    assert (row.aborted_transactions, row.last_stable_offset) == ([], 1)
    assert mark(case.client, producer, ("nothing", 0), (case.name, 9)) == [E.UNKNOWN_TOPIC_OR_PARTITION] * 2


def test_a_late_marker_does_not_end_the_next_transaction(case: Case) -> None:
    identity = case.producer.initialized()
    assert case.put(identity, 0, version=JOINING) == 0
    assert mark(case.client, identity, case.at, transaction_version=2) == [E.INVALID_PRODUCER_EPOCH]
    raised = identity[0], identity[1] + 1
    for _ in range(2):
        assert mark(case.client, raised, case.at, transaction_version=2) == [0]
    row = fetched(case.client, case.at)
    assert row.last_stable_offset == row.high_watermark == 3


@pytest.mark.parametrize("limit", ["0", "60"])
def test_a_limit_of_the_topic_keeps_no_marker_out(case: Case, limit: str) -> None:
    identity = case.begun()
    case.add_offsets(identity)
    assert case.put(identity, 0) == 0
    assert commit_offsets(case.client, case.name, case.group, identity, {case.at: 5}) == {0}
    topics = (case.name, GROUP_METADATA_TOPIC)
    try:
        for topic in topics:
            assert alter(case.client, TOPIC, topic, ("max.message.bytes", SET, limit))[0] is E.NONE
        assert case.put(identity, 1) == E.MESSAGE_TOO_LARGE
        case.ended(identity)
    finally:
        for topic in topics:
            assert alter(case.client, TOPIC, topic, ("max.message.bytes", DELETE, None))[0] is E.NONE
    row = fetched(case.client, case.at)
    assert row.last_stable_offset == row.high_watermark == 2
    assert offset_of(case.client, case.group, case.at, stable=True) == (0, 5)


# -- offsets of groups --------------------


def test_offsets_count_when_the_transaction_commits(case: Case) -> None:
    identity = case.begun()
    case.add_offsets(identity)
    assert commit_offsets(case.client, case.name, case.group, identity, {case.at: 5}) == {0}
    assert offset_of(case.client, case.group, case.at) == (0, -1)
    assert offset_of(case.client, case.group, case.at, stable=True) == (E.UNSTABLE_OFFSET_COMMIT, -1)
    case.ended(identity)
    assert offset_of(case.client, case.group, case.at, stable=True) == (0, 5)
    case.producer.added(identity, case.at)
    case.add_offsets(identity)
    assert commit_offsets(case.client, case.name, case.group, identity, {case.at: 9}) == {0}
    case.ended(identity, commits=False)
    assert offset_of(case.client, case.group, case.at, stable=True) == (0, 5)


def test_version_5_of_the_commit_joins_the_transaction(case: Case) -> None:
    identity = case.producer.initialized()
    offsets = {case.at: 5}
    refused = commit_offsets(case.client, case.name, case.group, identity, offsets, version=4)
    assert refused == {E.TRANSACTION_ABORTABLE}
    refused = commit_offsets(case.client, case.name, case.group, identity, offsets, version=3)
    assert refused == {E.INVALID_TXN_STATE}
    assert commit_offsets(case.client, case.name, case.group, identity, offsets, version=5) == {0}
    assert case.producer.end(identity, version=RAISING)[0] == 0
    case.producer.wait_for("CompleteCommit")
    assert offset_of(case.client, case.group, case.at) == (0, 5)


def test_a_later_commit_goes_before_that_of_the_transaction(case: Case) -> None:
    identity = case.begun()
    case.add_offsets(identity)
    assert commit_offsets(case.client, case.name, case.group, identity, {case.at: 5}) == {0}
    topics = [OffsetCommitRequestTopic(case.name, [OffsetCommitRequestPartition(0, 7)])]
    plain = case.client.ask(OffsetCommitRequest(case.group, topics=topics), 7)
    assert plain.topics[0].partitions[0].error_code == 0
    assert offset_of(case.client, case.group, case.at) == (0, 7)
    assert offset_of(case.client, case.group, case.at, stable=True)[0] == E.UNSTABLE_OFFSET_COMMIT
    case.ended(identity)
    assert offset_of(case.client, case.group, case.at, stable=True) == (0, 7)


def test_who_names_a_generation_must_be_a_member(case: Case) -> None:
    identity = case.begun()
    case.add_offsets(identity)
    offsets = {case.at: 5, ("nothing", 0): 3}

    def told(*member: object) -> set[int]:
        who = member or ("", None, -1)
        return commit_offsets(case.client, case.name, case.group, identity, offsets, member=who)  # type: ignore[arg-type]

    missing = E.UNKNOWN_TOPIC_OR_PARTITION
    assert told("", None, 3) == {E.ILLEGAL_GENERATION, missing}
    assert told() == {0, missing}
    assert told("who", None, 0) == {E.UNKNOWN_MEMBER_ID, missing}
    assert told("who", None, -1) == {0, missing}


def test_deleted_groups_and_topics_take_their_open_offsets_along(case: Case) -> None:
    identity = case.begun()
    case.add_offsets(identity)
    assert commit_offsets(case.client, case.name, case.group, identity, {case.at: 5}) == {0}
    deleted = case.client.ask(DeleteGroupsRequest([case.group]), 2)
    assert deleted.results[0].error_code == 0
    assert commit_offsets(case.client, case.name, case.group, identity, {(case.name, 1): 6}) == {0}
    deleted = case.client.ask(DeleteTopicsRequest(topic_names=[case.name], timeout_ms=10_000), 4)
    assert deleted.responses[0].error_code == 0
    make_topic(case.client, case.name)
    case.ended(identity)
    for partition in (0, 1):
        assert offset_of(case.client, case.group, (case.name, partition), stable=True) == (0, -1)


def test_what_is_open_is_open_after_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    broker = RunningBroker(tmp_path_factory.mktemp("restarted"), SETTINGS)
    broker.start()
    try:
        with broker.connect() as client:
            case = Case(client, "again")
            identity = case.begun()
            case.add_offsets(identity)
            assert case.put(identity, 0, b"before") == 0
            assert commit_offsets(client, case.name, case.group, identity, {case.at: 5}) == {0}
        broker.stop()
        broker.start()
        with broker.connect() as client:
            case = Case(client, "again")
            assert offset_of(client, case.group, case.at, stable=True) == (E.UNSTABLE_OFFSET_COMMIT, -1)
            assert fetched(client, case.at).last_stable_offset == 0
            assert case.put(identity, 1, b"after") == 0
            case.ended(identity)
            assert offset_of(client, case.group, case.at, stable=True) == (0, 5)
            assert values_in(fetched(client, case.at)) == [b"before", b"after"]
    finally:
        broker.close()


def test_a_batch_that_comes_again_in_the_next_transaction_keeps_none_from_being_written(case: Case) -> None:
    """The coordinator is asked about it, since nothing is open yet; it is there, and nobody waits for it."""
    identity = case.begun()
    assert case.put(identity, 0) == 0
    case.ended(identity)
    case.producer.added(identity, case.at)
    assert case.put(identity, 0) == 0
    assert case.put(identity, 1) == 0
    case.ended(identity)
    row = fetched(case.client, case.at)
    assert row.last_stable_offset == row.high_watermark == 4
