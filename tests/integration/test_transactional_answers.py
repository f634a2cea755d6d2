"""How TxnOffsetCommit, WriteTxnMarkers and AddPartitionsToTxn answer what no client asks for on purpose.

Kafka's answers to the same are in tests/compat/test_edges_against_kafka.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastlog.errors import ErrorCode as E
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import Identity, offset_of

SETTINGS = {
    "transaction.state.log.num.partitions": "1",
    "offsets.topic.num.partitions": "1",
    "num.partitions": "3",
    "offset.metadata.max.bytes": "10",
}
T = "t"
LONG = "x" * 11

Row = tuple[int, int, str]
"""Partition, offset, text."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawClient]:
    running = RunningBroker(tmp_path_factory.mktemp("answers"), SETTINGS)
    running.start()
    with running.connect() as connection:
        make_topic(connection, T)
        connection.ask(FindCoordinatorRequest(key="g"), 2)
        yield connection
    running.close()


@pytest.fixture
def producer(client: RawClient, request: pytest.FixtureRequest) -> Producer:
    return Producer(client, request.node.name)


def commit(
    producer: Producer, identity: Identity, *topics: tuple[str, list[Row]], generation: int = -1
) -> list[tuple[str, list[tuple[int, int]]]]:
    """Commits for a group of the producer's name; (topic, [(partition, code)]) in the order of the answer."""
    asked = [
        TxnOffsetCommitRequestTopic(
            topic, [TxnOffsetCommitRequestPartition(at, offset, -1, text) for at, offset, text in rows]
        )
        for topic, rows in topics
    ]
    request = TxnOffsetCommitRequest(
        producer.name, producer.name or "g", *identity, generation_id=generation, topics=asked
    )
    answer = producer.client.ask(request, 3)
    return [
        (topic.name, [(row.partition_index, row.error_code) for row in topic.partitions])
        for topic in answer.topics
    ]


def joined(producer: Producer) -> Identity:
    """The producer's identity, in a transaction with its group's offsets."""
    identity = producer.initialized()
    asked = AddOffsetsToTxnRequest(producer.name, *identity, producer.name)
    assert producer.client.ask(asked, 3).error_code == 0
    return identity


def test_a_commit_without_an_id_makes_no_sense(producer: Producer) -> None:
    producer.name = ""
    rows = [(0, 1, ""), (1, 1, LONG), (9, 1, "")]
    assert commit(producer, (1, 0), (T, rows)) == [
        (T, [(0, E.INVALID_REQUEST), (1, E.INVALID_REQUEST), (9, E.UNKNOWN_TOPIC_OR_PARTITION)])
    ]


@pytest.mark.parametrize("others", [[], [(0, 1, "")]], ids=["alone", "with another"])
def test_long_texts_are_told_when_the_commit_is_let_in(producer: Producer, others: list[Row]) -> None:
    identity = producer.initialized()
    rows = [*others, (1, 1, LONG)]
    every = [at for at, _, _ in rows]
    assert commit(producer, identity, (T, rows)) == [(T, [(at, E.INVALID_TXN_STATE) for at in every])]
    identity = joined(producer)
    assert commit(producer, identity, (T, rows), generation=3) == [
        (T, [(at, E.ILLEGAL_GENERATION) for at in every])
    ]
    codes = [*((at, 0) for at, _, _ in others), (1, E.OFFSET_METADATA_TOO_LARGE)]
    assert commit(producer, identity, (T, rows)) == [(T, codes)]


def test_a_partition_is_committed_once_as_it_was_named_last(producer: Producer) -> None:
    identity = joined(producer)
    rows = [(0, 1, ""), (1, 2, LONG), (2, 3, "")]
    again = [(0, 4, ""), (1, 5, ""), (2, 6, LONG)]
    assert commit(producer, identity, (T, rows), ("nowhere", [(0, 1, "")]), (T, again), ("nowhere", [])) == [
        (T, [(0, 0), (1, 0), (2, E.OFFSET_METADATA_TOO_LARGE)]),
        ("nowhere", [(0, E.UNKNOWN_TOPIC_OR_PARTITION)]),
    ]
    producer.end(identity)
    producer.wait_for("CompleteCommit")
    found = [offset_of(producer.client, producer.name, (T, at)) for at in range(3)]
    assert found == [(0, 4), (0, 5), (0, -1)]


def test_a_commit_of_nothing(producer: Producer) -> None:
    assert commit(producer, producer.initialized()) == []
    assert commit(producer, producer.initialized(), (T, [])) == []


def test_markers_are_answered_once_for_each_producer(producer: Producer) -> None:
    first, second = 1 << 40, 1 << 41

    def marker(producer_id: int, *topics: tuple[str, list[int]]) -> WritableTxnMarker:
        return WritableTxnMarker(
            producer_id, 0, False, [WritableTxnMarkerTopic(name, at) for name, at in topics], 0
        )

    asked = WriteTxnMarkersRequest(
        [
            marker(first, (T, [0, 0]), ("nowhere", [])),
            marker(second, ("nowhere", [1, 0])),
            marker(first, (T, [1]), ("nowhere", [0]), (T, [0])),
            marker(5, (T, [])),
            marker(6),
        ]
    )
    answer = producer.client.ask(asked, 1)
    missing = int(E.UNKNOWN_TOPIC_OR_PARTITION)
    assert [
        (
            found.producer_id,
            [
                (topic.name, [(row.partition_index, row.error_code) for row in topic.partitions])
                for topic in found.topics
            ],
        )
        for found in answer.markers
    ] == [
        (first, [(T, [(0, 0), (1, 0)]), ("nowhere", [(0, missing)])]),
        (second, [("nowhere", [(1, missing), (0, missing)])]),
    ]


def test_what_has_no_partitions_is_not_verified(producer: Producer) -> None:
    identity = producer.initialized()
    names = {}
    for verifies in (True, False):
        topics = [AddPartitionsToTxnTopic(T, [])]
        asked = AddPartitionsToTxnTransaction(producer.name, *identity, verifies, topics)
        answer = producer.client.ask(AddPartitionsToTxnRequest(transactions=[asked]), 4)
        (result,) = answer.results_by_transaction
        names[verifies] = [topic.name for topic in result.topic_results]
    # Kafka's answers differ in this as well.
    assert names == {True: [], False: [T]}


def test_an_id_without_a_name_is_refused_in_each_request(producer: Producer) -> None:
    producer.name = ""
    identity = 1, 0
    assert producer.init()[0] == E.INVALID_REQUEST
    assert producer.end(identity)[0] == E.INVALID_REQUEST
    assert producer.add(identity, (T, 0)) == {(T, 0): E.INVALID_REQUEST}
    assert producer.describe().error_code == E.INVALID_REQUEST
