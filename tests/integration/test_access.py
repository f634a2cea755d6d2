"""A broker with an authorizer: rules that change under clients, what is stored, and what no real Kafka of 3.9
in ZooKeeper mode can be asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.access.rules import Rule
from fastlog.coordination.znodes import acl_nodes
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.coordination.zookeeper.requests import Create, Delete, SetData
from fastlog.errors import ErrorCode
from fastlog.server.access.asking import LOGGER
from fastlog.wire import ApiKey
from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource
from fastlog.wire.messages.acls import CreateAclsRequest, DeleteAclsFilter, DeleteAclsRequest
from fastlog.wire.messages.allocate_producer_ids import AllocateProducerIdsRequest
from fastlog.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from fastlog.wire.messages.fetch import FetchRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.groups import HeartbeatRequest
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from fastlog.wire.messages.metadata import MetadataRequest
from fastlog.wire.messages.topics import DeleteTopicsRequest, DeleteTopicState
from tests.harness.batches import batch
from tests.harness.plain_link import PlainLink
from tests.harness.waiting import wait_until
from tests.integration.access_rules import RuledBroker, creation, listed
from tests.integration.requests import fetch, list_offset, make_topic, metadata, produce

R = Resource
DENIED = ErrorCode.TOPIC_AUTHORIZATION_FAILED


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[RuledBroker]:
    """A broker of each test: rules are for all."""
    running = RuledBroker(tmp_path / "data", {"group.coordinator.rebalance.protocols": "classic,consumer"})
    running.start()
    try:
        yield running
    finally:
        running.close()


def code_of(answer: Any) -> ErrorCode:
    """Of the only partition of a Produce, Fetch or ListOffsets answer."""
    (topic,) = answer.responses if hasattr(answer, "responses") else answer.topics
    (row,) = topic.partition_responses if hasattr(topic, "partition_responses") else topic.partitions
    return ErrorCode(row.error_code)


def write(link: PlainLink, topic: str = "t") -> ErrorCode:
    return code_of(link.call(produce(topic, batch(b"v")), 9))


def read(link: PlainLink, topic: str = "t") -> ErrorCode:
    return code_of(link.call(fetch(topic, 0), 12))


def make(running: RuledBroker, *names: str) -> None:
    with running.connect() as client:
        for name in names:
            make_topic(client, name)


def test_rules_take_effect_on_clients_that_are_there(ruled: RuledBroker) -> None:
    make(ruled, "t")
    with ruled.login("alice") as alice, ruled.login("bob") as bob:
        assert (write(alice), read(alice), write(bob)) == (DENIED, DENIED, DENIED)
        ruled.allow("alice", Operation.WRITE, "t")
        assert (write(alice), read(alice), write(bob)) == (0, DENIED, DENIED)
        ruled.allow("alice", Operation.READ, "t", kind=PatternType.PREFIXED)
        assert (write(alice), read(alice)) == (0, 0)
        ruled.allow("*", Operation.ALL, "*")
        assert (write(bob), read(bob)) == (0, 0)
        ruled.allow("bob", Operation.WRITE, "t", permission=Permission.DENY)
        assert (write(bob), read(bob), write(alice)) == (DENIED, 0, 0)
        assert ruled.forget("bob") == 1
        assert write(bob) == 0
        assert ruled.forget("*") == 1
        assert (write(bob), write(alice)) == (DENIED, 0)
        ruled.allow("bob", Operation.WRITE, "t", host="10.9.9.9")
        assert write(bob) == DENIED
        ruled.allow("bob", Operation.WRITE, "t", host="127.0.0.1")
        assert write(bob) == 0


def test_a_fetch_that_waits_gets_nothing_any_more(ruled: RuledBroker) -> None:
    """What comes after a rule is gone is not read, not even by who asked before."""
    make(ruled, "t")
    ruled.allow("alice", Operation.READ, "t")
    with ruled.login("alice") as alice, ruled.connect() as root:
        alice.send(fetch("t", 0, max_wait_ms=20_000), 12)
        time.sleep(0.3)
        ruled.forget("alice")
        root.ask(produce("t", batch(b"v")), 9)
        answer: Any = alice.receive(fetch("t", 0), 12)
        assert code_of(answer) == DENIED


def test_a_session_sees_what_was_taken_and_given(ruled: RuledBroker) -> None:
    """Partitions of a fetch session that nothing moves are looked at again when the rules change."""
    make(ruled, "t", "u")
    ruled.allow("alice", Operation.READ, "*")
    with ruled.login("alice") as alice:
        request = fetch("t", 0, session_epoch=0)
        request.topics += fetch("u", 0).topics
        first: Any = alice.call(request, 12)
        assert first.session_id > 0

        def going_on(epoch: int) -> dict[str, int]:
            more = FetchRequest(max_wait_ms=0, session_id=first.session_id, session_epoch=epoch)
            answer: Any = alice.call(more, 12)
            assert answer.error_code == 0
            return {topic.topic: topic.partitions[0].error_code for topic in answer.responses}

        assert going_on(1) == {}
        ruled.allow("alice", Operation.READ, "u", permission=Permission.DENY)
        assert going_on(2) == {"u": DENIED}
        assert going_on(3) == {"u": DENIED}
        ruled.forget("alice")
        ruled.allow("alice", Operation.READ, "*")
        assert going_on(4) == {"u": 0}
        assert going_on(5) == {}
        # Somebody else who guesses the session gets what is theirs: nothing.
        with ruled.login("bob") as bob:
            more = FetchRequest(max_wait_ms=0, session_id=first.session_id, session_epoch=6)
            answer: Any = bob.call(more, 12)
            assert {topic.partitions[0].error_code for topic in answer.responses} == {DENIED}


def test_names_are_not_revealed(ruled: RuledBroker) -> None:
    make(ruled, "seen", "hidden")
    ruled.allow("alice", Operation.DESCRIBE, "seen")
    ruled.allow("alice", Operation.DESCRIBE, "not-there")
    with ruled.login("alice") as alice:
        everything: Any = alice.call(MetadataRequest(None), 12)
        assert [topic.name for topic in everything.topics] == ["seen"]
        asked: Any = alice.call(metadata("seen", "hidden", "nowhere", "not-there", create=False), 12)
        assert {topic.name: (topic.error_code, topic.partitions != []) for topic in asked.topics} == {
            "seen": (0, True),
            "hidden": (DENIED, False),
            "nowhere": (DENIED, False),
            "not-there": (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, False),
        }
        hidden, nowhere = (topic for topic in asked.topics if topic.name in ("hidden", "nowhere"))
        assert bytes(hidden.topic_id) == bytes(nowhere.topic_id) == bytes(16)
        # The first answer is kept; nobody else is given it.
        with ruled.login("bob") as bob:
            nothing: Any = bob.call(MetadataRequest(None), 12)
            assert nothing.topics == []
        assert alice.call(MetadataRequest(None), 12) == everything


def test_topics_are_deleted_by_id_for_who_may_see_them(ruled: RuledBroker) -> None:
    make(ruled, "t")
    topic_id = ruled.broker.services.cluster.topics["t"].topic_id
    request = DeleteTopicsRequest(
        topics=[DeleteTopicState(topic_id=topic_id), DeleteTopicState(topic_id=b"\7" * 16)], timeout_ms=9000
    )

    def told(user: str) -> set[tuple[str | None, int]]:
        with ruled.login(user) as link:
            answer: Any = link.call(request, 6)
            return {(result.name, result.error_code) for result in answer.responses}

    unknown = (None, ErrorCode.UNKNOWN_TOPIC_ID)
    assert told("alice") == {(None, DENIED), unknown}
    ruled.allow("alice", Operation.DELETE, "t")
    ruled.allow("alice", Operation.DESCRIBE, "t", permission=Permission.DENY)
    assert told("alice") == {(None, DENIED), unknown}
    ruled.allow("bob", Operation.DESCRIBE, "t")
    assert told("bob") == {("t", DENIED), unknown}
    ruled.allow("bob", Operation.DELETE, "t")
    assert told("bob") == {("t", 0), unknown}


def test_topics_are_made_for_who_may_make_them(ruled: RuledBroker) -> None:
    ruled.allow("alice", Operation.WRITE, "new", kind=PatternType.PREFIXED)
    with ruled.login("alice") as alice:
        asked: Any = alice.call(metadata("new-1"), 12)
        assert [(topic.name, topic.error_code) for topic in asked.topics] == [("new-1", DENIED)]
        assert "new-1" not in ruled.broker.services.cluster.topics
        ruled.allow("alice", Operation.CREATE, "new-1")
        assert [topic.error_code for topic in alice.call(metadata("new-1", "new-2"), 12).topics] == [  # type: ignore[attr-defined]
            0,
            DENIED,
        ]
        ruled.allow("alice", Operation.CREATE, "kafka-cluster", R.CLUSTER)
        assert [topic.error_code for topic in alice.call(metadata("new-2"), 12).topics] == [0]  # type: ignore[attr-defined]


def test_who_says_that_it_is_a_follower_moves_nothing(ruled: RuledBroker) -> None:
    """CVE-2018-1288."""
    make(ruled, "t")
    ruled.allow("alice", Operation.ALL, "t")
    with ruled.login("alice") as alice:
        assert write(alice) == 0
        replica = ruled.broker.services.replicas.get("t", 0)
        assert replica is not None
        before = replica.high_watermark, replica.in_sync
        request = fetch("t", 1_000_000)
        request.replica_id = 1
        assert code_of(alice.call(request, 12)) == DENIED
        assert (replica.high_watermark, replica.in_sync) == before
        ruled.allow("alice", Operation.CLUSTER_ACTION, "kafka-cluster", R.CLUSTER)
        # Then it is the listener that is not for brokers.
        refused: Any = alice.call(request, 12)
        assert refused.error_code == ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        assert (replica.high_watermark, replica.in_sync) == before


def test_what_only_brokers_may_ask(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Over the brokers' own listener, too, whoever has no ClusterAction."""
    running = RuledBroker(
        tmp_path / "data", {"super.users": "User:root", "allow.everyone.if.no.acl.found": "true"}
    )
    # It does not lead anything: it is not allowed to be told so, and says that.
    running.start()
    try:
        assert "is not allowed ClusterAction at 127.0.0.1: it will lead nothing" in caplog.text
        with running.connect() as client:
            code = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
            assert client.ask(LeaderAndIsrRequest(controller_epoch=1_000), 6).error_code == code
            assert client.ask(AllocateProducerIdsRequest(broker_id=1), 0).error_code == code
            rule = creation("ANONYMOUS", Operation.ALL, "kafka-cluster", R.CLUSTER)
            assert client.ask(CreateAclsRequest([rule]), 3).results[0].error_code == code
    finally:
        running.close()


