"""ConsumerGroupHeartbeat and its relatives over raw connections: every error, and what the group becomes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.coordination.groups.consumer import leaving, member_heartbeat
from fastlog.coordination.groups.consumer.patterns import check_pattern
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.errors import ErrorCode
from fastlog.server.admin.authorized_operations import GROUP_OPERATIONS
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest, DescribedGroup
from fastlog.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_admin import (
    DeleteGroupsRequest,
    DescribeGroupsRequest,
    ListGroupsRequest,
)
from fastlog.wire.messages.group_offsets import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
)
from fastlog.wire.messages.groups import (
    HeartbeatRequest,
    LeaveGroupRequest,
    MemberIdentity,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tests.harness.group_requests import commit_request, join_request, sync_request
from tests.harness.waiting import wait_until
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker

FAST = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "1",
    "group.consumer.max.size": "2",
}
WANTS_T = bytes.fromhex("0001000000010001") + b"t" + bytes.fromhex("ffffffff00000000")
HAS_T = bytes.fromhex("0000000000010001") + b"t" + bytes.fromhex("0000000100000000ffffffff")


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """Groups of two members."""
    return start_broker(**FAST)


@pytest.fixture
def client(broker: RunningBroker) -> Iterator[RawClient]:
    """A connection; topic t is there."""
    with broker.connect() as connection:
        assert connection.ask(FindCoordinatorRequest(key="g"), 0).error_code == 0
        make_topic(connection, "t")
        yield connection


def beat(
    client: RawClient, member_id: str, epoch: int = 0, *, version: int = 1, **how: Any
) -> ConsumerGroupHeartbeatResponse:
    """A heartbeat; with epoch 0 it says everything."""
    values: dict[str, Any] = {"group_id": "g", "member_id": member_id, "member_epoch": epoch}
    if epoch == 0:
        values |= {"rebalance_timeout_ms": 5000, "subscribed_topic_names": ["t"], "topic_partitions": []}
    answer: ConsumerGroupHeartbeatResponse = client.ask(
        ConsumerGroupHeartbeatRequest(**{**values, **how}), version
    )
    return answer


def join(client: RawClient, member_id: str = "", **how: Any) -> Any:
    """JoinGroup of a classic consumer."""
    return client.ask(join_request("g", member_id, **{"protocol": ("range", WANTS_T), **how}), 3)


def commit(client: RawClient, member_id: str, epoch: int, version: int = 9) -> int:
    """Commits one offset; returns the error code."""
    request = commit_request("g", 7, generation_id_or_member_epoch=epoch, member_id=member_id)
    return int(client.ask(request, version).topics[0].partitions[0].error_code)


def fetch_code(client: RawClient, member_id: str | None, epoch: int) -> int:
    """Fetches all offsets as a member; returns the error code."""
    group = OffsetFetchRequestGroup(group_id="g", member_id=member_id, member_epoch=epoch, topics=None)
    return int(client.ask(OffsetFetchRequest(groups=[group]), 9).groups[0].error_code)


def describe(client: RawClient, group_id: str = "g", version: int = 1) -> DescribedGroup:
    """ConsumerGroupDescribe of one group."""
    answer = client.ask(
        ConsumerGroupDescribeRequest(group_ids=[group_id], include_authorized_operations=True), version
    )
    found: DescribedGroup = answer.groups[0]
    return found


def delete_group(client: RawClient) -> int:
    """DeleteGroups; returns the error code."""
    return int(client.ask(DeleteGroupsRequest(groups_names=["g"]), 2).results[0].error_code)


def test_join_own_commit_leave(client: RawClient) -> None:
    joined = beat(client, "a")
    assert (joined.error_code, joined.member_id, joined.member_epoch) == (0, "a", 1)
    assert joined.heartbeat_interval_ms == 5000
    assert joined.assignment is not None
    owned = joined.assignment.topic_partitions
    assert [row.partitions for row in owned] == [[0]]
    assert beat(client, "a", 1).assignment is None
    assert commit(client, "a", 1) == 0
    assert fetch_code(client, "a", 1) == 0
    found = describe(client)
    assert (found.group_state, found.group_epoch, found.assignment_epoch) == ("Stable", 1, 1)
    assert (found.assignor_name, found.authorized_operations) == ("uniform", GROUP_OPERATIONS)
    (member,) = found.members
    assert (member.member_epoch, member.subscribed_topic_names, member.member_type) == (1, ["t"], 1)
    assert member.assignment == member.target_assignment
    assert (member.assignment.topic_partitions[0].topic_name, member.client_host) == ("t", "/127.0.0.1")
    assert beat(client, "a", -1).member_epoch == -1
    assert describe(client).group_state == "Empty"
    assert delete_group(client) == 0
    assert describe(client).error_code == ErrorCode.GROUP_ID_NOT_FOUND


def test_version_0_gets_its_member_id_from_the_broker(client: RawClient) -> None:
    joined = beat(client, "", version=0)
    assert joined.error_code == 0
    assert joined.member_id
    assert beat(client, joined.member_id, 1, version=0).error_code == 0
    assert describe(client, version=0).members[0].member_id == joined.member_id


def test_heartbeats_that_are_refused(client: RawClient) -> None:
    assert beat(client, "a", 1).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert beat(client, "a", group_id="").error_code == ErrorCode.INVALID_REQUEST
    assert beat(client, "").error_code == ErrorCode.INVALID_REQUEST
    assert beat(client, "a", server_assignor="own").error_code == ErrorCode.UNSUPPORTED_ASSIGNOR
    bad = beat(client, "a", subscribed_topic_regex="(")
    assert bad.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert "not valid" in (bad.error_message or "")
    assert beat(client, "a").error_code == 0
    assert beat(client, "b", 1).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert beat(client, "a", 2).error_code == ErrorCode.FENCED_MEMBER_EPOCH
    assert beat(client, "s", instance_id="i").error_code == 0
    assert beat(client, "c").error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    assert beat(client, "s2", instance_id="i").error_code == ErrorCode.UNRELEASED_INSTANCE_ID
    assert beat(client, "s2", 2, instance_id="i").error_code == ErrorCode.FENCED_INSTANCE_ID


def test_patterns_are_not_read_on_the_event_loop(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(text: str) -> None:
        threads.append(threading.current_thread().name)
        check_pattern(text)

    monkeypatch.setattr(member_heartbeat, "check_pattern", noted)
    assert beat(client, "a", subscribed_topic_regex="t+").error_code == 0
    assert beat(client, "b", subscribed_topic_regex="(").error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert len(threads) == 2
    assert "broker" not in threads


def test_offsets_need_the_epoch_of_the_member(client: RawClient) -> None:
    beat(client, "a")
    assert commit(client, "a", 2) == ErrorCode.STALE_MEMBER_EPOCH
    assert commit(client, "a", 0) == ErrorCode.STALE_MEMBER_EPOCH
    assert commit(client, "b", 1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert commit(client, "", -1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert commit(client, "a", 1, version=8) == ErrorCode.UNSUPPORTED_VERSION
    assert fetch_code(client, "a", 2) == ErrorCode.STALE_MEMBER_EPOCH
    assert fetch_code(client, "b", 1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert fetch_code(client, None, -1) == 0
    # An epoch from before is good for partitions that it had then (KIP-1251).
    beat(client, "other", subscribed_topic_names=["none"])
    assert beat(client, "a", 1).member_epoch == 2
    assert commit(client, "a", 1) == 0
    assert delete_group(client) == ErrorCode.NON_EMPTY_GROUP
    row = OffsetDeleteRequestTopic("t", [OffsetDeleteRequestPartition(0)])
    deleted = client.ask(OffsetDeleteRequest(group_id="g", topics=[row]), 0)
    assert deleted.topics[0].partitions[0].error_code == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC


def test_other_apis_see_it_as_a_consumer_group(client: RawClient) -> None:
    beat(client, "a")
    (old,) = client.ask(DescribeGroupsRequest(groups=["g"]), 5).groups
    assert (old.error_code, old.group_state) == (0, "Dead")
    (new,) = client.ask(DescribeGroupsRequest(groups=["g"]), 6).groups
    assert (new.error_code, new.group_state) == (ErrorCode.GROUP_ID_NOT_FOUND, "Dead")
    assert new.error_message == "Group g is not a classic group."

    def listed(**filters: list[str]) -> list[tuple[str, str, str]]:
        answer = client.ask(ListGroupsRequest(**filters), 5)
        return [(group.group_type, group.group_state, group.protocol_type) for group in answer.groups]

    assert listed() == [("consumer", "Stable", "consumer")]
    assert listed(types_filter=["Consumer"], states_filter=["stable"]) == listed()
    assert listed(types_filter=["classic"]) == []
    assert listed(states_filter=["Empty"]) == []


def test_a_restart_changes_nothing(start_broker: BrokerFactory) -> None:
    broker = start_broker(**FAST)
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        make_topic(client, "t")
        beat(client, "a")
        beat(client, "b", subscribed_topic_names=[], subscribed_topic_regex="t|u")
        beat(client, "a", 1)
        before = describe(client)
    broker.stop()
    broker.start()
    with broker.connect() as client:
        assert client.ask(FindCoordinatorRequest(key="g"), 0).error_code == 0
        while (after := describe(client)).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            pass
        before.members.sort(key=lambda member: member.member_id)
        after.members.sort(key=lambda member: member.member_id)
        assert after == before
        assert beat(client, "a", before.group_epoch).error_code == 0


def test_groups_that_cannot_be_restored_do_not_keep_others_from_it(
    start_broker: BrokerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "a" and "b" are in different partitions."""
    broker = start_broker(**{**FAST, "offsets.topic.num.partitions": "2"})
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="a"), 0)
        make_topic(client, "t")
        for group_id in ("a", "b"):
            assert beat(client, "m", group_id=group_id).error_code == 0
    broker.stop()
    load = ConsumerGroup.load

    def broken(group_id: str, *rest: Any) -> ConsumerGroup:
        if group_id == "b":
            raise LookupError("no such thing")
        return load(group_id, *rest)

    monkeypatch.setattr(ConsumerGroup, "load", broken)
    broker.start()
    with broker.connect() as client:
        while (
            code := beat(client, "m", 1, group_id="a").error_code
        ) == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            pass
        assert code == 0
        while (
            code := beat(client, "m", 1, group_id="b").error_code
        ) == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            pass
        assert code == ErrorCode.NOT_COORDINATOR


