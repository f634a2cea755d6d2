"""Quotas of a broker that runs: set by the API, in force at once, and kept over a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

import pytest

from fastlog.coordination.scram_credentials import ScramCredential
from fastlog.errors import ErrorCode
from fastlog.native import build_batch
from fastlog.server.quotas.usage import MOST
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from fastlog.wire.messages.describe_client_quotas import DescribeClientQuotasRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.harness.waiting import wait_until
from tests.integration.requests import fetch, make_topic, metadata, produce
from tests.integration.running import RawClient, RunningBroker

Entity = Mapping[str, str | None]
ANY_CLIENT: Entity = {"client-id": None}
RATE = 100_000.0
"""Bytes a second; the first of them may come at once, a second's worth for each of ten windows."""


@pytest.fixture(autouse=True)
def unlimited(broker: RunningBroker) -> Iterator[None]:
    """Nobody is left muted when the broker stops."""
    yield
    if broker._broker is not None:
        assert broker.broker.services.metrics.connections_muted >= 0


def alter(broker: RunningBroker, entity: Entity, **values: float | None) -> ErrorCode:
    """Sets limits of one entity, or (None) removes them."""
    with broker.connect() as client:
        entry = EntryData(
            entity=[EntityData(kind, name) for kind, name in entity.items()],
            ops=[OpData(key, value or 0.0, value is None) for key, value in values.items()],
        )
        (row,) = client.ask(AlterClientQuotasRequest(entries=[entry]), 1).entries
    return ErrorCode.of(row.error_code)


def stored(broker: RunningBroker) -> dict[tuple[tuple[str, str | None], ...], dict[str, float]]:
    """All that DescribeClientQuotas tells."""
    with broker.connect() as client:
        answer = client.ask(DescribeClientQuotasRequest(), 1)
    return {
        tuple((part.entity_type, part.entity_name) for part in entry.entity): {
            value.key: value.value for value in entry.values
        }
        for entry in answer.entries
    }


def records(size: int) -> bytes:
    return build_batch([(None, bytes(size), [], 0)])


def put(client: RawClient, size: int, *, acks: int = -1) -> int:
    """Produces; milliseconds that the answer says to wait."""
    answer = client.ask(produce("t", records(size), acks=acks), 9)
    assert answer.responses[0].partition_responses[0].error_code == 0
    throttle: int = answer.throttle_time_ms
    return throttle


def test_a_producer_over_its_rate_is_answered_at_once_and_not_read_meanwhile(broker: RunningBroker) -> None:
    assert alter(broker, ANY_CLIENT, producer_byte_rate=RATE) is ErrorCode.NONE
    with broker.connect(timeout=30) as client:
        make_topic(client, "t")
        assert put(client, 900_000) == 0
        began = time.monotonic()
        throttle = put(client, 200_000)
        assert time.monotonic() - began < 1
        # 1.1 MB over ten seconds, against 1 MB.
        assert 900 < throttle < 1300
        # It does not wait by itself: what it asks is read, and answered, when the time is over.
        sent = time.monotonic()
        client.send(metadata("t"), 12)
        assert broker.broker.services.metrics.connections_muted == 1
        client.receive(metadata().API, 12)
        assert throttle / 1000 - 0.2 < time.monotonic() - sent < throttle / 1000 + 1.5
        # Others are none of that client, and are served.
        with broker.connect() as other:
            other.client_id = "other"
            assert put(other, 1000) == 0


def test_a_muted_connection_is_really_not_read(broker: RunningBroker) -> None:
    """More than sockets hold cannot be sent: nobody takes it in."""
    assert alter(broker, ANY_CLIENT, producer_byte_rate=RATE) is ErrorCode.NONE
    with broker.connect(timeout=1) as client:
        make_topic(client, "t")
        assert put(client, 900_000) == 0
        assert put(client, 600_000) > 4000
        before = broker.broker.services.metrics.bytes_in
        with pytest.raises(TimeoutError):
            for _ in range(40):
                client.send(produce("t", records(1_000_000)), 9)
        assert broker.broker.services.metrics.bytes_in == before


