"""Faults that others have had in their brokers, as public bug reports tell them, played to this one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import OffsetFetchRequest, OffsetFetchRequestTopic
from fastlog.wire.messages.groups import LeaveGroupRequest
from fastlog.wire.messages.topics import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    DeleteTopicsRequest,
)
from tests.harness.batches import batch, records
from tests.harness.group_requests import commit_request, join_request
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.running import RawClient, RunningBroker
from tests.integration.test_admin_configs import BROKER, SET, TOPIC, alter, value

BY_NAME, BY_ID = 12, 13
RANGE = ("range", b"\0\0\0\0\0\1\0\1t\xff\xff\xff\xff")


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """One that does not wait for more members, and lets their sessions end soon."""
    return start_broker(
        **{
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "100",
            "offsets.topic.num.partitions": "2",
        }
    )


@pytest.fixture
def client(broker: RunningBroker) -> Iterator[RawClient]:
    """A connection; groups are coordinated."""
    with broker.connect() as connection:
        assert connection.ask(FindCoordinatorRequest(key="g"), 0).error_code == 0
        yield connection


def produced(client: RawClient, data: bytes, topic: str = "t") -> tuple[ErrorCode, int]:
    """(error code, first offset)."""
    row = client.ask(produce(topic, data), 9).responses[0].partition_responses[0]
    return ErrorCode(row.error_code), row.base_offset


def committed(client: RawClient, group: str, topic: str = "t") -> int:
    """The offset of partition 0, -1 when there is none."""
    answer = client.ask(OffsetFetchRequest(group, [OffsetFetchRequestTopic(topic, [0])]), 5)
    offset: int = answer.topics[0].partitions[0].committed_offset
    return offset


def cut(client: RawClient, offset: int) -> int:
    """DeleteRecords; the low watermark."""
    rows = [DeleteRecordsTopic("t", [DeleteRecordsPartition(0, offset)])]
    (row,) = client.ask(DeleteRecordsRequest(rows, 10_000), 2).topics[0].partitions
    assert row.error_code == 0
    low: int = row.low_watermark
    return low


def test_a_second_change_of_a_default_keeps_overrides_of_topics(
    broker: RunningBroker, client: RawClient
) -> None:
    """https://github.com/apache/kafka/pull/8067 (KAFKA-9254): with it the overrides went, and a compacted
    topic became one that deletes.
    """
    make_topic(client, "t")
    keyless, keyed = batch(b"x", key=None), batch(b"x")
    assert alter(client, TOPIC, "t", ("cleanup.policy", SET, "compact"))[0] == 0
    for default in ("100000", "200000"):
        assert alter(client, BROKER, "", ("log.retention.ms", SET, default))[0] == 0
        assert produced(client, keyless)[0] == ErrorCode.INVALID_RECORD
    assert produced(client, keyed)[0] == 0
    assert value(client, TOPIC, "t", "cleanup.policy")[0] == "compact"
    broker.stop()
    broker.start()
    with broker.connect() as again:
        assert produced(again, keyless)[0] == ErrorCode.INVALID_RECORD


def test_changed_defaults_are_in_force_after_a_restart(broker: RunningBroker, client: RawClient) -> None:
    """https://github.com/apache/kafka/pull/23304 (KAFKA-20890): they were shown, and what was in force was
    what the properties file says.
    """
    make_topic(client, "t")
    for number in ("2", "3"):
        assert alter(client, BROKER, "1", ("message.max.bytes", SET, f"{number}000"))[0] == 0
        assert alter(client, BROKER, "", ("log.retention.ms", SET, f"{number}00000"))[0] == 0
    broker.stop()
    broker.start()
    with broker.connect() as again:
        assert produced(again, batch(bytes(2900)))[0] == 0
        assert produced(again, batch(bytes(3000)))[0] == ErrorCode.MESSAGE_TOO_LARGE
        assert value(again, TOPIC, "t", "retention.ms")[0] == "300000"
        assert alter(again, BROKER, "", ("log.retention.ms", SET, "400000"))[0] == 0


def test_topics_go_and_defaults_change(broker: RunningBroker, client: RawClient) -> None:
    """https://github.com/redpanda-data/redpanda/issues/12870: a new retention met topics that were being
    deleted, and the broker crashed, again at each start.
    """
    names = [f"t{number}" for number in range(20)]
    for name in names:
        make_topic(client, name)
        produced(client, batch(b"x"), name)
    with broker.connect() as other:
        client.send(DeleteTopicsRequest(topic_names=names[:15], timeout_ms=10_000), 5)
        for size in range(10):
            assert alter(other, BROKER, "", ("log.retention.bytes", SET, str(10_000 + size)))[0] == 0
        _, answer = client.receive(DeleteTopicsRequest.API, 5)
    assert {row.error_code for row in answer.responses} == {0}  # type: ignore[attr-defined]
    broker.stop()
    broker.start()
    with broker.connect() as again:
        assert produced(again, batch(b"y"), "t19") == (ErrorCode.NONE, 1)


@pytest.mark.parametrize("restart", [False, True])
def test_offsets_do_not_outlive_their_topic(broker: RunningBroker, client: RawClient, restart: bool) -> None:
    """https://github.com/streamnative/kop/issues/530 and https://github.com/redpanda-data/redpanda/pull/620:
    groups began in a new topic of the same name where they were in the old one, and got nothing.
    """
    for topic in ("t", "u"):
        make_topic(client, topic)
        client.ask(commit_request("g", 10, topic=topic), 2)
    client.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=10_000), 5)
    make_topic(client, "t")
    if restart:
        broker.stop()
        broker.start()
    with broker.connect() as again:
        assert (committed(again, "g"), committed(again, "g", "u")) == (-1, 10)
        client = again
        assert client.ask(commit_request("g", 1), 2).topics[0].partitions[0].error_code == 0
        assert committed(client, "g") == 1


def test_a_session_tells_a_new_topic_from_the_old_one_of_its_name(client: RawClient) -> None:
    """https://github.com/apache/kafka/pull/11331 (KAFKA-13111), .../pull/11104 (KAFKA-13079): an unknown id
    ended the session, and a forgotten partition was not found by its id.
    """
    old = make_topic(client, "t")
    kept = make_topic(client, "u")
    produced(client, batch(b"old"))
    rows = [FetchTopic(topic_id=id_, partitions=[FetchPartition(0)]) for id_ in (old, kept, b"x" * 16)]
    first = client.ask(FetchRequest(topics=rows, session_epoch=0), BY_ID)
    assert first.error_code == 0
    session = first.session_id
    assert session > 0
    codes = {bytes(topic.topic_id): topic.partitions[0].error_code for topic in first.responses}
    assert codes == {old: 0, kept: 0, b"x" * 16: ErrorCode.UNKNOWN_TOPIC_ID}
    client.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=10_000), 5)
    assert make_topic(client, "t") != old
    produced(client, batch(b"new"))
    produced(client, batch(b"kept"), "u")
    second = client.ask(FetchRequest(session_id=session, session_epoch=1), BY_ID)
    found = {bytes(topic.topic_id): topic.partitions[0] for topic in second.responses}
    assert found[old].error_code == ErrorCode.UNKNOWN_TOPIC_ID
    assert not found[old].records
    assert [data for _, data in records(found[kept].records)] == [b"kept"]
    gone = [ForgottenTopic(topic_id=id_, partitions=[0]) for id_ in (old, b"x" * 16)]
    third = client.ask(FetchRequest(session_id=session, session_epoch=2, forgotten_topics_data=gone), BY_ID)
    assert {bytes(topic.topic_id) for topic in third.responses} <= {kept}
    fourth = client.ask(FetchRequest(session_id=session, session_epoch=3), BY_NAME)
    assert fourth.error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


def test_a_session_remembers_the_epoch_that_the_client_knows(client: RawClient) -> None:
    """https://github.com/apache/kafka/pull/7970 (KAFKA-9338): it was checked in the first fetch only."""
    make_topic(client, "t")
    first = client.ask(fetch("t", 0, session_epoch=0, current_leader_epoch=0), BY_NAME)
    assert first.responses[0].partitions[0].error_code == 0
    news = fetch("t", 0, session_id=first.session_id, session_epoch=1, current_leader_epoch=7)
    row = client.ask(news, BY_NAME).responses[0].partitions[0]
    assert row.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    again = FetchRequest(session_id=first.session_id, session_epoch=2)
    row = client.ask(again, BY_NAME).responses[0].partitions[0]
    assert row.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH


