"""A gap that comes of what began between two requests (a leadership, enough in sync) is no lost record."""

from __future__ import annotations

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.network.session import ListenerIdentity, Session
from fastlog.server.produce.refusals import GAP_SECONDS, note_refusals

NOT_LEADER = ErrorCode.NOT_LEADER_OR_FOLLOWER.value
GAP = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER.value


def told(session: Session, partition: int, code: int, now: float) -> int:
    results = [(code, -1, -1, -1, None, None, -1)]
    note_refusals(session, [("t", partition, 100)], results, now)
    return results[0][0]


def test_a_gap_behind_a_refusal_gets_its_code() -> None:
    session = Session(ListenerIdentity("PLAINTEXT"))
    assert told(session, 0, NOT_LEADER, 10.0) == NOT_LEADER
    assert told(session, 0, GAP, 10.1) == NOT_LEADER
    assert told(session, 1, GAP, 10.1) == GAP


@pytest.mark.parametrize(
    ("refusal", "behind"),
    [
        (ErrorCode.NOT_ENOUGH_REPLICAS, ErrorCode.NOT_ENOUGH_REPLICAS),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NOT_LEADER_OR_FOLLOWER),
        (ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.NOT_LEADER_OR_FOLLOWER),
        (ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
    ],
)
def test_behind_what_passes_a_gap_passes_too(refusal: ErrorCode, behind: ErrorCode) -> None:
    session = Session(ListenerIdentity("PLAINTEXT"))
    assert told(session, 0, refusal, 10.0) == refusal
    assert told(session, 0, GAP, 10.1) == behind


def test_a_gap_that_stays_is_told() -> None:
    session = Session(ListenerIdentity("PLAINTEXT"))
    assert told(session, 0, GAP, 9.0) == GAP
    told(session, 0, NOT_LEADER, 10.0)
    assert told(session, 0, GAP, 10.0 + GAP_SECONDS) == GAP


def test_another_connection_knows_nothing_of_it() -> None:
    told(Session(ListenerIdentity("PLAINTEXT")), 0, NOT_LEADER, 10.0)
    assert told(Session(ListenerIdentity("PLAINTEXT")), 0, GAP, 10.1) == GAP


def test_what_is_remembered_is_bounded() -> None:
    session = Session(ListenerIdentity("PLAINTEXT"))
    for partition in range(5000):
        told(session, partition, NOT_LEADER, 10.0)
    assert len(session.refused) <= 1000
    assert told(session, 4999, GAP, 10.1) == NOT_LEADER
    assert told(session, 3999, GAP, 10.1) == GAP, "the oldest are forgotten first"
    assert told(session, 4501, GAP, 10.1) == NOT_LEADER


def test_a_request_of_very_many_partitions_is_not_remembered_as_a_whole() -> None:
    session = Session(ListenerIdentity("PLAINTEXT"))
    results = [(NOT_LEADER, -1, -1, -1, None, None, -1)] * 5000 + [(GAP, -1, -1, -1, None, None, -1)] * 2
    note_refusals(session, [("t", number, 1) for number in (*range(5000), 3, 4999)], results, 10.0)
    assert len(session.refused) <= 1000
    assert [row[0] for row in results[-2:]] == [NOT_LEADER, GAP]