def test_a_producer_without_answers_is_held_up_too(broker: RunningBroker) -> None:
    assert alter(broker, ANY_CLIENT, producer_byte_rate=RATE) is ErrorCode.NONE
    with broker.connect(timeout=30) as client:
        make_topic(client, "t")
        for _ in range(2):
            client.send(produce("t", records(700_000), acks=0), 9)
        metrics = broker.broker.services.metrics
        wait_until(lambda: metrics.connections_muted == 1, "nobody is held up", seconds=5)


def test_a_fetch_over_the_rate_is_empty_and_gets_all_of_it_later(broker: RunningBroker) -> None:
    with broker.connect(timeout=30) as client:
        make_topic(client, "t")
        for _ in range(6):
            put(client, 200_000)
        assert alter(broker, ANY_CLIENT, consumer_byte_rate=RATE) is ErrorCode.NONE
        whole = {"partition_max_bytes": 700_000, "max_bytes": 10_000_000}
        first = client.ask(fetch("t", 0, **whole), 11)
        assert first.throttle_time_ms == 0
        assert len(first.responses[0].partitions[0].records) > 400_000
        second = client.ask(fetch("t", 3, session_epoch=0, **whole), 11)
        assert second.throttle_time_ms > 100
        assert second.responses == []
        assert second.session_id == 0
        # Nothing of it counted: the same fetch says the same a moment later, until time has passed.
        assert len(broker.broker.services.fetch_sessions) == 0
        broker.broker.services.quotas.clients.usage.clear()
        alter(broker, ANY_CLIENT, consumer_byte_rate=None)
        third = client.ask(fetch("t", 3, **whole), 11)
        assert len(third.responses[0].partitions[0].records) > 400_000


def test_a_session_loses_nothing_by_an_empty_answer(broker: RunningBroker) -> None:
    with broker.connect(timeout=30) as client:
        topic = make_topic(client, "t")
        begun = client.ask(fetch(topic, 0, session_epoch=0), 13)
        assert begun.session_id
        put(client, 300_000)
        assert alter(broker, ANY_CLIENT, consumer_byte_rate=50_000.0) is ErrorCode.NONE
        full = client.ask(fetch(topic, 0, session_id=begun.session_id, session_epoch=1), 13)
        assert len(full.responses[0].partitions[0].records) > 300_000
        put(client, 300_000)
        more = fetch(topic, 1, session_id=begun.session_id, session_epoch=2)
        held = client.ask(more, 13)
        assert (held.responses, held.session_id) == ([], begun.session_id)
        assert held.throttle_time_ms > 0
        alter(broker, ANY_CLIENT, consumer_byte_rate=None)
        more.session_epoch = 3
        more.topics = []
        later = client.ask(more, 13)
        assert later.error_code == 0
        assert later.responses[0].partitions[0].high_watermark == 2
        assert len(later.responses[0].partitions[0].records) > 300_000


def test_one_fetch_is_never_more_than_could_be_sent_at_all(broker: RunningBroker) -> None:
    with broker.connect(timeout=30) as client:
        make_topic(client, "t")
        for _ in range(4):
            put(client, 200_000)
        assert alter(broker, ANY_CLIENT, consumer_byte_rate=45_000.0) is ErrorCode.NONE
        answer = client.ask(fetch("t", 0, max_bytes=10_000_000), 11)
        while answer.throttle_time_ms:
            # What goes round the records is too much by as many bytes: for some milliseconds.
            assert answer.throttle_time_ms < 10
            answer = client.ask(fetch("t", 0, max_bytes=10_000_000), 11)
        assert len(answer.responses[0].partitions[0].records) == 450_000


def test_time_of_requests(broker: RunningBroker) -> None:
    with broker.connect(timeout=60) as client:
        make_topic(client, "t")
        assert alter(broker, ANY_CLIENT, request_percentage=0.001) is ErrorCode.NONE
        asked = ((metadata("t"), 12), (FindCoordinatorRequest(key="g"), 3), (fetch("t", 0), 11))
        wait_until(
            lambda: client.ask(metadata("t"), 12).throttle_time_ms, "it is not in force", seconds=20, pause=0
        )
        waits = [client.ask(request, version).throttle_time_ms for request, version in asked]
        # It never adds up to more than a window.
        assert all(0 < wait <= 1000 for wait in waits), waits
        assert broker.broker.services.quotas.clients.counts


