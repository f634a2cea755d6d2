"""The requests of groups over raw connections, in every version."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.coordination.groups import leadership
from fastlog.coordination.groups.commits import Commits
from fastlog.coordination.groups.loading import LoadedPartition, load_partition
from fastlog.errors import ErrorCode
from fastlog.server.admin.authorized_operations import GROUP_OPERATIONS
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
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
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponseTopic,
)
from fastlog.wire.messages.groups import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    LeaveGroupRequest,
    MemberIdentity,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from fastlog.wire.messages.topics import DeleteTopicsRequest
from tests.harness import group_requests
from tests.harness.group_requests import commit_request, sync_request
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import make_topic
from tests.integration.running import RawClient, RunningBroker


def versions(key: ApiKey) -> range:
    """All that are served."""
    return range(API_VERSIONS[key][0], API_VERSIONS[key][1] + 1)


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """One that does not wait for more members."""
    return start_broker(
        **{
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "100",
            "offsets.topic.num.partitions": "2",
            "offset.metadata.max.bytes": "10",
        }
    )


@pytest.fixture
def client(broker: RunningBroker) -> Iterator[RawClient]:
    """A connection; the topics are there."""
    with broker.connect() as connection:
        assert connection.ask(FindCoordinatorRequest(key="g"), 0).error_code == 0
        make_topic(connection, "t")
        yield connection


def join_request(member_id: str = "", **how: Any) -> JoinGroupRequest:
    """A member of group g of Connect workers."""
    values: dict[str, Any] = {"group_id": "g", "protocol_type": "connect", "protocol": ("sessioned", b"url")}
    return group_requests.join_request(member_id=member_id, **{**values, **how})


def stable(client: RawClient, **how: object) -> str:
    """Brings one member into a stable group g; returns its id."""
    answer = client.ask(join_request(**how), 3)
    assert answer.error_code == 0
    sync = sync_request("g", answer.generation_id, answer.member_id, b"work")
    assert client.ask(sync, 0).assignment == b"work"
    return str(answer.member_id)


def commit(client: RawClient, offset: int, version: int = 8, *, group_id: str = "g", **how: Any) -> ErrorCode:
    """The code of that one partition."""
    answer = client.ask(commit_request(group_id, offset, **how), version)
    return ErrorCode(answer.topics[0].partitions[0].error_code)


@pytest.mark.parametrize("version", versions(ApiKey.JOIN_GROUP))
def test_join_sync_heartbeat_leave(client: RawClient, version: int) -> None:
    answer = client.ask(join_request(), version)
    if version >= 4:
        assert answer.error_code == ErrorCode.MEMBER_ID_REQUIRED
        answer = client.ask(join_request(answer.member_id), version)
    assert (answer.error_code, answer.generation_id, answer.protocol_name) == (0, 1, "sessioned")
    assert answer.leader == answer.member_id
    assert [(member.member_id, member.metadata) for member in answer.members] == [(answer.member_id, b"url")]
    member_id = answer.member_id
    sync = sync_request("g", 1, member_id, b"tasks", protocol_type="connect", protocol_name="sessioned")
    synced = client.ask(sync, min(version, 5))
    assert (synced.error_code, synced.assignment) == (0, b"tasks")
    heartbeat = HeartbeatRequest(group_id="g", generation_id=1, member_id=member_id)
    assert client.ask(heartbeat, min(version, 4)).error_code == 0
    if version < 3:
        left = client.ask(LeaveGroupRequest(group_id="g", member_id=member_id), version)
    else:
        identity = MemberIdentity(member_id=member_id)
        left = client.ask(LeaveGroupRequest(group_id="g", members=[identity]), min(version, 5))
        assert [item.error_code for item in left.members] == [0]
    assert left.error_code == 0
    assert client.ask(heartbeat, 0).error_code == ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (join_request(group_id=""), ErrorCode.INVALID_GROUP_ID),
        (join_request(session_timeout_ms=99), ErrorCode.INVALID_SESSION_TIMEOUT),
        (join_request(session_timeout_ms=2**31 - 1), ErrorCode.INVALID_SESSION_TIMEOUT),
        (join_request("nobody"), ErrorCode.UNKNOWN_MEMBER_ID),
        (join_request(protocols=[]), ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
    ],
)
def test_refused_members(client: RawClient, request_: JoinGroupRequest, error: ErrorCode) -> None:
    assert ErrorCode(client.ask(request_, 5).error_code) is error


def test_without_the_topic_there_is_no_coordinator(broker: RunningBroker) -> None:
    with broker.connect() as client:
        assert client.ask(join_request(), 5).error_code == ErrorCode.NOT_COORDINATOR
        assert client.ask(ListGroupsRequest(), 4).groups == []


def test_sync_must_name_the_protocol_from_version_5_on(client: RawClient) -> None:
    member_id = stable(client)
    request = SyncGroupRequest(group_id="g", generation_id=1, member_id=member_id)
    assert client.ask(request, 5).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert client.ask(request, 4).error_code == 0


def test_a_waiting_member_does_not_hold_up_the_others(broker: RunningBroker, client: RawClient) -> None:
    member_id = stable(client)
    with broker.connect() as second, broker.connect() as third:
        second.send(join_request(), 3)
        heartbeat = HeartbeatRequest(group_id="g", generation_id=1, member_id=member_id)
        deadline = time.monotonic() + 10
        while client.ask(heartbeat, 4).error_code != ErrorCode.REBALANCE_IN_PROGRESS:
            assert time.monotonic() < deadline
        assert third.ask(ListGroupsRequest(), 4).groups[0].group_state == "PreparingRebalance"
        again = client.ask(join_request(member_id), 3)
        _, joined = second.receive(ApiKey.JOIN_GROUP, 3)
        assert again.generation_id == joined.generation_id == 2  # type: ignore[attr-defined]
        assert len(again.members) == 2


def test_a_stop_answers_who_waits(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"group.initial.rebalance.delay.ms": "60000"})
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        client.send(join_request(), 3)
        with broker.connect() as other:
            while not other.ask(ListGroupsRequest(), 4).groups:
                time.sleep(0.01)
        began = time.monotonic()
        assert broker.stop()
        assert time.monotonic() - began < 10
        _, answer = client.receive(ApiKey.JOIN_GROUP, 3)
        assert answer.error_code == ErrorCode.NOT_COORDINATOR  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_COMMIT))
def test_commit(client: RawClient, version: int) -> None:
    assert commit(client, 42, version) is ErrorCode.NONE
    (found,) = client.ask(OffsetFetchRequest(group_id="g", topics=None), 5).topics[0].partitions
    assert (found.committed_offset, found.metadata) == (42, "m")
    assert found.committed_leader_epoch == (3 if version >= 6 else -1)


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_FETCH))
def test_fetch(client: RawClient, version: int) -> None:
    commit(client, 7, metadata=None)
    if version >= 8:
        topics = [OffsetFetchRequestTopics("t", [0, 1])]
        groups = [OffsetFetchRequestGroup("g", topics=topics), OffsetFetchRequestGroup("other", topics=None)]
        one, other = client.ask(OffsetFetchRequest(groups=groups), version).groups
        assert (other.error_code, other.topics) == (0, [])
        answer = one
    else:
        topics_before = [OffsetFetchRequestTopic("t", [0, 1])]
        answer = client.ask(OffsetFetchRequest(group_id="g", topics=topics_before), version)
    rows = answer.topics[0].partitions
    assert [(row.partition_index, row.committed_offset, row.metadata, row.error_code) for row in rows] == [
        (0, 7, "", 0),
        (1, -1, "", 0),
    ]


def test_commits_that_are_refused(client: RawClient) -> None:
    assert commit(client, 1, topic="nowhere") is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert commit(client, 1, metadata="x" * 11) is ErrorCode.OFFSET_METADATA_TOO_LARGE
    generation = {"generation_id_or_member_epoch": 5, "member_id": "m"}
    assert commit(client, 1, **generation) is ErrorCode.ILLEGAL_GENERATION
    member_id = stable(client)
    assert commit(client, 1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit(client, 1, generation_id_or_member_epoch=1, member_id=member_id) is ErrorCode.NONE


def test_metadata_is_measured_in_characters_of_java(client: RawClient) -> None:
    """Not in bytes; one beyond the 65,536th is two."""
    assert commit(client, 1, metadata="ü" * 10) is ErrorCode.NONE
    assert commit(client, 1, metadata="😀" * 5) is ErrorCode.NONE
    assert commit(client, 1, metadata="😀" * 5 + "x") is ErrorCode.OFFSET_METADATA_TOO_LARGE


@pytest.mark.parametrize("version", versions(ApiKey.DESCRIBE_GROUPS))
def test_describe(client: RawClient, version: int) -> None:
    member_id = stable(client)
    request = DescribeGroupsRequest(groups=["g", "none"], include_authorized_operations=version >= 3)
    group, missing = client.ask(request, version).groups
    assert (group.group_state, group.protocol_type, group.protocol_data) == ("Stable", "connect", "sessioned")
    (member,) = group.members
    assert (member.member_id, member.client_id, member.client_host) == (member_id, "raw", "/127.0.0.1")
    assert (member.member_metadata, member.member_assignment) == (b"url", b"work")
    assert (missing.group_state, missing.members) == ("Dead", [])
    # Since KIP-1043.
    error = (ErrorCode.GROUP_ID_NOT_FOUND, "Group none not found.") if version >= 6 else (0, None)
    assert (missing.error_code, missing.error_message) == error
    assert missing.authorized_operations == (GROUP_OPERATIONS if 3 <= version < 6 else UNKNOWN_OPERATIONS)


@pytest.mark.parametrize("version", versions(ApiKey.LIST_GROUPS))
def test_list(client: RawClient, version: int) -> None:
    stable(client)
    commit(client, 1, group_id="simple")
    listed = client.ask(ListGroupsRequest(), version).groups
    assert {(group.group_id, group.protocol_type) for group in listed} == {("g", "connect"), ("simple", "")}
    if version >= 4:
        some = client.ask(ListGroupsRequest(states_filter=["stable"]), version).groups
        assert [(group.group_id, group.group_state) for group in some] == [("g", "Stable")]
    if version >= 5:
        assert client.ask(ListGroupsRequest(types_filter=["consumer"]), version).groups == []
        assert len(client.ask(ListGroupsRequest(types_filter=["Classic"]), version).groups) == 2


@pytest.mark.parametrize("version", versions(ApiKey.DELETE_GROUPS))
def test_delete(broker: RunningBroker, client: RawClient, version: int) -> None:
    stable(client)
    commit(client, 1, group_id="simple")
    answer = client.ask(DeleteGroupsRequest(groups_names=["g", "simple", "none"]), version)
    assert {item.group_id: ErrorCode(item.error_code) for item in answer.results} == {
        "g": ErrorCode.NON_EMPTY_GROUP,
        "simple": ErrorCode.NONE,
        "none": ErrorCode.GROUP_ID_NOT_FOUND,
    }
    broker.stop()
    broker.start()
    with broker.connect() as again:
        while (answer := again.ask(ListGroupsRequest(), 4)).error_code:
            time.sleep(0.01)
        assert [(group.group_id, group.group_state) for group in answer.groups] == [("g", "Stable")]


def test_delete_offsets(client: RawClient) -> None:
    commit(client, 1)

    def delete(group: str) -> tuple[int, list[int]]:
        partitions = [OffsetDeleteRequestPartition(0), OffsetDeleteRequestPartition(1)]
        topics = [OffsetDeleteRequestTopic(name, partitions) for name in ("t", "nowhere")]
        answer = client.ask(OffsetDeleteRequest(group_id=group, topics=topics), 0)
        return answer.error_code, [row.error_code for topic in answer.topics for row in topic.partitions]

    unknown = int(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    assert delete("none") == (ErrorCode.GROUP_ID_NOT_FOUND, [])
    assert delete("g") == (0, [0, unknown, unknown, unknown])
    # The group had nothing else, so it is gone with them.
    assert delete("g") == (ErrorCode.GROUP_ID_NOT_FOUND, [])
    stable(client)
    assert delete("g") == (ErrorCode.NON_EMPTY_GROUP, [])


def test_a_deleted_topic_takes_its_offsets_along(client: RawClient) -> None:
    commit(client, 9)
    assert client.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=5000), 3).responses[0].error_code == 0
    assert client.ask(OffsetFetchRequest(group_id="g", topics=None), 5).topics == []


def test_the_groups_topic_can_be_deleted_and_made_again(client: RawClient) -> None:
    commit(client, 9)
    deletion = DeleteTopicsRequest(topic_names=["__consumer_offsets"], timeout_ms=5000)
    assert client.ask(deletion, 3).responses[0].error_code == 0
    # Groups of before are forgotten by now.
    time.sleep(0.2)
    assert client.ask(FindCoordinatorRequest(key="g"), 0).error_code == 0
    assert client.ask(OffsetFetchRequest(group_id="g", topics=None), 5).topics == []
    assert commit(client, 5) is ErrorCode.NONE
    assert client.ask(OffsetFetchRequest(group_id="g", topics=None), 5).topics


def test_large_metadata_and_assignments(start_broker: BrokerFactory) -> None:
    """Kafka Streams packs its state into them; a thousand members make it megabytes."""
    broker = start_broker(**{"group.initial.rebalance.delay.ms": "0", "message.max.bytes": str(32 << 20)})
    megabytes = b"0123456789abcdef" * (6 << 16)
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        joined = client.ask(join_request(protocols=[JoinGroupRequestProtocol("stream", megabytes)]), 3)
        assert joined.error_code == 0
        assert joined.members[0].metadata == megabytes
        assignment = SyncGroupRequestAssignment(joined.member_id, megabytes)
        sync = SyncGroupRequest("g", joined.generation_id, joined.member_id, assignments=[assignment])
        assert client.ask(sync, 3).assignment == megabytes
        # What clients may write into a commit keeps its bound.
        assert commit(client, 1, topic="t", metadata="x" * 5000) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        make_topic(client, "t")
        identity = {"generation_id_or_member_epoch": joined.generation_id, "member_id": joined.member_id}
        assert commit(client, 1, metadata="x" * 5000, **identity) is ErrorCode.OFFSET_METADATA_TOO_LARGE


def test_offsets_of_a_topic_that_vanished_are_removed_at_the_next_start(
    broker: RunningBroker, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between the deletion of a topic and that of its offsets."""
    make_topic(client, "stays")
    for topic in ("t", "stays"):
        assert commit(client, 9, topic=topic, group_id="both") is ErrorCode.NONE
    assert commit(client, 9, group_id="only") is ErrorCode.NONE

    async def forgets(_: object, __: str) -> None:
        """Ends before the offsets are removed."""

    with monkeypatch.context() as patched:
        patched.setattr(Commits, "forget_topic", forgets)
        assert (
            client.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=5000), 3).responses[0].error_code
            == 0
        )
    assert {topic.name for topic in fetch_all(client, "both")} == {"t", "stays"}
    for _ in range(2):
        # The second start finds the tombstones.
        broker.stop()
        broker.start()
        with broker.connect() as again:
            deadline = time.monotonic() + 20
            while [topic.name for topic in fetch_all(again, "both")] != ["stays"] or fetch_all(again, "only"):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            # A new topic of the old name begins without offsets.
            if "t" not in broker.broker.services.cluster.topics:
                make_topic(again, "t")
    with broker.connect() as again:
        assert [topic.name for topic in fetch_all(again, "both")] == ["stays"]
        assert {group.group_id for group in again.ask(ListGroupsRequest(), 4).groups} == {"both"}