def test_rules_survive_a_restart(ruled: RuledBroker) -> None:
    names = ("t", "a b", "*", "né", "x" * 249, "\u2603", "with:colon", "%41", "~")
    ids = [R.TOPIC, R.GROUP, R.TRANSACTIONAL_ID]
    rules = [
        creation(f"CN={name},O=x:y", operation, name, resource, kind=kind, permission=permission, host=host)
        for name in names
        for resource in ids
        for kind in (PatternType.LITERAL, PatternType.PREFIXED)
        for operation, permission, host in (
            (Operation.READ, Permission.ALLOW, "*"),
            (Operation.DESCRIBE_CONFIGS, Permission.DENY, "0:0:0:0:0:0:0:1"),
        )
    ]
    rules += [
        creation("c", operation, "kafka-cluster", R.CLUSTER)
        for operation in Operation
        if operation > Operation.ANY
    ]
    rules.append(creation("d", Operation.DESCRIBE_TOKENS, "User:x", R.USER))
    rules.append(creation("d", Operation.DESCRIBE, "id", R.DELEGATION_TOKEN))
    with ruled.connect() as client:
        answer = client.ask(CreateAclsRequest(rules + rules[:3]), 3)
        assert {result.error_code for result in answer.results} == {0}
    stored = ruled.rules()
    assert len(stored) == len(rules)
    ruled.stop()
    ruled.start()
    assert ruled.rules() == stored
    with ruled.connect() as client:
        everything = DeleteAclsFilter(1, None, 1, None, None, 1, 1)
        (result, other) = client.ask(DeleteAclsRequest([everything, everything]), 3).filter_results
        assert (len(result.matching_acls), other.matching_acls) == (len(rules), [])
        assert listed(client) == []
    ruled.stop()
    ruled.start()
    assert ruled.rules() == []