def test_a_live_group_goes_to_the_consumer_protocol_and_back(
    client: RawClient, broker: RunningBroker
) -> None:
    """Upgraded by the first new member; the old one is served all along; downgraded by the last one."""
    old = join(client)
    assert old.error_code == 0
    with broker.connect() as other:
        synced = client.ask(sync_request("g", old.generation_id, old.member_id, HAS_T), 3)
        assert synced.error_code == 0
        assert commit(client, old.member_id, old.generation_id) == 0
        new = beat(other, "new")
        assert (new.error_code, new.member_epoch) == (0, old.generation_id + 1)
        assert {member.member_type for member in describe(other).members} == {0, 1}

        def alive(generation: int) -> int:
            request = HeartbeatRequest(group_id="g", generation_id=generation, member_id=old.member_id)
            return int(client.ask(request, 3).error_code)

        assert alive(old.generation_id) == ErrorCode.REBALANCE_IN_PROGRESS
        assert alive(old.generation_id + 5) == ErrorCode.ILLEGAL_GENERATION
        again = join(client, old.member_id)
        assert (again.error_code, again.leader, again.members) == (0, "", [])
        assert again.generation_id == new.member_epoch
        synced = client.ask(sync_request("g", again.generation_id, old.member_id), 3)
        assert (synced.error_code, bytes(synced.assignment)) == (0, b"\0\1" + HAS_T[2:])
        assert alive(again.generation_id) == 0
        refused = join(client, protocol=("sticky", WANTS_T))
        assert refused.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
        assert commit(client, old.member_id, again.generation_id, version=7) == 0
        assert commit(client, old.member_id, 77) == ErrorCode.ILLEGAL_GENERATION
        assert beat(other, "new", -1).error_code == 0
    assert describe(client).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert alive(again.generation_id) != 0
    third = join(client, old.member_id)
    assert (third.error_code, third.leader) == (0, old.member_id)
    assert third.generation_id > again.generation_id
    assert fetch_code(client, None, -1) == 0
    gone = client.ask(LeaveGroupRequest(group_id="g", members=[MemberIdentity(old.member_id)]), 3)
    assert gone.members[0].error_code == 0
    # Empty groups change their protocol for whoever comes.
    assert beat(client, "new").error_code == 0
    assert beat(client, "new", -1).error_code == 0
    assert join(client).error_code == 0