@pytest.mark.parametrize("restart", [False, True])
def test_producers_go_on_when_their_records_are_gone(
    broker: RunningBroker, client: RawClient, restart: bool
) -> None:
    """https://github.com/apache/kafka/pull/7388 (KAFKA-7190) and
    https://github.com/redpanda-data/redpanda/issues/22670: who was forgotten with its records failed with its
    next sequence number.
    """
    make_topic(client, "t")
    for sequence in range(3):
        assert produced(client, batch(b"a", producer=(77, 0, sequence))) == (ErrorCode.NONE, sequence)
    assert cut(client, 3) == 3
    if restart:
        broker.stop()
        broker.start()
    with broker.connect() as again:
        assert produced(again, batch(b"a", producer=(77, 0, 2)))[0] in (
            ErrorCode.NONE,
            ErrorCode.DUPLICATE_SEQUENCE_NUMBER,
        )
        assert produced(again, batch(b"a", producer=(77, 0, 3))) == (ErrorCode.NONE, 3)
        gap = produced(again, batch(b"a", producer=(77, 0, 9)))
        assert gap[0] == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert [offset for offset, _ in records(_row(again, 3).records)] == [3]


def _row(client: RawClient, offset: int) -> Any:
    return client.ask(fetch("t", offset), BY_NAME).responses[0].partitions[0]


def test_a_member_that_was_given_an_id_may_leave_or_stay_away(
    broker: RunningBroker, client: RawClient
) -> None:
    """https://github.com/apache/kafka/pull/6251 (KAFKA-7909): a rebalance waited for a client that had got an
    id and did not come back, and it could not leave.
    """
    join = join_request("g", protocol=RANGE, timeout_ms=20_000)
    waiting = client.ask(join, 4)
    assert waiting.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert client.ask(LeaveGroupRequest("g", waiting.member_id), 2).error_code == 0
    short = join_request("g", protocol=RANGE, timeout_ms=150)
    assert client.ask(short, 4).error_code == ErrorCode.MEMBER_ID_REQUIRED
    with broker.connect() as other:
        asked = other.ask(join, 4)
        joined = other.ask(join_request("g", asked.member_id, protocol=RANGE, timeout_ms=20_000), 4)
        assert joined.error_code == 0
        assert len(joined.members) == 1