@pytest.mark.parametrize(
    "change",
    [
        {"resource_name": ""},
        {"resource_name": "a/b"},
        {"resource_name": ".."},
        {"resource_name": "a\0"},
        {"resource_type": 4, "resource_name": "other"},
        {"resource_type": 1},
        {"resource_type": 77},
        {"resource_pattern_type": 2},
        {"resource_pattern_type": 0},
        {"principal": "alice"},
        {"principal": ":alice"},
        {"operation": 1},
        {"operation": 99},
        {"permission_type": 1},
        {"permission_type": -1},
    ],
    ids=repr,
)
def test_what_is_no_rule_is_refused_alone(ruled: RuledBroker, change: dict[str, Any]) -> None:
    bad = creation("a", Operation.READ, "t")
    for name, value in change.items():
        setattr(bad, name, value)
    with ruled.connect() as client:
        answer = client.ask(CreateAclsRequest([bad, creation("a", Operation.READ, "good")]), 3)
        codes = [result.error_code for result in answer.results]
        assert codes == [ErrorCode.INVALID_REQUEST, 0]
        assert [rule[1] for rule in listed(client)] == ["good"]


def test_filters(ruled: RuledBroker) -> None:
    ruled.allow("a", Operation.READ, "t")
    ruled.allow("a", Operation.READ, "t", kind=PatternType.PREFIXED)
    ruled.allow("b", Operation.READ, "*")
    with ruled.connect() as client:
        matching = DeleteAclsFilter(2, "topic", 2, "User:a", None, 1, 1)
        bad = DeleteAclsFilter(2, "t", 9, None, None, 1, 1)
        literal = DeleteAclsFilter(2, "*", 3, None, None, 1, 1)
        answer = client.ask(DeleteAclsRequest([matching, bad, literal]), 3)
        found = [
            (result.error_code, [(row.resource_name, row.pattern_type) for row in result.matching_acls])
            for result in answer.filter_results
        ]
        assert found == [(0, [("t", 4)]), (ErrorCode.INVALID_REQUEST, []), (0, [("*", 3)])]
        assert [rule[1:3] for rule in listed(client)] == [("t", 3)]