def limit_batches(client: RawClient, limit: int) -> None:
    """Sets how large a batch of the groups' topic may be."""
    change = AlterConfigsResource(
        2, "__consumer_offsets", [AlterableConfig("max.message.bytes", 0, str(limit))]
    )
    answer = client.ask(IncrementalAlterConfigsRequest(resources=[change]), 0)
    assert answer.responses[0].error_code == 0


def test_a_move_that_the_log_refuses_is_none(client: RawClient, broker: RunningBroker) -> None:
    """The group stays what it was, in either direction, and serves its members."""
    old = join(client)
    assert client.ask(sync_request("g", 1, old.member_id, HAS_T), 3).error_code == 0

    def alive() -> int:
        request = HeartbeatRequest(group_id="g", generation_id=1, member_id=old.member_id)
        return int(client.ask(request, 3).error_code)

    with broker.connect() as other:
        limit_batches(other, 300)
        for _ in range(2):
            assert beat(other, "new").error_code == ErrorCode.UNKNOWN_SERVER_ERROR
            assert alive() == 0
        shown = other.ask(DescribeGroupsRequest(groups=["g"]), 5).groups[0]
        assert (shown.group_state, len(shown.members)) == ("Stable", 1)
        assert commit(client, old.member_id, 1) == 0
        assert join(client, old.member_id).generation_id == 2

        limit_batches(other, 1 << 20)
        assert beat(other, "new").error_code == 0
        assert {member.member_id for member in describe(other).members} == {"new", old.member_id}
        limit_batches(other, 300)
        assert beat(other, "new", -1).error_code == ErrorCode.UNKNOWN_SERVER_ERROR
        assert {member.member_id for member in describe(other).members} == {"new", old.member_id}
        assert beat(other, "new", 3, topic_partitions=[]).error_code == 0
        limit_batches(other, 1 << 20)
        assert beat(other, "new", -1).error_code == 0
        assert describe(other).error_code == ErrorCode.GROUP_ID_NOT_FOUND


