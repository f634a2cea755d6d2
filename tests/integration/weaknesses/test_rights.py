"""What those try who are known and may not: one API after the other that somebody else forgot to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.access.table import TABLE
from fastlog.wire import ApiKey
from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource
from fastlog.wire.messages.acls import DeleteAclsFilter, DeleteAclsRequest
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from fastlog.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from fastlog.wire.messages.describe_topic_partitions import DescribeTopicPartitionsRequest, TopicRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.compat.access.asked import Asked
from tests.compat.access.requests import asked
from tests.harness.batches import batch
from tests.harness.plain_link import PlainLink
from tests.harness.waiting import wait_until
from tests.integration.access_rules import RuledBroker
from tests.integration.requests import list_offset, make_topic, metadata, produce

DENIED = frozenset(
    {
        ErrorCode.TOPIC_AUTHORIZATION_FAILED,
        ErrorCode.GROUP_AUTHORIZATION_FAILED,
        ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
    }
)
BEFORE: dict[ApiKey, set[ErrorCode]] = {
    # What is wrong with a request before anybody looks at who sent it: names that none could have, or twice.
    ApiKey.DESCRIBE_PRODUCERS: {ErrorCode.INVALID_TOPIC_EXCEPTION},
    ApiKey.CREATE_TOPICS: {ErrorCode.INVALID_REQUEST},
    ApiKey.CREATE_PARTITIONS: {ErrorCode.INVALID_REQUEST},
    # Ids that nobody has; and what was not tried because of the others.
    ApiKey.FETCH: {ErrorCode.UNKNOWN_TOPIC_ID},
    ApiKey.METADATA: {ErrorCode.UNKNOWN_TOPIC_ID},
    ApiKey.DELETE_TOPICS: {ErrorCode.UNKNOWN_TOPIC_ID},
    ApiKey.ADD_PARTITIONS_TO_TXN: {ErrorCode.OPERATION_NOT_ATTEMPTED},
}
TRANSACTIONAL = 0x10
TXN = Resource.TRANSACTIONAL_ID


@pytest.fixture
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuledBroker]:
    """Its topics are res-a and t."""
    running = RuledBroker(
        tmp_path_factory.mktemp("rights"),
        {
            "group.coordinator.rebalance.protocols": "classic,consumer",
            "delegation.token.secret.key": "key",
        },
    )
    running.start()
    try:
        with running.connect() as client:
            make_topic(client, "res-a")
            make_topic(client, "t")
        yield running
    finally:
        running.close()


def codes(answer: Any) -> Iterator[int]:
    """All error codes of an answer."""
    for field in fields(answer):
        value = getattr(answer, field.name)
        if field.name.endswith("error_code"):
            yield value
        for item in value if isinstance(value, list) else [value]:
            if is_dataclass(item):
                yield from codes(item)


# -- nothing for nobody --------------------

# What needs no right, or names nothing that is anybody's.
OPEN = {
    "DescribeCluster",
    # Everybody may have tokens, and sees to one's own; those of others are in test_tokens_against_kafka.
    *(f"{verb}DelegationToken" for verb in ("Create", "Renew", "Expire", "Describe")),
}
LISTS = {"Metadata of all", "ListGroups", "ListTransactions", "DescribeLogDirs"}
"""They leave out what is not to be seen, instead of an error."""


def all_requests() -> list[Asked]:
    """One of each API and version, those that only Kafka 4 has with them."""
    return [
        *asked(),
        Asked("ConsumerGroupDescribe", 0, lambda _: ConsumerGroupDescribeRequest(["res-a"])),
        Asked(
            "DescribeTopicPartitions", 0, lambda _: DescribeTopicPartitionsRequest([TopicRequest("res-a")])
        ),
    ]


def test_no_api_answers_who_has_no_rights(ruled: RuledBroker) -> None:
    """Pulsar CVE-2026-105931, CVE-2026-105926, Redpanda CVE-2023-50976: also the rare ones, also those that
    only read, also those of transactions."""
    topics = ruled.broker.services.cluster.topics
    ids = {name: bytes(topics[name].topic_id) for name in topics}
    seen: set[ApiKey] = set()
    told: list[tuple[str, int, list[str]]] = []
    for one in all_requests():
        request = one.make({**dict.fromkeys(("res-ab", "other"), b"\7" * 16), **ids})
        seen.add(request.API)
        if one.what in OPEN:
            continue
        with ruled.login("alice") as alice:
            answer = alice.call(request, one.version)
        found = set(codes(answer)) - DENIED - {0} - BEFORE.get(request.API, set())
        # Something was refused, or there is nothing in it at all.
        refused = bool(set(codes(answer)) & DENIED)
        is_empty = not any(
            getattr(answer, field.name)
            for field in fields(answer)
            if isinstance(getattr(answer, field.name), list)
            and field.name not in ("brokers", "unknown_state_filters")
        )
        if found or not (refused or (one.what in LISTS and is_empty)):
            told.append((one.what, one.version, sorted(ErrorCode(code).name for code in found)))
    assert told == []
    open_ones = {ApiKey.API_VERSIONS, ApiKey.SASL_HANDSHAKE, ApiKey.SASL_AUTHENTICATE}
    assert set(TABLE) - seen - open_ones <= set(LATER), set(TABLE) - seen


LATER = {
    # A heartbeat makes a group: it is asked in tests of its own, as those of tokens are.
    ApiKey.CONSUMER_GROUP_HEARTBEAT,
    ApiKey.CREATE_DELEGATION_TOKEN,
    ApiKey.RENEW_DELEGATION_TOKEN,
    ApiKey.EXPIRE_DELEGATION_TOKEN,
    ApiKey.DESCRIBE_DELEGATION_TOKEN,
}


# -- transactions --------------------


def producer_of(link: PlainLink, transactional_id: str) -> Any:
    """Its producer id, as soon as there is a coordinator."""

    def ask() -> Any:
        link.call(FindCoordinatorRequest(transactional_id, 1), 3)
        answer: Any = link.call(InitProducerIdRequest(transactional_id, 60_000), 4)
        return answer if answer.error_code == 0 else None

    return wait_until(ask, "no coordinator", seconds=20)


def test_batches_of_transactions_of_others(ruled: RuledBroker) -> None:
    """CVE-2018-17196: the id of the request says nothing of its batches."""
    ruled.allow("alice", Operation.WRITE, "t")
    ruled.allow("alice", Operation.WRITE, "mine", TXN)
    ruled.allow("bob", Operation.WRITE, "theirs", TXN)
    with ruled.login("alice") as alice, ruled.login("bob") as bob:
        theirs = producer_of(bob, "theirs")
        inside = batch(
            b"v", attributes=TRANSACTIONAL, producer=(theirs.producer_id, theirs.producer_epoch, 0)
        )
        plain = batch(b"w")
        refused = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED

        def send(transactional_id: str | None, *data: bytes) -> set[int]:
            rows = [TopicProduceData("t", [PartitionProduceData(0, one)]) for one in data]
            answer: Any = alice.call(ProduceRequest(transactional_id, -1, 5000, rows), 9)
            return set(codes(answer))

        for transactional_id in (None, "", "theirs"):
            assert send(transactional_id, inside) == {refused}
        # Those of no transaction beside it are refused with it, before and behind.
        assert send(None, plain, inside) == send(None, inside, plain) == {refused}
        # Her own id opens her own transactions alone.
        assert 0 not in send("mine", inside)
        assert send(None, plain) == {0}
        answer: Any = alice.call(list_offset("t", -1), 5)
        assert answer.topics[0].partitions[0].offset == 1


# -- administration --------------------


def test_one_of_three_rules_goes(ruled: RuledBroker) -> None:
    """CVE-2024-27309: what is denied stays denied."""
    ruled.allow("*", Operation.ALL, "t")
    ruled.allow("alice", Operation.WRITE, "t", permission=Permission.DENY)
    ruled.allow("bob", Operation.READ, "t")
    with ruled.connect() as client:
        gone = DeleteAclsFilter(2, "t", int(PatternType.LITERAL), "User:bob", None, 1, 1)
        (result,) = client.ask(DeleteAclsRequest([gone]), 3).filter_results
        assert len(result.matching_acls) == 1
    with ruled.login("alice") as alice, ruled.login("bob") as bob:
        assert set(codes(alice.call(produce("t", batch(b"v")), 9))) == {ErrorCode.TOPIC_AUTHORIZATION_FAILED}
        assert set(codes(bob.call(produce("t", batch(b"v")), 9))) == {0}


def test_coordinators_and_quotas(ruled: RuledBroker) -> None:
    """Redpanda's pull requests 5370 and 22520: DESCRIBE of a group is none of a transactional id, and to see
    configurations is not to change quotas."""
    ruled.allow("alice", Operation.ALL, "*", Resource.GROUP)
    ruled.allow("alice", Operation.DESCRIBE_CONFIGS, "kafka-cluster", Resource.CLUSTER)
    entry = EntryData([EntityData("user", "alice")], [OpData("producer_byte_rate", 1e12)])
    with ruled.login("alice") as alice:
        answer: Any = alice.call(FindCoordinatorRequest("theirs", 1), 3)
        assert answer.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        several: Any = alice.call(FindCoordinatorRequest(key_type=1, coordinator_keys=["theirs", "x"]), 4)
        assert set(codes(several)) >= {ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED}
        changed = alice.call(AlterClientQuotasRequest([entry]), 1)
        assert set(codes(changed)) == {ErrorCode.CLUSTER_AUTHORIZATION_FAILED}


def test_a_topic_that_is_asked_for_is_not_made(ruled: RuledBroker) -> None:
    """Metadata makes topics for who may make them: not for who may only see them."""
    ruled.allow("alice", Operation.DESCRIBE, "new")
    with ruled.login("alice") as alice:
        assert set(codes(alice.call(metadata("new"), 12))) == {ErrorCode.TOPIC_AUTHORIZATION_FAILED}
    assert "new" not in ruled.broker.services.cluster.topics