def test_rules_that_others_write_are_in_force(ruled: RuledBroker) -> None:
    """As a Java broker writes them; and what is no rule closes its resource."""
    make(ruled, "t")
    tree = ruled.broker.services.member._tree
    data = (
        b'{"version":1,"acls":[{"principal":"User:alice","permissionType":"ALLOW","operation":"WRITE",'
        b'"host":"*"}]}'
    )
    note = Create("/kafka-acl-changes/acl_changes_", b"Topic:t", flags=2)
    with ruled.login("alice") as alice:
        assert write(alice) == DENIED
        ruled.run(tree.write([Create("/kafka-acl/Topic/t", data), note]))
        wait_until(lambda: write(alice) == 0, "the rule is not in force", seconds=20)
        ruled.run(tree.write([SetData("/kafka-acl/Topic/t", b"{", -1), note]))
        wait_until(lambda: write(alice) == DENIED, "rules that cannot be read are in force", seconds=20)
        ruled.allow("alice", Operation.WRITE, "t", kind=PatternType.PREFIXED)
        assert write(alice) == DENIED
    with ruled.connect() as client:
        (result,) = client.ask(CreateAclsRequest([creation("a", Operation.READ, "t")]), 3).results
        assert result.error_code == ErrorCode.KAFKA_STORAGE_ERROR


def test_all_rules_are_read_again_after_a_session(ruled: RuledBroker) -> None:
    """Notifications may be gone by then: what others have changed is found without them."""
    make(ruled, "t")
    ruled.allow("alice", Operation.READ, "t")
    member = ruled.broker.services.member
    store = ruled.run(member.access_rules())
    data = acl_nodes.encode_rules(
        [Rule("User:alice", "*", Operation.WRITE, Permission.ALLOW)],
    )
    with ruled.login("alice") as alice:
        ruled.run(member._tree.write([Create("/kafka-acl-extended/prefixed/Topic/t", data)]))
        ruled.run(member._tree.write([Delete("/kafka-acl/Topic/t")]))
        time.sleep(0.2)
        assert (write(alice), read(alice)) == (DENIED, 0)

        async def expire() -> None:
            store.on_state(SessionState.EXPIRED)

        ruled.run(expire())
        wait_until(lambda: (write(alice), read(alice)) == (0, DENIED), "old rules are in force", seconds=20)