def test_members_that_waited_when_an_upgrade_was_refused_join_again(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{**FAST, "group.consumer.max.size": "9"})
    with broker.connect() as client, broker.connect() as third, broker.connect() as other:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        make_topic(client, "t")
        old = join(client)
        assert client.ask(sync_request("g", 1, old.member_id, HAS_T), 3).error_code == 0
        late = join_request("g", protocol=("range", WANTS_T))
        third.send(late, 3)
        limit_batches(other, 300)
        assert beat(other, "new").error_code == ErrorCode.UNKNOWN_SERVER_ERROR
        told: Any = third.receive(late.API, 3)[1]
        assert told.error_code == ErrorCode.REBALANCE_IN_PROGRESS
        limit_batches(other, 1 << 20)
        third.send(join_request("g", told.member_id, protocol=("range", WANTS_T)), 3)
        again = join(client, old.member_id)
        assert (again.error_code, again.generation_id, len(again.members)) == (0, 2, 2)
        joined: Any = third.receive(late.API, 3)[1]
        assert joined.generation_id == 2


def test_members_that_expire_together_leave(
    start_broker: BrokerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The topic takes the tombstones of a few of them at a time."""
    monkeypatch.setattr(leaving, "_TOMBSTONE_BYTES", 300)
    monkeypatch.setattr(leaving, "_NEXT_LOT_SECONDS", 3600.0)
    timeouts = {f"group.consumer.{least}session.timeout.ms": "700" for least in ("", "min.")}
    beats = {f"group.consumer.{least}heartbeat.interval.ms": "100" for least in ("", "min.")}
    broker = start_broker(**{**FAST, **timeouts, **beats, "group.consumer.max.size": "40"})
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        make_topic(client, "t")
        for number in range(30):
            assert beat(client, f"m{number}").error_code == 0
        limit_batches(client, 1000)
        wait_until(lambda: not describe(client).members, "members are still there", seconds=20)


def test_groups_that_may_not_move_stay(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{**FAST, "group.consumer.migration.policy": "disabled"})
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        make_topic(client, "t")
        assert join(client).error_code == 0
        refused = beat(client, "new")
        assert refused.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        assert "migration.policy" in (refused.error_message or "")


def test_the_protocol_can_be_turned_off(start_broker: BrokerFactory) -> None:
    on, off = start_broker(), start_broker(**{"group.coordinator.rebalance.protocols": "classic"})
    request = ApiVersionsRequest(client_software_name="a", client_software_version="1")
    with on.connect() as client:
        features = client.ask(request, 4).finalized_features
        assert ("group.version", 1) in [(row.name, row.max_version_level) for row in features]
    with off.connect() as client:
        features = client.ask(request, 4).finalized_features
        assert "group.version" not in [row.name for row in features]
        assert client.ask(request, 3).supported_features[0].min_version == 1
        assert beat(client, "a").error_code == ErrorCode.UNSUPPORTED_VERSION
        assert describe(client).error_code == ErrorCode.UNSUPPORTED_VERSION


def test_owned_partitions_are_read_by_topic_id(client: RawClient) -> None:
    """A member that still owns what it is to give up is kept in its epoch."""
    joined = beat(client, "a")
    assert joined.assignment is not None
    topic_id = bytes(joined.assignment.topic_partitions[0].topic_id)
    changed = beat(client, "a", 1, subscribed_topic_names=["none"])
    assert changed.member_epoch == 1
    (member,) = describe(client).members
    assert member.assignment.topic_partitions[0].partitions == [0], "it is not given up yet"
    assert member.target_assignment.topic_partitions == []
    holds = beat(client, "a", 1, topic_partitions=[TopicPartitions(topic_id, [0])])
    assert holds.member_epoch == 1
    assert beat(client, "a", 1, topic_partitions=[]).member_epoch == 2