def create(client: RawClient, version: int, **topics: int) -> tuple[list[int], int]:
    """(codes, milliseconds to wait) of topics by their numbers of partitions."""
    wanted = [CreatableTopic(name, count, 1) for name, count in topics.items()]
    answer = client.ask(CreateTopicsRequest(topics=wanted, timeout_ms=20_000), version)
    return [topic.error_code for topic in answer.topics], answer.throttle_time_ms


def test_mutations_of_new_clients_are_refused_when_nothing_is_left(broker: RunningBroker) -> None:
    assert alter(broker, ANY_CLIENT, controller_mutation_rate=0.5) is ErrorCode.NONE
    exceeded = int(ErrorCode.THROTTLING_QUOTA_EXCEEDED)
    with broker.connect(timeout=30) as client:
        # 5.5 at once; the second one overdraws it, and the third is one too many.
        codes, wait = create(client, 7, a=4, b=4, c=1, a_1=1)
        assert codes == [0, 0, exceeded, exceeded]
        assert 4000 < wait <= 5000
    with broker.connect(timeout=30) as client:
        # What cannot be for another reason says so.
        assert create(client, 7, a=1)[0] == [int(ErrorCode.TOPIC_ALREADY_EXISTS)]
        gone = client.ask(DeleteTopicsRequest(topics=[DeleteTopicState(name="b")], timeout_ms=9000), 6)
        assert gone.responses[0].error_code == exceeded
        assert gone.throttle_time_ms > 0
    with broker.connect(timeout=30) as client:
        wanted = CreatePartitionsRequest(topics=[CreatePartitionsTopic("a", 5)], timeout_ms=9000)
        assert client.ask(wanted, 3).results[0].error_code == exceeded
    with broker.connect(timeout=30) as client:
        wanted.validate_only = True
        assert client.ask(wanted, 3).results[0].error_code == 0


def test_mutations_of_old_clients_are_made_and_waited_for(broker: RunningBroker) -> None:
    assert alter(broker, ANY_CLIENT, controller_mutation_rate=1.0) is ErrorCode.NONE
    with broker.connect(timeout=30) as client:
        codes, wait = create(client, 5, a=10, b=4)
        assert codes == [0, 0]
        assert 2000 < wait <= 3000
    with broker.connect(timeout=30) as client:
        old = CreatePartitionsRequest(topics=[CreatePartitionsTopic("a", 12)], timeout_ms=9000)
        answer = client.ask(old, 2)
        assert answer.results[0].error_code == 0
        assert answer.throttle_time_ms > wait


def test_quotas_outlive_a_restart_and_are_in_force_after_it(broker: RunningBroker) -> None:
    both = {"user": "ANONYMOUS", "client-id": "a~b c*"}
    assert alter(broker, both, producer_byte_rate=20_000.0, request_percentage=12.5) is ErrorCode.NONE
    assert alter(broker, {"user": None}, consumer_byte_rate=1e9) is ErrorCode.NONE
    assert alter(broker, {"ip": "10.1.2.3"}, connection_creation_rate=7.0) is ErrorCode.NONE
    expected = {
        (("user", "ANONYMOUS"), ("client-id", "a~b c*")): {
            "producer_byte_rate": 20_000.0,
            "request_percentage": 12.5,
        },
        (("user", None),): {"consumer_byte_rate": 1e9},
        (("ip", "10.1.2.3"),): {"connection_creation_rate": 7.0},
    }
    assert stored(broker) == expected
    nodes = broker.run(broker.broker.services.member._tree.children("/config/users/ANONYMOUS/clients"))
    assert nodes == ["a%7Eb%20c%2A"]
    broker.stop()
    broker.start()
    assert stored(broker) == expected
    with broker.connect(timeout=30) as client:
        client.client_id = "a~b c*"
        make_topic(client, "t")
        assert put(client, 300_000) > 0


