"""The library's admin clients on fastlog and on Apache Kafka 3.9 and 4: the same calls, the same results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastlog import Admin, AsyncAdmin, AsyncProducer, Consumer, NewTopic, Producer, TopicPartition, errors
from fastlog.admin import (
    AclBinding,
    AclFilter,
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
    ConfigChange,
    ConfigOperation,
    ConfigResource,
    ConfigSource,
    Election,
    FeatureUpdate,
    QuotaEntity,
    QuotaName,
    ScramDeletion,
    ScramUpsertion,
    TopicPartitionReplica,
    UpgradeType,
)
from fastlog.client.offset_values import OffsetAndMetadata
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.timeout(180)]

FASTLOG = "fastlog"
KINDS = [
    pytest.param(FASTLOG, id="fastlog"),
    pytest.param(KAFKA_3, id="kafka-3", marks=[pytest.mark.java, pytest.mark.whole]),
    pytest.param(KAFKA_4, id="kafka-4", marks=pytest.mark.java),
]
SETTINGS = {
    "num.partitions": "2",
    "log.retention.ms": "-1",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
}
GUARDED = {"super.users": "User:ANONYMOUS"}
OURS = {"authorizer.class.name": "kafka.security.authorizer.AclAuthorizer"}
KRAFTS = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer"}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def servers(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("library-admin")
    if kind == FASTLOG:
        settings = {**SETTINGS, **GUARDED, **OURS, "node.id": "1"}
        with BrokerProcess(directory, settings=settings) as broker:
            yield broker.bootstrap
    else:
        settings = SETTINGS | GUARDED | KRAFTS
        with ApacheKafka(directory, version=kind, settings=settings, heap="400m", quick=True) as kafka:
            yield kafka.bootstrap


@pytest.fixture
def admin(servers: str) -> Iterator[Admin]:
    with Admin(servers, client_id="test") as made:
        yield made


def soon(check: Callable[[], object], what: str) -> None:
    """What a controller notes takes a moment until all of the broker knows it."""
    wait_until(check, what, seconds=30)


def fill(servers: str, topic: str, count: int, partition: int = 0) -> None:
    with Producer(servers) as producer:
        for number in range(count):
            producer.send(topic, b"%d" % number, partition=partition, timestamp_ms=1_000_000 + number)


def test_topics_are_made_described_grown_and_deleted(admin: Admin) -> None:
    topics = [
        NewTopic("one", partitions=3, config={"retention.ms": 7_200_000, "cleanup.policy": "compact"}),
        NewTopic("placed", assignments=[[1], [1]]),
        NewTopic("bad/name"),
    ]
    made = admin.create_topics([*topics, "by-default"])
    assert list(made) == ["one", "placed", "bad/name", "by-default"]
    assert (made["one"].partitions, made["one"].replication_factor) == (3, 1)
    assert (made["placed"].partitions, made["by-default"].partitions) == (2, 2)
    with pytest.raises(errors.InvalidTopic):
        made["bad/name"]
    with pytest.raises(errors.InvalidTopic):
        made.check()
    again = admin.create_topics(["one", NewTopic("only-checked", 1)], validate_only=True)
    assert isinstance(again.error("one"), errors.TopicAlreadyExists)
    assert again.results.keys() == {"only-checked"}

    described = admin.describe_topics(["one", "nowhere"])
    assert described["one"].topic_id == made["one"].topic_id
    assert [(row.index, row.leader, row.replicas, row.isr) for row in described["one"].partitions] == [
        (number, 1, (1,), (1,)) for number in range(3)
    ]
    with pytest.raises(errors.UnknownTopicOrPartition):
        described["nowhere"]
    assert {"one", "placed", "by-default"} <= set(admin.list_topics())
    assert set(admin.describe_topics()) == set(admin.list_topics())

    grown = admin.create_partitions({"one": 5, "placed": 1})
    assert grown["one"] is None
    assert isinstance(grown.error("placed"), errors.InvalidPartitions)
    soon(lambda: len(admin.describe_topics(["one"])["one"].partitions) == 5, "five partitions")

    gone = admin.delete_topics(["one", "placed", "by-default", "nowhere"])
    assert gone.results == {"one": None, "placed": None, "by-default": None}
    assert isinstance(gone.error("nowhere"), errors.UnknownTopicOrPartition)
    soon(lambda: "one" not in admin.list_topics(), "it is gone")


def test_topics_go_by_their_ids_and_not_by_who_has_the_name_now(admin: Admin) -> None:
    first = admin.create_topics([NewTopic("by-id", 2)])["by-id"].topic_id
    soon(lambda: admin.describe_topics_by_id([first]).results, "it is known")
    nobody = bytes(range(16))
    found = admin.describe_topics_by_id([first, nobody])
    assert (found[first].name, found[first].topic_id, len(found[first].partitions)) == ("by-id", first, 2)
    assert isinstance(found.error(nobody), errors.UnknownTopicId)
    gone = admin.delete_topics_by_id([first, nobody])
    assert gone[first] is None
    assert isinstance(gone.error(nobody), errors.UnknownTopicId)
    soon(lambda: "by-id" not in admin.list_topics(), "it is gone")
    second = admin.create_topics([NewTopic("by-id", 1)])["by-id"].topic_id
    assert second != first
    soon(lambda: admin.describe_topics_by_id([second]).results, "it is known")
    for call in (admin.describe_topics_by_id, admin.delete_topics_by_id):
        assert isinstance(call([first]).error(first), errors.UnknownTopicId)  # type: ignore[operator]
    assert "by-id" in admin.list_topics()
    with pytest.raises(TypeError, match="collection"):
        admin.delete_topics_by_id(first)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="16 bytes"):
        admin.delete_topics_by_id([b"by-id"])
    with pytest.raises(TypeError, match="'by-id' is not"):
        admin.describe_topics_by_id(["by-id"])  # type: ignore[list-item]


def test_settings_of_topics_brokers_and_loggers(admin: Admin, kind: str) -> None:
    admin.create_topics([NewTopic("settings", 1)]).check()
    topic, broker, every = ConfigResource.topic("settings"), ConfigResource.broker(1), ConfigResource.broker()
    lost = ConfigResource.topic("nowhere")
    changed = admin.alter_configs(
        {
            topic: {"retention.ms": 60_000, "max.message.bytes": "5000", "cleanup.policy": "delete"},
            broker: {"log.cleaner.threads": 2},
            lost: {"retention.ms": 1},
        }
    )
    assert changed.results == {topic: None, broker: None}
    assert isinstance(changed.error(lost), errors.UnknownTopicOrPartition)
    admin.alter_configs(
        {
            topic: [
                ConfigChange("max.message.bytes", ConfigOperation.DELETE),
                ConfigChange("cleanup.policy", ConfigOperation.APPEND, "compact"),
            ]
        }
    ).check()
    refused = admin.alter_configs({topic: {"retention.ms": "soon"}}, validate_only=True)
    assert isinstance(refused.error(topic), errors.InvalidConfig)

    def seen() -> bool:
        found = admin.describe_configs([topic], keys=["retention.ms", "max.message.bytes", "cleanup.policy"])
        rows = {row.name: (row.value, row.source) for row in found[topic]}
        return rows == {
            "cleanup.policy": ("delete,compact", ConfigSource.TOPIC),
            "max.message.bytes": ("1048588", ConfigSource.DEFAULT),
            "retention.ms": ("60000", ConfigSource.TOPIC),
        }

    soon(seen, "the settings of the topic")
    loggers = ConfigResource.loggers(1)
    found = admin.describe_configs([topic, broker, every, loggers, lost], synonyms=True)
    assert isinstance(found.error(lost), errors.UnknownTopicOrPartition)
    threads = next(row for row in found[broker] if row.name == "log.cleaner.threads")
    assert (threads.value, threads.source, threads.type) == ("2", ConfigSource.BROKER, "int")
    assert threads.synonyms[0] == ("log.cleaner.threads", "2", ConfigSource.BROKER)
    assert found[loggers]
    admin.alter_configs({broker: {"log.cleaner.threads": None}}).check()
    if kind != FASTLOG:  # its loggers are set at its start
        name = found[loggers][0].name
        admin.alter_configs({loggers: {name: "DEBUG"}}).check()
        assert ("DEBUG", name) in {
            (row.value, row.name) for row in admin.describe_configs([loggers])[loggers]
        }


def test_records_and_offsets_of_logs(admin: Admin, servers: str) -> None:
    admin.create_topics([NewTopic("log", 2)]).check()
    fill(servers, "log", 10)
    one, other, lost = TopicPartition("log", 0), TopicPartition("log", 1), TopicPartition("log", 7)

    def offset(spec: int | str) -> int:
        return admin.list_offsets({one: spec})[one].offset  # type: ignore[dict-item] # words that are none, too

    assert [offset(spec) for spec in ("earliest", "latest", "max_timestamp", 1_000_004, 2_000_000)] == [
        *(0, 10, 9, 4, -1)
    ]
    with pytest.raises(ValueError, match="'newest' is none of"):
        offset("newest")
    found = admin.list_offsets(
        {one: "latest", other: "latest", lost: "latest"}, isolation_level="read_committed"
    )
    assert (found[one].offset, found[other].offset) == (10, 0)
    assert isinstance(found.error(lost), errors.UnknownTopicOrPartition)
    deleted = admin.delete_records({one: 4, other: 7})
    assert deleted[one] == 4
    assert isinstance(deleted.error(other), errors.OffsetOutOfRange)
    assert offset("earliest") == 4
    assert admin.delete_records({("log", 0): -1}).check() == {one: 10}  # type: ignore[dict-item]


def test_groups_of_both_protocols(admin: Admin, servers: str, kind: str) -> None:
    admin.create_topics([NewTopic("read", 2)]).check()
    fill(servers, "read", 5)
    name, other = TopicPartition("read", 0), TopicPartition("read", 1)
    protocols = ("classic",) if kind == KAFKA_3 else ("classic", "consumer")
    for protocol in protocols:
        group = f"group-{protocol}"
        with Consumer(
            servers,
            "read",
            group_id=group,
            group_protocol=protocol,  # type: ignore[arg-type]
            group_instance_id=f"static-{protocol}",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer:
            while not consumer.consume(1, 1.0):
                pass
            consumer.commit({name: 3})
            (listed,) = (row for row in admin.list_groups() if row.group_id == group)
            assert (listed.state, listed.coordinator) == ("Stable", 1)
            assert (listed.type or "").lower() == protocol
            described = admin.describe_groups([group], include_authorized_operations=True)[group]
            assert described.type == protocol
            assert described.authorized_operations is not None
            assert AclOperation.READ in described.authorized_operations
            (member,) = described.members
            assert (member.instance_id, member.assignment) == (f"static-{protocol}", {"read": (0, 1)})
            busy = admin.delete_groups([group, "nobody"])
            assert isinstance(busy.error(group), errors.NonEmptyGroup)
            assert isinstance(busy.error("nobody"), errors.GroupIdNotFound)
            moved = admin.alter_group_offsets(group, {name: 1})
            assert isinstance(moved.error(name), errors.UnknownMemberId)
            removed = admin.remove_members(group, [f"static-{protocol}", "no-such"])
            assert removed[f"static-{protocol}"] is None
            assert isinstance(removed.error("no-such"), errors.UnknownMemberId)
        soon(lambda g=group: admin.describe_groups([g])[g].state == "Empty", "nobody in it")  # type: ignore[misc]
        assert admin.remove_members(group) == {}
        assert admin.list_group_offsets(group)[name].offset == 3
        admin.alter_group_offsets(group, {name: OffsetAndMetadata(1, "by hand"), other: 0}).check()
        assert admin.list_group_offsets(group, require_stable=True).check() == {
            name: OffsetAndMetadata(1, "by hand"),
            other: OffsetAndMetadata(0),
        }
        assert list(admin.list_group_offsets(group, [other])) == [other]
        assert admin.delete_group_offsets(group, [other]).check() == {other: None}
        assert list(admin.list_group_offsets(group)) == [name]
        states = admin.list_groups(states=["Empty"])
        assert group in {row.group_id for row in states}
        assert group not in {row.group_id for row in admin.list_groups(states=["Stable"])}
        assert admin.delete_groups([group]).check() == {group: None}
        assert admin.describe_groups([group])[group].exists is False


async def test_all_members_of_a_group_are_removed(servers: str) -> None:
    async with AsyncAdmin(servers) as admin:
        (await admin.create_topics([NewTopic("leave", 1)])).check()

        def read() -> None:
            with Consumer(servers, "leave", group_id="leavers") as consumer:
                while not done:
                    consumer.consume(1, 0.2)

        done: list[bool] = []
        reading = asyncio.create_task(asyncio.to_thread(read))
        try:
            for _ in range(300):
                if (await admin.describe_groups(["leavers"]))["leavers"].state == "Stable":
                    break
                await asyncio.sleep(0.1)
            removed = await admin.remove_members("leavers", reason="a test")
            assert list(removed.check().values()) == [None]
            assert "fastlog" in next(iter(removed))
        finally:
            done.append(True)
            await reading


def test_the_cluster_its_features_and_directories(admin: Admin, kind: str) -> None:
    found = admin.describe_cluster(include_authorized_operations=True)
    assert (found.controller, list(found.brokers)) == (1, [1])
    assert found.cluster_id
    assert found.authorized_operations is not None
    assert AclOperation.ALTER in found.authorized_operations
    assert admin.describe_cluster().authorized_operations is None
    features = admin.describe_features()
    assert "transaction.version" in features.features or kind == KAFKA_3
    with pytest.raises(errors.ClientError):
        admin.update_features({"no.such": FeatureUpdate(1, UpgradeType.UPGRADE)}, validate_only=True).check()

    admin.create_topics([NewTopic("here", 1)]).check()

    def is_there() -> bool:
        """Kafka answers before the broker has made the directory."""
        (directory,) = admin.describe_log_dirs()[1]
        return TopicPartition("here", 0) in {row.name for row in directory.replicas}

    wait_until(is_there, "the partition is in no directory", seconds=60)
    (directory,) = admin.describe_log_dirs()[1]
    assert directory.total_bytes and directory.usable_bytes and directory.error is None
    there, nowhere = TopicPartitionReplica("here", 0, 1), TopicPartitionReplica("here", 0, 9)
    moved = admin.alter_replica_log_dirs({there: directory.path, nowhere: directory.path})
    assert moved.results == {there: None}
    assert isinstance(moved.error(nowhere), errors.BrokerNotAvailable)
    lost = admin.alter_replica_log_dirs({there: "/no/such/directory"})
    assert isinstance(lost.error(there), errors.LogDirNotFound)


def test_elections_and_reassignments(admin: Admin) -> None:
    admin.create_topics([NewTopic("moves", 1)]).check()
    name, lost = TopicPartition("moves", 0), TopicPartition("moves", 9)
    elected = admin.elect_leaders(Election.PREFERRED, [name, lost])
    assert elected[name] is False
    assert isinstance(elected.error(lost), errors.UnknownTopicOrPartition)
    assert set(admin.elect_leaders(Election.UNCLEAN).check().values()) == {False}
    moved = admin.alter_partition_reassignments({name: [1], lost: [1]})
    assert moved[name] is None
    assert isinstance(moved.error(lost), errors.UnknownTopicOrPartition)
    cancelled = admin.alter_partition_reassignments({name: None})
    assert isinstance(cancelled.error(name), errors.NoReassignmentInProgress)
    assert admin.list_partition_reassignments() == {}
    refused = admin.alter_partition_reassignments({name: [1, 2]})
    assert isinstance(refused.error(name), errors.InvalidReplicaAssignment)


async def test_transactions_are_seen_aborted_and_fenced(servers: str) -> None:
    async with AsyncAdmin(servers) as admin:
        (await admin.create_topics([NewTopic("txn", 1)])).check()
        name = TopicPartition("txn", 0)
        async with AsyncProducer(servers, transactional_id="etl", linger_ms=0) as producer:
            await producer.begin_transaction()
            await producer.send("txn", b"v", partition=0)
            (listed,) = [row for row in await admin.list_transactions() if row.transactional_id == "etl"]
            assert (listed.state, listed.coordinator) == ("Ongoing", 1)
            described = await admin.describe_transactions(["etl", "nobody"])
            assert described["etl"].partitions == (name,)
            assert described["etl"].start_ms is not None
            assert isinstance(described.error("nobody"), errors.TransactionalIdNotFound)
            (state,) = (await admin.describe_producers([name]))[name]
            assert (state.producer_id, state.start_offset) == (listed.producer_id, 0)
            assert len((await admin.find_hanging_transactions()).check()) == 0
            assert [row.transactional_id for row in await admin.list_transactions(states=["Empty"])] == []

            fenced = (await admin.fence_producers(["etl"]))["etl"]
            assert fenced.producer_id == listed.producer_id
            assert fenced.producer_epoch > state.producer_epoch
            with pytest.raises(errors.ClientError) as caught:
                await producer.commit_transaction()
            assert caught.value.fatal
        ends = (await admin.list_offsets({name: "latest"}, isolation_level="read_committed"))[name]
        assert ends.offset == 2  # the record and the marker that aborts it


def test_a_transaction_is_aborted_in_its_log(admin: Admin, servers: str) -> None:
    admin.create_topics([NewTopic("hangs", 1)]).check()
    name = TopicPartition("hangs", 0)
    with Producer(servers, transactional_id="hanger", linger_ms=0) as producer:
        producer.begin_transaction()
        producer.send("hangs", b"v", partition=0).result(30)
        (state,) = admin.describe_producers([name])[name]
        assert state.start_offset == 0
        admin.abort_transaction(name, state.producer_id, state.producer_epoch, state.coordinator_epoch or 0)
        (state,) = admin.describe_producers([name])[name]
        assert state.start_offset is None
        with pytest.raises(errors.ClientError):
            admin.within(2000).abort_transaction(name, state.producer_id, -5, 0)
        producer.abort_transaction()


def test_users(admin: Admin) -> None:
    changed = admin.alter_users(
        [
            ScramUpsertion("alice", "secret", "SCRAM-SHA-256", 5000),
            ScramUpsertion("alice", "secret"),
            ScramUpsertion("bob", "secret", iterations=10),
            ScramDeletion("nobody"),
        ]
    )
    assert changed.results == {"alice": None}
    assert isinstance(changed.error("bob"), errors.UnacceptableCredential)
    assert isinstance(changed.error("nobody"), errors.ResourceNotFound)
    soon(lambda: "alice" in admin.describe_users(), "alice is known")
    assert admin.describe_users(["alice"]).check() == {
        "alice": {"SCRAM-SHA-256": 5000, "SCRAM-SHA-512": 8192}
    }
    assert isinstance(admin.describe_users(["zoe"]).error("zoe"), errors.ResourceNotFound)
    admin.alter_users([ScramDeletion("alice", "SCRAM-SHA-256"), ScramDeletion("alice")]).check()
    soon(lambda: "alice" not in admin.describe_users(), "alice is not known any more")
    assert "secret" not in repr(ScramUpsertion("alice", "secret"))
    with pytest.raises(ValueError, match="'SCRAM' is none of SCRAM-SHA-256"):
        admin.alter_users([ScramDeletion("alice", "SCRAM")])


def test_limits(admin: Admin) -> None:
    alice = QuotaEntity(user="alice")
    both = QuotaEntity(user="alice", client_id=QuotaName.DEFAULT)
    bad = QuotaEntity(ip="10.0.0.1")
    changed = admin.alter_client_quotas(
        {
            alice: {"producer_byte_rate": 1000, "request_percentage": 12.5},
            both: {"consumer_byte_rate": 5},
            bad: {"producer_byte_rate": 1},
        }
    )
    assert changed.results == {alice: None, both: None}
    assert isinstance(changed.error(bad), errors.InvalidRequest)
    known = {
        alice: {"producer_byte_rate": 1000.0, "request_percentage": 12.5},
        both: {"consumer_byte_rate": 5.0},
    }
    soon(lambda: admin.describe_client_quotas() == known, "both limits")
    assert admin.describe_client_quotas(user="alice", strict=True).keys() == {alice}
    assert admin.describe_client_quotas(user=QuotaName.ANY).keys() == {alice, both}
    assert admin.describe_client_quotas(client_id=QuotaName.DEFAULT).keys() == {both}
    assert admin.describe_client_quotas(user=QuotaName.DEFAULT) == {}
    admin.alter_client_quotas({alice: {"producer_byte_rate": 1}}, validate_only=True).check()
    admin.alter_client_quotas(
        {alice: {"producer_byte_rate": None, "request_percentage": None}, both: {"consumer_byte_rate": None}}
    ).check()
    soon(lambda: admin.describe_client_quotas() == {}, "no limits")


def test_access_rules(admin: Admin) -> None:
    rule = AclBinding(AclResourceType.TOPIC, "clicks", "User:alice", AclOperation.READ)
    denied = AclBinding(
        *(AclResourceType.GROUP, "etl-", "User:*", AclOperation.ALL, AclPermission.DENY, "10.0.0.1"),
        AclPatternType.PREFIXED,
    )
    bad = AclBinding(AclResourceType.CLUSTER, "not-the-name", "User:alice", AclOperation.READ)
    made = admin.create_acls([rule, denied, bad])
    assert made.results == {rule: None, denied: None}
    assert isinstance(made.error(bad), errors.InvalidRequest)
    soon(lambda: set(admin.describe_acls()) == {rule, denied}, "both rules")
    assert admin.describe_acls(AclFilter(principal="User:alice")) == (rule,)
    assert admin.describe_acls(AclFilter(permission=AclPermission.DENY)) == (denied,)
    matching = AclFilter(AclResourceType.GROUP, "etl-7", pattern_type=AclPatternType.MATCH)
    assert admin.describe_acls(matching) == (denied,)
    assert (
        admin.describe_acls(AclFilter(AclResourceType.GROUP, "etl-7", pattern_type=AclPatternType.LITERAL))
        == ()
    )
    gone = admin.delete_acls([rule, matching])
    assert gone[rule].check() == (rule,)
    assert gone[matching].rows == (denied,)
    soon(lambda: admin.describe_acls() == (), "no rules")


def test_what_nobody_looks_at_is_told(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fastlog.client"):
        admin.delete_topics(["nowhere"])
    assert "delete_topics of nowhere failed, and nobody looked" in caplog.text


async def test_the_second_protocol_of_transactions_is_spoken_where_it_is_finalized(
    servers: str, kind: str
) -> None:
    """There each transaction has an epoch of its own (KIP-890)."""
    epochs = []
    async with AsyncAdmin(servers) as admin, AsyncProducer(servers, transactional_id="epochs") as producer:
        for number in range(3):
            async with producer.transaction():
                await producer.send("epochs", b"%d" % number)
            epochs.append((await admin.describe_transactions(["epochs"]))["epochs"].producer_epoch)
    assert len(set(epochs)) == (1 if kind == KAFKA_3 else 3)
    assert epochs == sorted(epochs)