def test_the_log(ruled: RuledBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    make(ruled, "t")
    with ruled.login("alice") as alice:
        read(alice)
        alice.call(HeartbeatRequest("g", 1, "m"), 4)
        alice.call(MetadataRequest(None), 12)
    told = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert told == [
        "Principal = User:alice is Denied Operation = Read from host = 127.0.0.1 on resource = "
        "Topic:LITERAL:t for request = Fetch with resourceRefCount = 1",
        "Principal = User:alice is Denied Operation = Read from host = 127.0.0.1 on resource = "
        "Group:LITERAL:g for request = Heartbeat with resourceRefCount = 1",
    ]


def test_an_api_without_a_row_is_closed(ruled: RuledBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastlog.server.access import gate

    monkeypatch.setattr(
        gate, "TABLE", {key: rows for key, rows in gate.TABLE.items() if key != ApiKey.HEARTBEAT}
    )
    monkeypatch.setattr(gate, "GUARDS", {k: v for k, v in gate.GUARDS.items() if k != ApiKey.LIST_OFFSETS})
    make(ruled, "t")
    for request, version in ((HeartbeatRequest("g", 1, "m"), 4), (list_offset("t", -1), 5)):
        with ruled.login("root") as root:
            try:
                answer: Any = root.call(request, version)
            except ConnectionError:
                continue
            assert answer.error_code == ErrorCode.UNKNOWN_SERVER_ERROR


# -- what Kafka 3.9 in ZooKeeper mode does not have: a model of Kafka 4 ---------


def test_describe_topic_partitions(ruled: RuledBroker) -> None:
    make(ruled, "seen", "hidden")
    ruled.allow("alice", Operation.READ, "seen")
    with ruled.login("alice") as alice:
        everything: Any = alice.call(DescribeTopicPartitionsRequest(), 0)
        assert [topic.name for topic in everything.topics] == ["seen"]
        assert (
            everything.topics[0].topic_authorized_operations == 1 << Operation.READ | 1 << Operation.DESCRIBE
        )
        names = [TopicRequest(name) for name in ("seen", "hidden", "nowhere")]
        asked: Any = alice.call(DescribeTopicPartitionsRequest(names), 0)
        assert {topic.name: topic.error_code for topic in asked.topics} == {
            "seen": 0,
            "hidden": DENIED,
            "nowhere": DENIED,
        }
        assert {bytes(topic.topic_id) for topic in asked.topics if topic.error_code} == {bytes(16)}


def test_groups_of_the_consumer_protocol(ruled: RuledBroker) -> None:
    make(ruled, "t")
    ruled.allow("alice", Operation.READ, "g", R.GROUP)
    with ruled.login("alice") as alice, ruled.connect() as root:
        alice.call(FindCoordinatorRequest(key="g"), 3)

        def join(names: list[str]) -> ErrorCode:
            request = ConsumerGroupHeartbeatRequest(
                "g", "m", 0, rebalance_timeout_ms=5000, subscribed_topic_names=names, topic_partitions=[]
            )
            answer: Any = alice.call(request, 1)
            return ErrorCode(answer.error_code)

        assert join(["t"]) == DENIED
        ruled.allow("alice", Operation.DESCRIBE, "t")
        wait_until(lambda: join(["t"]) == 0, "the group does not form", seconds=20)
        other: Any = alice.call(ConsumerGroupHeartbeatRequest("h", "m", 0), 1)
        assert other.error_code == ErrorCode.GROUP_AUTHORIZATION_FAILED
        described: Any = alice.call(ConsumerGroupDescribeRequest(["g", "h"], True), 1)
        assert {group.group_id: group.error_code for group in described.groups} == {
            "g": 0,
            "h": ErrorCode.GROUP_AUTHORIZATION_FAILED,
        }
        ruled.forget("alice", R.TOPIC)
        described = alice.call(ConsumerGroupDescribeRequest(["g"]), 1)
        assert [(group.error_code, group.members) for group in described.groups] == [(DENIED, [])]
        assert [group.error_code for group in root.ask(ConsumerGroupDescribeRequest(["g"]), 1).groups] == [0]


def test_settings_of_groups(ruled: RuledBroker) -> None:
    ruled.allow("alice", Operation.DESCRIBE_CONFIGS, "g", R.GROUP)
    with ruled.login("alice") as alice:
        asked = [DescribeConfigsResource(32, name) for name in ("g", "h")]
        answer: Any = alice.call(DescribeConfigsRequest(asked), 4)
        assert {result.resource_name: result.error_code for result in answer.results} == {
            "g": 0,
            "h": ErrorCode.GROUP_AUTHORIZATION_FAILED,
        }