def test_a_limit_is_removed_while_clients_are_there(broker: RunningBroker) -> None:
    with broker.connect(timeout=30) as client:
        make_topic(client, "t")
        assert put(client, 300_000) == 0
        alter(broker, ANY_CLIENT, producer_byte_rate=20_000.0)
        assert put(client, 250_000) > 0
    alter(broker, ANY_CLIENT, producer_byte_rate=None)
    assert stored(broker) == {}
    assert not broker.broker.services.quotas.clients.active
    with broker.connect(timeout=30) as client:
        assert put(client, 900_000) == 0


def test_the_passwords_of_a_user_stay(broker: RunningBroker) -> None:
    """Both are in one node; many change it at the same time."""
    credential = ScramCredential.of("SCRAM-SHA-256", b"salt", b"password", 4096)
    member = broker.broker.services.member

    async def change(number: int) -> None:
        if number % 2:
            await member.scram_users.change(f"u{number // 4}", {"SCRAM-SHA-256": credential})
        else:
            entity = (("user", f"u{number // 4}"),)
            await member.quotas.change(entity, {"producer_byte_rate" if number % 4 else "x": str(number)})

    async def all_of_them() -> list[dict[str, ScramCredential]]:
        await asyncio.gather(*map(change, range(20)))
        return [
            dict(found) for found in (await member.scram_users.read([f"u{n}" for n in range(5)])).values()
        ]

    assert broker.run(all_of_them()) == [{"SCRAM-SHA-256": credential}] * 5
    assert alter(broker, {"user": "u1"}, **{"SCRAM-SHA-256": None}) is ErrorCode.NONE
    assert broker.run(member.scram_users.read(["u1"])) == {"u1": {"SCRAM-SHA-256": credential}}
    assert len(stored(broker)) == 5


@pytest.mark.parametrize(
    ("entity", "values", "code"),
    [
        ({}, {"producer_byte_rate": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"team": "x"}, {"producer_byte_rate": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"user": ""}, {"producer_byte_rate": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"user": "u"}, {"SCRAM-SHA-256": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"user": "u"}, {"connection_creation_rate": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"user": "u"}, {"producer_byte_rate": 1.5}, ErrorCode.INVALID_REQUEST),
        ({"user": "u"}, {"producer_byte_rate": 0.0}, ErrorCode.INVALID_REQUEST),
        ({"user": "u"}, {"request_percentage": -1.0}, ErrorCode.INVALID_REQUEST),
        ({"user": "u"}, {"request_percentage": float("nan")}, ErrorCode.INVALID_REQUEST),
        ({"user": "u", "ip": "10.0.0.1"}, {"producer_byte_rate": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"ip": "host.example"}, {"connection_creation_rate": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"ip": "10.0.0.1"}, {"producer_byte_rate": 1.0}, ErrorCode.INVALID_REQUEST),
        ({"ip": None}, {"connection_creation_rate": 1.0}, ErrorCode.NONE),
        ({"user": "u"}, {"producer_byte_rate": None}, ErrorCode.NONE),
    ],
)
def test_what_is_no_quota(
    broker: RunningBroker, entity: Entity, values: Mapping[str, float | None], code: ErrorCode
) -> None:
    assert alter(broker, entity, **values) is code


@pytest.mark.timeout(120)
def test_a_crowd_of_client_ids_leaves_the_table_at_its_size(broker: RunningBroker) -> None:
    assert alter(broker, ANY_CLIENT, request_percentage=100.0) is ErrorCode.NONE
    with broker.connect(timeout=30) as client:
        for first in range(0, MOST + 2000, 500):
            for number in range(first, first + 500):
                client.client_id = f"crowd-{number}"
                client.send(FindCoordinatorRequest(key="g"), 3)
            for _ in range(500):
                client.receive_frame()
        sizes = {kind: len(usage) for kind, usage in broker.broker.services.quotas.clients.usage.items()}
        assert max(sizes.values()) == MOST