def fetch_all(client: RawClient, group: str) -> list[OffsetFetchResponseTopic]:
    """All offsets of a group by topic, none while it is loaded."""
    answer = client.ask(OffsetFetchRequest(group_id=group, topics=None), 5)
    return list(answer.topics)


def test_commits_count_in_fsync_mode_when_they_are_on_the_disk(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"fastlog.durability": "fsync", "offsets.topic.num.partitions": "1"})
    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        make_topic(client, "t")
        assert commit(client, 5) is ErrorCode.NONE
    replica = broker.broker.services.replicas.get("__consumer_offsets", 0)
    assert replica is not None
    assert replica.high_watermark == replica.log.recovery_point == replica.log.log_end_offset == 1


def test_requests_while_groups_are_loaded(
    broker: RunningBroker, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members go on as if nothing was; an assignment has to be asked for anew; all else has to wait."""
    member_id = stable(client)
    commit(client, 5, generation_id_or_member_epoch=1, member_id=member_id)
    broker.stop()
    may_load = threading.Event()

    def later(*arguments: Any) -> LoadedPartition:
        assert may_load.wait(20)
        return load_partition(*arguments)

    monkeypatch.setattr(leadership, "load_partition", later)
    broker.start()
    with broker.connect() as again:
        try:
            loading = int(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
            heartbeat = HeartbeatRequest(group_id="g", generation_id=1, member_id=member_id)
            sync = sync_request("g", 1, member_id)
            leave = LeaveGroupRequest(group_id="g", member_id=member_id)
            modern = ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=1)
            assert again.ask(heartbeat, 0).error_code == 0
            assert again.ask(sync, 0).error_code == ErrorCode.REBALANCE_IN_PROGRESS
            assert again.ask(join_request(member_id), 3).error_code == loading
            assert again.ask(leave, 0).error_code == loading
            assert again.ask(modern, 1).error_code == loading
            assert again.ask(ListGroupsRequest(), 4).error_code == loading
            assert again.ask(OffsetFetchRequest(group_id="g", topics=None), 5).error_code == loading
            assert commit(again, 6) == loading
            assert again.ask(DescribeGroupsRequest(groups=["g"]), 5).groups[0].error_code == loading
            assert again.ask(DeleteGroupsRequest(groups_names=["g"]), 2).results[0].error_code == loading
        finally:
            may_load.set()
        while again.ask(ListGroupsRequest(), 4).error_code:
            time.sleep(0.01)
        assert again.ask(heartbeat, 0).error_code == 0
        assert again.ask(sync, 0).assignment == b"work"
        assert fetch_all(again, "g")[0].partitions[0].committed_offset == 5
