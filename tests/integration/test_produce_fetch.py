"""Produce and Fetch in every version, and what they answer when something is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.topics import DeleteTopicsRequest
from tests.harness.batches import batch, records
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.running import RawClient, RunningBroker

LATEST_NAMES = 12


def produced(client: RawClient, request: ProduceRequest, version: int = 9) -> tuple[int, int]:
    """(error code, base offset) of the only partition."""
    row = client.ask(request, version).responses[0].partition_responses[0]
    return row.error_code, row.base_offset


def fetched(client: RawClient, request: FetchRequest, version: int = LATEST_NAMES) -> object:
    """The only partition of the answer."""
    answer = client.ask(request, version)
    assert answer.error_code == 0
    return answer.responses[0].partitions[0]


@pytest.mark.parametrize("version", range(3, 12))
@pytest.mark.parametrize("acks", [1, -1])
def test_produce_answers_with_the_offset(client: RawClient, version: int, acks: int) -> None:
    make_topic(client, "t")
    assert produced(client, produce("t", batch(b"a", b"b"), acks=acks), version) == (0, 0)
    assert produced(client, produce("t", batch(b"c"), acks=acks), version) == (0, 2)


@pytest.mark.parametrize("version", range(4, 18))
@pytest.mark.parametrize("isolation_level", [0, 1])
def test_fetch_returns_what_was_produced(client: RawClient, version: int, isolation_level: int) -> None:
    topic_id = make_topic(client, "t")
    produced(client, produce("t", batch(b"a", b"b", None)))
    topic = topic_id if version >= 13 else "t"
    row = fetched(client, fetch(topic, 0, isolation_level=isolation_level, session_epoch=-1), version)
    assert (row.error_code, row.high_watermark, row.last_stable_offset) == (0, 3, 3)  # type: ignore[attr-defined]
    assert list(records(row.records)) == [(0, b"a"), (1, b"b"), (2, None)]  # type: ignore[attr-defined]
    end = fetched(client, fetch(topic, 3, session_epoch=-1), version)
    assert list(records(end.records)) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_old_record_formats_are_refused_in_their_own_response(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    error, _ = produced(client, produce("t", b"old", acks=1), version)
    assert error == ErrorCode.UNSUPPORTED_VERSION


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_old_fetches_are_refused_per_partition(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    row = client.ask(fetch("t", 0), version).responses[0].partitions[0]
    # Empty, not null, which sarama does not understand.
    assert (row.error_code, row.records) == (ErrorCode.UNSUPPORTED_VERSION, b"")


@pytest.fixture
def outsider(tmp_path: Path) -> Iterator[RawClient]:
    """A client of a listener that is not that of the brokers."""
    broker = RunningBroker(
        tmp_path,
        {
            "listeners": "PLAINTEXT://127.0.0.1:0,CLIENTS://127.0.0.1:0",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CLIENTS:PLAINTEXT",
        },
    )
    try:
        broker.start()
        with RawClient(broker.broker.endpoints["CLIENTS"][1]) as client:
            yield client
    finally:
        broker.close()


def test_whoever_claims_to_be_a_follower_gets_no_records_and_no_null(outsider: RawClient) -> None:
    client = outsider
    topic_id = make_topic(client, "t")
    for version in range(4, 18):
        request = fetch(topic_id if version >= 13 else "t", 0, session_epoch=-1)
        if version >= 15:
            request.replica_state.replica_id = 1
        else:
            request.replica_id = 1
        answer = client.ask(request, version)
        if version >= 7:
            assert answer.error_code == ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        else:
            row = answer.responses[0].partitions[0]
            assert (row.error_code, row.records) == (ErrorCode.CLUSTER_AUTHORIZATION_FAILED, b"")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (produce("none", batch(b"a")), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (produce("t", batch(b"a"), partition=7), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (produce("t", batch(b"a"), acks=2), ErrorCode.INVALID_REQUIRED_ACKS),
        (produce("t", None), ErrorCode.INVALID_RECORD),
        (produce("t", b""), ErrorCode.INVALID_RECORD),
        (produce("t", batch(b"a") + batch(b"b")), ErrorCode.INVALID_RECORD),
        (produce("t", batch(b"a", crc_change=1)), ErrorCode.CORRUPT_MESSAGE),
        (produce("t", batch(bytes(2_000_000))), ErrorCode.MESSAGE_TOO_LARGE),
        (produce("t", batch(b"a", attributes=0x20)), ErrorCode.INVALID_RECORD),
    ],
)
def test_a_refused_batch_leaves_no_trace(
    client: RawClient, request_: ProduceRequest, code: ErrorCode
) -> None:
    make_topic(client, "t")
    assert produced(client, request_)[0] == code
    assert produced(client, produce("t", batch(b"good"))) == (0, 0)


def test_transactional_records_of_nobody_are_refused(client: RawClient) -> None:
    make_topic(client, "t")
    request = produce("t", batch(b"a", attributes=0x10, producer=(1, 0, 0)))
    request.transactional_id = "tx"
    # There is no coordinator as long as nobody has asked for one: who has lost it comes again.
    assert produced(client, request)[0] == ErrorCode.NOT_ENOUGH_REPLICAS


def test_nothing_transactional_gets_in_without_a_transactional_id(client: RawClient) -> None:
    make_topic(client, "t")
    for version in range(3, 12):
        for attributes in (0x10, 0x30, 0x11, 0x18):
            ours = batch(b"a", attributes=attributes, producer=(1, 0, 0))
            request = produce("t", batch(b"good"))
            request.topic_data += produce("t", ours).topic_data
            request.topic_data += produce("none", batch(b"x")).topic_data
            answer = client.ask(request, version)
            rows = [row for topic in answer.responses for row in topic.partition_responses]
            code = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            assert [row.error_code for row in rows] == [code] * 3
    assert produced(client, produce("t", batch(b"good"))) == (0, 0)
    read = fetched(client, fetch("t", 0, isolation_level=1, session_epoch=-1))
    assert list(records(read.records)) == [(0, b"good")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("transactional_id", [None, "tx"])
def test_nothing_transactional_gets_in_unanswered(
    broker: RunningBroker, transactional_id: str | None
) -> None:
    with broker.connect() as client:
        make_topic(client, "t")
        request = produce("t", batch(b"a", attributes=0x10, producer=(1, 0, 0)), acks=0)
        request.transactional_id = transactional_id
        client.send(request, 9)
        assert client.is_closed()
    with broker.connect() as client:
        assert produced(client, produce("t", batch(b"good"))) == (0, 0)


def test_one_bad_partition_does_not_harm_the_others(client: RawClient) -> None:
    make_topic(client, "t")
    request = ProduceRequest(
        acks=-1,
        timeout_ms=1000,
        topic_data=[
            TopicProduceData(name="none", partition_data=[PartitionProduceData(0, batch(b"x"))]),
            TopicProduceData(name="t", partition_data=[PartitionProduceData(0, batch(b"y"))]),
        ],
    )
    answer = client.ask(request, 9)
    codes = [(topic.name, topic.partition_responses[0].error_code) for topic in answer.responses]
    assert codes == [("none", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION), ("t", 0)]


def test_acks_0_gets_no_answer_and_an_error_closes_the_connection(
    broker: RunningBroker, client: RawClient
) -> None:
    make_topic(client, "t")
    client.send(produce("t", batch(b"a"), acks=0), 9)
    assert produced(client, produce("t", batch(b"b"))) == (0, 1)
    client.send(produce("none", batch(b"a"), acks=0), 9)
    assert client.is_closed()
    assert broker.broker.services.metrics.closed["failed produce with acks=0"] == 1


def test_a_topic_of_one_replica_cannot_ask_for_two_in_sync(start_broker: BrokerFactory) -> None:
    """As in Kafka since 3.7: `min.insync.replicas` counts up to the number of replicas."""
    broker = start_broker(**{"min.insync.replicas": "2"})
    with broker.connect() as client:
        make_topic(client, "t")
        assert produced(client, produce("t", batch(b"a"))) == (0, 0)
        assert produced(client, produce("t", batch(b"a"), acks=1)) == (0, 1)


def test_idempotent_duplicates_get_their_first_offset(client: RawClient) -> None:
    make_topic(client, "t")
    first = batch(b"a", producer=(77, 0, 0))
    assert produced(client, produce("t", first)) == (0, 0)
    assert produced(client, produce("t", batch(b"b", producer=(77, 0, 1)))) == (0, 1)
    assert produced(client, produce("t", first)) == (0, 0)
    gap = batch(b"c", producer=(77, 0, 5))
    assert produced(client, produce("t", gap))[0] == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert len(list(records(fetched(client, fetch("t", 0)).records))) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (fetch("none", 0), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (fetch("t", 0, partition=3), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (fetch("t", 2), ErrorCode.OFFSET_OUT_OF_RANGE),
        (fetch("t", -5), ErrorCode.OFFSET_OUT_OF_RANGE),
        (fetch("t", 0, current_leader_epoch=5), ErrorCode.UNKNOWN_LEADER_EPOCH),
        (fetch("t", 0, last_fetched_epoch=5), ErrorCode.OFFSET_OUT_OF_RANGE),
    ],
)
def test_fetch_errors_come_at_once(client: RawClient, request_: FetchRequest, code: ErrorCode) -> None:
    make_topic(client, "t")
    produced(client, produce("t", batch(b"a")))
    request_.max_wait_ms = 30_000
    assert fetched(client, request_).error_code == code  # type: ignore[attr-defined]


def test_an_unknown_topic_id_is_named(client: RawClient) -> None:
    assert fetched(client, fetch(b"x" * 16, 0), 13).error_code == ErrorCode.UNKNOWN_TOPIC_ID  # type: ignore[attr-defined]


def test_a_broker_that_is_no_replica_cannot_fetch_as_one(client: RawClient) -> None:
    make_topic(client, "t")
    for node in (1, 2):
        for version in (5, 12):
            row = client.ask(fetch("t", 0, replica_id=node), version).responses[0].partitions[0]
            assert row.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        known = client.ask(fetch("t", 0, replica_id=node, current_leader_epoch=0), 12)
        assert known.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_LEADER_EPOCH


def test_a_fetch_waits_for_an_append(broker: RunningBroker, client: RawClient) -> None:
    make_topic(client, "t")
    client.send(fetch("t", 0, max_wait_ms=30_000), LATEST_NAMES)
    with broker.connect() as producer:
        assert produced(producer, produce("t", batch(b"late"))) == (0, 0)
    _, answer = client.receive(fetch("t", 0).API, LATEST_NAMES)
    assert list(records(answer.responses[0].partitions[0].records)) == [(0, b"late")]  # type: ignore[attr-defined]


def test_a_fetch_waits_for_min_bytes(broker: RunningBroker, client: RawClient) -> None:
    make_topic(client, "t")
    size = len(batch(bytes(1000)))
    client.send(fetch("t", 0, max_wait_ms=30_000, min_bytes=3 * size), LATEST_NAMES)
    with broker.connect() as producer:
        for _ in range(3):
            produced(producer, produce("t", batch(bytes(1000))))
    _, answer = client.receive(fetch("t", 0).API, LATEST_NAMES)
    assert len(list(records(answer.responses[0].partitions[0].records))) == 3  # type: ignore[attr-defined]


def test_a_fetch_ends_when_its_time_is_up(client: RawClient) -> None:
    make_topic(client, "t")
    began = time.monotonic()
    row = fetched(client, fetch("t", 0, max_wait_ms=300))
    assert time.monotonic() - began >= 0.29
    assert row.error_code == 0  # type: ignore[attr-defined]


def test_the_first_batch_comes_whole_whatever_the_limits_say(client: RawClient) -> None:
    make_topic(client, "t")
    for _ in range(2):
        produced(client, produce("t", batch(bytes(5000))))
    row = fetched(client, fetch("t", 0, partition_max_bytes=10, max_bytes=10))
    assert [offset for offset, _ in records(row.records)] == [0]  # type: ignore[attr-defined]


def test_sessions_send_only_news(client: RawClient) -> None:
    make_topic(client, "a")
    make_topic(client, "b")
    rows = [FetchTopic(topic=name, partitions=[FetchPartition(partition_max_bytes=1000)]) for name in "ab"]
    first = client.ask(FetchRequest(topics=rows, session_epoch=0), LATEST_NAMES)
    assert [topic.topic for topic in first.responses] == ["a", "b"]
    assert first.session_id > 0
    session = {"session_id": first.session_id}
    assert client.ask(FetchRequest(**session, session_epoch=1), LATEST_NAMES).responses == []
    produced(client, produce("b", batch(b"x")))
    news = client.ask(FetchRequest(**session, session_epoch=2), LATEST_NAMES)
    assert [topic.topic for topic in news.responses] == ["b"]
    again = client.ask(FetchRequest(**session, session_epoch=2), LATEST_NAMES)
    assert again.error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    gone = ForgottenTopic(topic="b", partitions=[0])
    rest = client.ask(FetchRequest(**session, session_epoch=3, forgotten_topics_data=[gone]), LATEST_NAMES)
    assert (rest.error_code, rest.responses) == (0, [])
    unknown = client.ask(FetchRequest(session_id=first.session_id ^ 1, session_epoch=1), LATEST_NAMES)
    assert unknown.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_a_topic_that_is_gone_does_not_end_the_waits_of_a_session(client: RawClient) -> None:
    for topic in ("a", "b"):
        make_topic(client, topic)
    asked = [FetchTopic(topic=name, partitions=[FetchPartition(partition=0)]) for name in ("a", "b")]
    session = client.ask(FetchRequest(session_epoch=0, topics=asked), LATEST_NAMES).session_id
    client.ask(DeleteTopicsRequest(topic_names=["b"], timeout_ms=5000), 4)
    for epoch in (1, 2):
        started = time.monotonic()
        request = FetchRequest(session_id=session, session_epoch=epoch, max_wait_ms=300, min_bytes=1)
        (row,) = client.ask(request, LATEST_NAMES).responses
        assert (row.topic, row.partitions[0].error_code) == ("b", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        assert time.monotonic() - started >= 0.29


def test_fsync_mode_acknowledges_what_is_on_the_disk(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"fastlog.durability": "fsync"})
    with broker.connect() as client:
        make_topic(client, "t")
        for acks in (1, -1):
            assert produced(client, produce("t", batch(b"a"), acks=acks))[0] == 0
            log = broker.broker.services.logs.get("t", 0)
            assert log is not None
            assert log.recovery_point == log.log_end_offset
        assert fetched(client, fetch("t", 0)).high_watermark == 2  # type: ignore[attr-defined]


def test_everything_is_there_after_a_restart(broker: RunningBroker) -> None:
    with broker.connect() as client:
        topic_id = make_topic(client, "t")
        produced(client, produce("t", batch(b"a", b"b")))
    assert broker.stop()
    broker.start()
    with broker.connect() as client:
        row = fetched(client, fetch(topic_id, 0), 13)
        assert list(records(row.records)) == [(0, b"a"), (1, b"b")]  # type: ignore[attr-defined]
        assert produced(client, produce("t", batch(b"c"))) == (0, 2)


def test_a_slow_consumer_does_not_hold_up_others(broker: RunningBroker, client: RawClient) -> None:
    make_topic(client, "t")
    for _ in range(20):
        produced(client, produce("t", batch(bytes(900_000))))
    with broker.connect() as slow:
        slow.send(fetch("t", 0, partition_max_bytes=20_000_000, max_bytes=20_000_000), LATEST_NAMES)
        # The answer is far larger than the socket's buffers: its rest waits in the broker.
        assert produced(client, produce("t", batch(b"next"))) == (0, 20)
        received = len(slow.receive_frame())
    assert received > 18_000_000


def test_many_producers_at_once_get_offsets_of_their_own(broker: RunningBroker, client: RawClient) -> None:
    make_topic(client, "t")
    offsets: list[int] = []

    def work() -> None:
        with broker.connect() as mine:
            offsets.extend(produced(mine, produce("t", batch(b"x")))[1] for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(offsets) == list(range(400))


def test_answers_from_files_keep_their_place_among_others(broker: RunningBroker, client: RawClient) -> None:
    make_topic(client, "t")
    for index in range(5):
        produced(client, produce("t", batch(bytes([index]) * 900_000)))
    everything = fetch("t", 0, partition_max_bytes=5_000_000, max_bytes=5_000_000)
    with broker.connect() as mine:
        small, empty = fetch("t", 4, partition_max_bytes=1), fetch("t", 5, max_wait_ms=1)
        for request in (everything, small, everything, empty):
            mine.send(request, LATEST_NAMES)
        sizes = [len(mine.receive_frame()) for _ in range(4)]
    assert [size // 900_000 for size in sizes] == [5, 1, 5, 0]
    row = fetched(client, everything)
    assert [value[:1] for _, value in records(row.records) if value] == [bytes([i]) for i in range(5)]  # type: ignore[attr-defined]


def test_a_consumer_that_leaves_in_the_middle_costs_nothing(broker: RunningBroker, client: RawClient) -> None:
    make_topic(client, "t")
    for _ in range(20):
        produced(client, produce("t", batch(bytes(900_000))))
    table = broker.broker.services.metrics
    for _ in range(5):
        with broker.connect() as leaving:
            leaving.send(fetch("t", 0, partition_max_bytes=20_000_000, max_bytes=20_000_000), LATEST_NAMES)
            assert len(leaving.receive_start(1000)) == 1000
    deadline = time.monotonic() + 10
    while table.connections_open > 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert broker.broker.services.response_memory.used == 0
    assert table.closed == {}, "the broker did not close them: they left"
    assert produced(client, produce("t", batch(b"next"))) == (0, 20)
