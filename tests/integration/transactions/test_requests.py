"""Requests about transactional ids on one broker, with a stand-in for the leader's side of markers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastlog.coordination.transactions.markers import AGAIN_SECONDS
from fastlog.coordination.transactions.state import MAX_EPOCH
from fastlog.errors import ErrorCode as E
from fastlog.wire.messages.describe_transactions import DescribeTransactionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from fastlog.wire.messages.topics import DeleteTopicsRequest
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest, EndTxnRequest
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import (
    CONCURRENT,
    Producer,
    TransactionBroker,
    ask_as_broker,
    of,
    of_broker,
    put,
    service_of,
)

A, B = ("a", 0), ("a", 1)
LAST = MAX_EPOCH - 1
Make = Callable[[str], Producer]


# -- InitProducerId --------------------


def test_init_gives_an_id_and_raises_the_epoch(producer: Producer) -> None:
    code, producer_id, epoch = producer.init()
    assert (code, epoch) == (0, 0)
    assert producer.init() == (0, producer_id, 1)
    # The current identity, twice: the answer to the first may have been lost.
    assert producer.init((producer_id, 1)) == (0, producer_id, 2)
    assert producer.init((producer_id, 1)) == (0, producer_id, 2)
    assert producer.init((producer_id, 0)) == (E.PRODUCER_FENCED, -1, -1)
    assert producer.init((producer_id, 0), version=3) == (E.INVALID_PRODUCER_EPOCH, -1, -1)
    assert producer.init((producer_id + 10_000, 2)) == (E.PRODUCER_FENCED, -1, -1)


def test_init_of_an_unknown_id_with_an_identity(producer: Producer) -> None:
    code, producer_id, epoch = producer.init((12345, 7))
    assert (code, epoch) == (0, 0)
    assert producer_id != 12345


@pytest.mark.parametrize("timeout_ms", [0, -1, 900_001])
def test_init_with_a_time_out_that_cannot_be(producer: Producer, timeout_ms: int) -> None:
    assert producer.init(timeout_ms=timeout_ms)[0] == E.INVALID_TRANSACTION_TIMEOUT


def test_init_that_makes_no_sense(client: RawClient, producer: Producer) -> None:
    assert producer.init(timeout_ms=900_000)[0] == 0
    assert producer.init((5, -1))[0] == E.INVALID_REQUEST
    assert producer.init((-1, 5))[0] == E.INVALID_REQUEST
    producer.name = ""
    assert producer.init()[0] == E.INVALID_REQUEST


def test_init_while_a_transaction_is_open(running: TransactionBroker, producer: Producer) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    running.hold()
    assert producer.init() == (CONCURRENT, -1, -1)
    assert producer.init() == (CONCURRENT, -1, -1)
    assert producer.end(identity)[0] == E.PRODUCER_FENCED
    running.release()
    assert producer.initialized() == (identity[0], 2)
    (marker,) = running.markers.written
    assert (marker.producer_id, marker.epoch, marker.commits, marker.partitions) == (
        identity[0],
        1,
        False,
        (A,),
    )


def test_init_while_markers_are_under_way(running: TransactionBroker, producer: Producer) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    running.hold()
    assert producer.end(identity) == (0, -1, -1)
    assert producer.init() == (CONCURRENT, -1, -1)
    assert producer.init((identity[0] + 10_000, 0)) == (CONCURRENT, -1, -1)
    assert producer.describe().transaction_state == "PrepareCommit"
    running.release()
    assert producer.initialized() == (identity[0], 1)


def test_two_at_once(running: TransactionBroker, client: RawClient, producer: Producer) -> None:
    with running.connect() as other:
        rival = Producer(other, producer.name)
        first, second = producer.initialized(), rival.initialized()
    assert {first[1], second[1]} == {0, 1}
    assert first[0] == second[0]
    assert producer.add(first, A) == {A: E.PRODUCER_FENCED}


def test_init_at_the_last_epoch(running: TransactionBroker, producer: Producer) -> None:
    former, _ = producer.initialized()
    put(running, producer.name, epoch=LAST)
    assert producer.init((former, LAST - 1)) == (E.PRODUCER_FENCED, -1, -1)
    producer_id, epoch = producer.initialized(identity=(former, LAST))
    assert (producer_id != former, epoch) == (True, 0)
    # The answer was lost.
    assert producer.init((former, LAST)) == (0, producer_id, 0)
    put(running, producer.name, epoch=LAST)
    third, epoch = producer.initialized()
    assert (third not in (former, producer_id), epoch) == (True, 0)


def test_a_new_time_out_is_described(producer: Producer) -> None:
    producer.init(timeout_ms=1234)
    producer_id, epoch = producer.initialized(timeout_ms=4321)
    state = producer.describe()
    assert (state.error_code, state.transaction_state, state.transaction_timeout_ms) == (0, "Empty", 4321)
    assert (state.producer_id, state.producer_epoch, state.transaction_start_time_ms) == (
        producer_id,
        epoch,
        -1,
    )
    assert state.topics == []


# -- AddPartitionsToTxn, AddOffsetsToTxn --------------------


def test_add_with_an_identity_that_is_none(producer: Producer) -> None:
    assert producer.add((1, 0), A) == {A: E.INVALID_PRODUCER_ID_MAPPING}
    producer_id, _ = producer.initialized()
    producer.initialized()
    assert producer.add((producer_id + 10_000, 1), A) == {A: E.INVALID_PRODUCER_ID_MAPPING}
    assert producer.add((producer_id, 0), A, version=3) == {A: E.PRODUCER_FENCED}
    assert producer.add((producer_id, 0), A, version=0) == {A: E.INVALID_PRODUCER_EPOCH}
    assert producer.add((producer_id, 0), A, version=1) == {A: E.INVALID_PRODUCER_EPOCH}
    producer.name = ""
    assert producer.add((producer_id, 0), A) == {A: E.INVALID_REQUEST}


def test_add_twice_writes_once(running: TransactionBroker, producer: Producer) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    log = of_log(running, producer.name)
    end = log.log_end_offset
    producer.added(identity, A)
    assert log.log_end_offset == end
    producer.added(identity, B)
    assert log.log_end_offset == end + 1
    state = producer.describe()
    assert [(topic.topic, topic.partitions) for topic in state.topics] == [("a", [0, 1])]
    assert state.transaction_state == "Ongoing"


def of_log(running: RunningBroker, name: str) -> Any:
    service = service_of(running)
    place = service.table.find(name)
    assert not isinstance(place, E)
    return place.election.replica.log


def test_one_partition_that_is_none_keeps_all_out(producer: Producer) -> None:
    identity = producer.initialized()
    assert producer.add(identity, A, ("nowhere", 0)) == {
        A: E.OPERATION_NOT_ATTEMPTED,
        ("nowhere", 0): E.UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert producer.add(identity, A, ("a", 7)) == {
        A: E.OPERATION_NOT_ATTEMPTED,
        ("a", 7): E.UNKNOWN_TOPIC_OR_PARTITION,
    }
    internal = ("__transaction_state", 0)
    assert producer.add(identity, A, internal) == {
        A: E.OPERATION_NOT_ATTEMPTED,
        internal: E.TOPIC_AUTHORIZATION_FAILED,
    }
    assert producer.describe().transaction_state == "Empty"


def test_add_while_markers_are_under_way(running: TransactionBroker, producer: Producer) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    running.hold()
    producer.end(identity)
    assert producer.add(identity, A) == {A: CONCURRENT}
    running.release()
    # Just after EndTxn: it comes in as soon as the transaction before is complete.
    producer.added(identity, B)
    assert [topic.partitions for topic in producer.describe().topics] == [[1]]


def test_brokers_add_several_at_once(client: RawClient) -> None:
    first, second, third = (Producer(client, f"several-{number}") for number in range(3))
    ids = [producer.initialized() for producer in (first, second, third)]
    assert ask_as_broker(
        client,
        of_broker("several-0", ids[0], A, B),
        of_broker("several-1", (ids[1][0], 9), A),
        of_broker("several-2", ids[2], A, ("nowhere", 1)),
    ) == {
        "several-0": {A: 0, B: 0},
        "several-1": {A: E.PRODUCER_FENCED},
        "several-2": {A: E.OPERATION_NOT_ATTEMPTED, ("nowhere", 1): E.UNKNOWN_TOPIC_OR_PARTITION},
    }
    assert [producer.describe().transaction_state for producer in (first, second, third)] == [
        "Ongoing",
        "Empty",
        "Empty",
    ]


def test_brokers_add_partitions_of_internal_topics(client: RawClient, producer: Producer) -> None:
    """Those of offsets, which TxnOffsetCommit 5 brings."""
    client.ask(FindCoordinatorRequest(key="g"), 2)
    identity = producer.initialized()
    offsets = ("__consumer_offsets", 0)
    asked = of_broker(producer.name, identity, offsets)
    assert ask_as_broker(client, asked, version=5) == {producer.name: {offsets: 0}}


@pytest.mark.parametrize("version", [4, 5])
def test_brokers_verify(
    running: TransactionBroker, client: RawClient, producer: Producer, version: int
) -> None:
    identity = producer.initialized()

    def verify(who: tuple[int, int] = identity) -> dict[tuple[str, int], int]:
        asked = of_broker(producer.name, who, A, B, verifies=True)
        return ask_as_broker(client, asked, version=version)[producer.name]

    assert verify() == {A: E.TRANSACTION_ABORTABLE, B: E.TRANSACTION_ABORTABLE}
    producer.added(identity, A)
    assert verify() == {A: 0, B: E.TRANSACTION_ABORTABLE}
    assert verify((identity[0], 4)) == {A: E.PRODUCER_FENCED, B: E.PRODUCER_FENCED}
    assert verify((1 << 40, 0)) == dict.fromkeys((A, B), E.INVALID_PRODUCER_ID_MAPPING)
    running.hold()
    producer.end(identity)
    assert verify() == {A: CONCURRENT, B: CONCURRENT}


def test_verification_does_not_wait_for_another_partition(
    running: TransactionBroker, client: RawClient, producer: Producer
) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    transaction = of(running, producer.name)
    transaction.pending = transaction.entry.state
    asked = of_broker(producer.name, identity, A, verifies=True)
    assert ask_as_broker(client, asked) == {producer.name: {A: 0}}
    assert producer.add(identity, B) == {B: CONCURRENT}
    transaction.pending = None


def test_offsets_of_a_group(running: TransactionBroker, client: RawClient, producer: Producer) -> None:
    identity = producer.initialized()
    asked = AddOffsetsToTxnRequest(producer.name, *identity, "group")
    assert client.ask(asked, 3).error_code == 0
    (topic,) = producer.describe().topics
    assert topic.topic == "__consumer_offsets"
    wrong = AddOffsetsToTxnRequest(producer.name, identity[0], 9, "group")
    assert [client.ask(wrong, version).error_code for version in (1, 2, 4)] == [
        E.INVALID_PRODUCER_EPOCH,
        E.PRODUCER_FENCED,
        E.PRODUCER_FENCED,
    ]
    assert client.ask(AddOffsetsToTxnRequest("", *identity, "group"), 4).error_code == E.INVALID_REQUEST
    producer.end(identity)
    producer.wait_for("CompleteCommit")
    assert [marker.partitions for marker in running.markers.written] == [
        (("__consumer_offsets", topic.partitions[0]),)
    ]


# -- EndTxn --------------------


def test_an_end_without_a_beginning(producer: Producer) -> None:
    identity = producer.initialized()
    for commits in (True, False):
        assert producer.end(identity, commits=commits) == (E.INVALID_TXN_STATE, -1, -1)
    assert producer.end(identity, version=5) == (E.INVALID_TXN_STATE, -1, -1)
    assert producer.end(identity, commits=False, version=5) == (0, identity[0], 1)
    state = producer.wait_for("CompleteAbort")
    assert (state.producer_epoch, state.topics) == (1, [])


def test_ends_of_the_first_protocol(running: TransactionBroker, producer: Producer) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    assert producer.end((identity[0], 3), version=1)[0] == E.INVALID_PRODUCER_EPOCH
    assert producer.end((identity[0], 3))[0] == E.PRODUCER_FENCED
    assert producer.end((identity[0] + 10_000, 0))[0] == E.INVALID_PRODUCER_ID_MAPPING
    running.hold()
    assert producer.end(identity) == (0, -1, -1)
    # The completion is pending from the decision on.
    assert producer.end(identity)[0] == CONCURRENT
    assert producer.end(identity, commits=False)[0] == CONCURRENT
    running.release()
    producer.wait_for("CompleteCommit")
    assert producer.end(identity) == (0, -1, -1)
    assert producer.end(identity, commits=False)[0] == E.INVALID_TXN_STATE
    producer.added(identity, B)
    assert producer.end(identity, commits=False) == (0, -1, -1)
    producer.wait_for("CompleteAbort")
    assert producer.end(identity, commits=False) == (0, -1, -1)
    assert producer.end(identity)[0] == E.INVALID_TXN_STATE
    assert [(marker.epoch, marker.commits, marker.version) for marker in running.markers.written] == [
        (0, True, 0),
        (0, False, 0),
    ]


def test_ends_of_the_second_protocol(
    running: TransactionBroker, client: RawClient, producer: Producer
) -> None:
    producer_id, _ = producer.initialized()
    asked = of_broker(producer.name, (producer_id, 0), A)
    assert ask_as_broker(client, asked, version=5) == {producer.name: {A: 0}}
    assert producer.end((producer_id, 0), version=5) == (0, producer_id, 1)
    producer.wait_for("CompleteCommit")
    assert producer.end((producer_id, 0), version=5) == (0, producer_id, 1)
    assert producer.end((producer_id, 0), commits=False, version=5)[0] == E.INVALID_TXN_STATE
    assert producer.end((producer_id, 1), version=5)[0] == E.INVALID_TXN_STATE
    # The empty abort just after the end, with the epoch that it gave (KAFKA-18464).
    assert producer.end((producer_id, 1), commits=False, version=5) == (0, producer_id, 2)
    producer.wait_for("CompleteAbort")
    assert producer.end((producer_id, 1), commits=False, version=5) == (0, producer_id, 2)
    assert producer.end((producer_id, 1), version=5)[0] == E.PRODUCER_FENCED
    # A client that goes back to the first protocol.
    producer.added((producer_id, 2), A)
    assert producer.end((producer_id, 2)) == (0, -1, -1)
    producer.wait_for("CompleteCommit")
    assert producer.end((producer_id, 2)) == (0, -1, -1)
    assert [(marker.epoch, marker.commits, marker.version) for marker in running.markers.written] == [
        (1, True, 2),
        (2, True, 0),
    ]


def test_the_next_end_comes_while_the_last_one_is_not_complete(
    running: TransactionBroker, producer: Producer
) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    running.hold()
    assert producer.end(identity, version=5) == (0, identity[0], 1)
    assert producer.end((identity[0], 1), commits=False, version=5)[0] == CONCURRENT
    assert producer.add((identity[0], 1), A) == {A: CONCURRENT}


def test_the_end_at_the_last_epoch(running: TransactionBroker, producer: Producer) -> None:
    former, _ = producer.initialized()
    put(running, producer.name, epoch=LAST)
    producer.added((former, LAST), A)
    running.hold()
    code, producer_id, epoch = producer.end((former, LAST), version=5)
    assert (code, producer_id != former, epoch) == (0, True, 0)
    assert producer.add((producer_id, 0), A) == {A: CONCURRENT}
    running.release()
    producer.wait_for("CompleteCommit")
    assert producer.end((former, LAST), version=5) == (0, producer_id, 0)
    assert [(marker.producer_id, marker.epoch) for marker in running.markers.written] == [(former, MAX_EPOCH)]
    producer.added((producer_id, 0), A)


def test_an_empty_id_ends_nothing(client: RawClient) -> None:
    assert client.ask(EndTxnRequest("", 1, 0, True), 4).error_code == E.INVALID_REQUEST


def test_an_unknown_id_ends_nothing(producer: Producer) -> None:
    assert producer.end((1, 0))[0] == E.INVALID_PRODUCER_ID_MAPPING
    assert producer.describe().error_code == E.TRANSACTIONAL_ID_NOT_FOUND


def test_a_topic_that_is_deleted_takes_no_markers(
    running: TransactionBroker, client: RawClient, producer: Producer
) -> None:
    make_topic(client, "deleted")
    identity = producer.initialized()
    producer.added(identity, A, ("deleted", 0))
    client.ask(DeleteTopicsRequest(topic_names=["deleted"], timeout_ms=30_000), 4)
    assert producer.end(identity)[0] == 0
    producer.wait_for("CompleteCommit")
    assert [marker.partitions for marker in running.markers.written] == [(A,)]


def test_markers_are_sent_until_they_are_taken(running: TransactionBroker, producer: Producer) -> None:
    identity = producer.initialized()
    producer.added(identity, A)
    running.markers.codes += [E.NOT_LEADER_OR_FOLLOWER, E.NOT_ENOUGH_REPLICAS, E.UNKNOWN_SERVER_ERROR]
    producer.end(identity)
    producer.wait_for("CompleteCommit")
    assert len(running.markers.written) == 4
    assert len(set(running.markers.written)) == 1
    assert AGAIN_SECONDS < 1


# -- lists --------------------


def test_lists(running: TransactionBroker, client: RawClient) -> None:
    names = ("list-one", "list-two", "list-three")
    one, two, three = (Producer(client, name) for name in names)
    ids = [producer.initialized() for producer in (one, two, three)]
    two.added(ids[1], A)
    three.added(ids[2], A)
    three.end(ids[2])
    three.wait_for("CompleteCommit")

    def listed(version: int = 1, **which: Any) -> set[str]:
        answer = client.ask(ListTransactionsRequest(**which), version)
        assert answer.error_code == 0
        return {state.transactional_id for state in answer.transaction_states} & set(names)

    assert listed() == set(names)
    assert listed(state_filters=["Ongoing"]) == {"list-two"}
    assert listed(producer_id_filters=[ids[0][0], ids[2][0]]) == {"list-one", "list-three"}
    assert listed(duration_filter=3_600_000) == {"list-one"}
    assert listed(duration_filter=0) >= {"list-one"}
    assert listed(2, transactional_id_pattern="list-t.*") == {"list-two", "list-three"}
    assert listed(2, transactional_id_pattern="") == set(names)
    answer = client.ask(ListTransactionsRequest(state_filters=["Ongoing", "Odd"]), 0)
    assert answer.unknown_state_filters == ["Odd"]
    assert "list-two" in {state.transactional_id for state in answer.transaction_states}
    answer = client.ask(ListTransactionsRequest(state_filters=["Odd"]), 0)
    assert (answer.unknown_state_filters, answer.transaction_states) == (["Odd"], [])
    bad = client.ask(ListTransactionsRequest(transactional_id_pattern="("), 2)
    assert bad.error_code == E.INVALID_REGULAR_EXPRESSION


def test_descriptions(client: RawClient, producer: Producer) -> None:
    producer.initialized()
    states = client.ask(
        DescribeTransactionsRequest([producer.name, "", "unknown", producer.name]), 0
    ).transaction_states
    assert [(state.transactional_id, state.error_code) for state in states] == [
        (producer.name, 0),
        ("", E.INVALID_REQUEST),
        ("unknown", E.TRANSACTIONAL_ID_NOT_FOUND),
    ]
