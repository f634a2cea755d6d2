"""Consumer groups of both protocols, classic and KIP-848: list, describe, delete, and remove members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from fastlog.client.admin.acl_values import AclOperation, operations_of
from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.admin.every_broker import ask_every_broker
from fastlog.client.admin.group_protocol import read_assignment, read_subscription
from fastlog.client.admin.outcomes import Listing
from fastlog.client.admin.retries import each_alone
from fastlog.client.cluster import Cluster
from fastlog.client.errors import BadResponse, BrokerError, ClientError, VersionMismatch
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages import consumer_group_describe as modern
from fastlog.wire.messages import group_admin as classic
from fastlog.wire.messages import groups as membership

__all__ = [
    "STATES",
    "TYPES",
    "GroupDescription",
    "GroupListing",
    "GroupMember",
    "delete_groups",
    "describe_groups",
    "list_groups",
    "remove_members",
]

T = TypeVar("T")

STATES: Final = (
    *("PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"),
    *("Assigning", "Reconciling", "NotReady"),
)
"""States of groups: the first five of the classic protocol; then those of the newer ones."""
TYPES: Final = ("classic", "consumer", "share", "streams")

_DEAD: Final = "Dead"
_SEVERAL_SINCE: Final = 3
"""Version of LeaveGroup that takes members by their instance ids."""
_OPERATIONS_SINCE: Final = 3
"""Version of DescribeGroups that tells of authorized operations."""


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A group in brief; `state` and `type` are None where the broker does not tell (before 2.6, 3.8)."""

    group_id: str
    protocol_type: str
    state: str | None
    type: str | None
    coordinator: int


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member. Topics and assignment are None when the protocol type is not "consumer".

    `target` is what the coordinator wants the member to own (KIP-848 only).
    """

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    topics: tuple[str, ...] | None
    assignment: dict[str, tuple[int, ...]] | None
    target: dict[str, tuple[int, ...]] | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """State and members. A group that does not exist is "Dead".

    `authorized_operations` are what the client may do with it; None when that was not asked for.
    """

    group_id: str
    type: str
    protocol_type: str
    state: str
    assignor: str
    members: tuple[GroupMember, ...]
    epoch: int | None = None
    authorized_operations: frozenset[AclOperation] | None = None

    @property
    def exists(self) -> bool:
        """Whether the coordinator knows it."""
        return self.state != _DEAD


async def list_groups(
    cluster: Cluster, *, states: Sequence[str] = (), types: Sequence[str] = ()
) -> Listing[GroupListing, int]:
    """Asks every live broker for the groups that it coordinates, with these states and types if any."""
    body = classic.ListGroupsRequest(states_filter=list(states), types_filter=list(types))
    lowest = 5 if types else 4 if states else 0

    async def ask(node: int) -> list[GroupListing]:
        answer = await cluster.request(body, classic.ListGroupsResponse, node=node, lowest=lowest)
        check(answer.error_code, None, answer)
        return [
            GroupListing(
                row.group_id, row.protocol_type, row.group_state or None, row.group_type or None, node
            )
            for row in answer.groups
        ]

    found, errors = await ask_every_broker(cluster, ask)
    listed = [row for rows in found.values() for row in rows]
    return Listing(tuple(sorted(listed, key=lambda row: row.group_id)), errors)


async def describe_groups(
    cluster: Cluster, group_ids: Iterable[str], *, include_authorized_operations: bool = False
) -> dict[str, GroupDescription | ClientError]:
    """Asks the coordinator of each group, first by the newer protocol where the broker has it."""

    async def one(group_id: str) -> GroupDescription:
        try:
            return await _describe_modern(cluster, group_id, include_authorized_operations)
        except VersionMismatch:
            pass
        except BrokerError as error:
            if error.code not in (ErrorCode.GROUP_ID_NOT_FOUND, ErrorCode.UNSUPPORTED_VERSION):
                raise
        return await _describe_classic(cluster, group_id, include_authorized_operations)

    return await each_alone(group_ids, one)


async def delete_groups(cluster: Cluster, group_ids: Iterable[str]) -> dict[str, ClientError | None]:
    """Deletes groups with their offsets. Groups with members stay (NON_EMPTY_GROUP)."""

    async def one(group_id: str) -> None:
        body = classic.DeleteGroupsRequest(groups_names=[group_id])
        answer = await cluster.coordinator_request(group_id, body, classic.DeleteGroupsResponse)
        for row in answer.results:
            check(row.error_code, None, answer)

    return await each_alone(group_ids, one)


async def remove_members(
    cluster: Cluster, group_id: str, members: Iterable[str] | None = None, *, reason: str | None = None
) -> dict[str, ClientError | None]:
    """Removes static members, by their instance ids, or all members that the group has now (KIP-345).

    In a result for all members those without an instance id go by their member ids. For groups of the
    classic protocol, and for static members of the newer one. Raises ClientError for the whole call.
    """
    if members is None:
        described = (await describe_groups(cluster, [group_id]))[group_id]
        if isinstance(described, ClientError):
            raise described
        rows = {row.instance_id or row.member_id: row for row in described.members}
        wanted = [
            membership.MemberIdentity("" if row.instance_id else row.member_id, row.instance_id, reason)
            for row in rows.values()
        ]
    else:
        wanted = [membership.MemberIdentity("", name, reason) for name in dict.fromkeys(members)]
    if not wanted:
        return {}
    body = membership.LeaveGroupRequest(group_id=group_id, members=wanted)
    answer = await cluster.coordinator_request(
        group_id, body, membership.LeaveGroupResponse, lowest=_SEVERAL_SINCE
    )
    check(answer.error_code, None, answer)
    found = {
        row.group_instance_id or row.member_id: failure(row.error_code, None, answer)
        for row in answer.members
    }
    return each_of([row.group_instance_id or row.member_id for row in wanted], found, answer)


async def _describe_modern(cluster: Cluster, group_id: str, operations: bool) -> GroupDescription:
    body = modern.ConsumerGroupDescribeRequest(group_ids=[group_id], include_authorized_operations=operations)
    answer = await cluster.coordinator_request(group_id, body, modern.ConsumerGroupDescribeResponse)
    row = _only(answer.groups, body.API)
    check(row.error_code, row.error_message, answer)
    return GroupDescription(
        group_id=group_id,
        type="consumer",
        protocol_type="consumer",
        state=row.group_state,
        assignor=row.assignor_name,
        members=tuple(_modern_member(member) for member in row.members),
        epoch=row.group_epoch,
        authorized_operations=operations_of(row.authorized_operations),
    )


def _modern_member(row: modern.Member) -> GroupMember:
    return GroupMember(
        member_id=row.member_id,
        instance_id=row.instance_id,
        client_id=row.client_id,
        host=row.client_host.removeprefix("/"),
        topics=tuple(sorted(row.subscribed_topic_names)),
        assignment=_modern_assignment(row.assignment),
        target=_modern_assignment(row.target_assignment),
        epoch=row.member_epoch,
    )


def _modern_assignment(assignment: modern.Assignment) -> dict[str, tuple[int, ...]]:
    return {
        row.topic_name: tuple(sorted(row.partitions))
        for row in sorted(assignment.topic_partitions, key=lambda row: row.topic_name)
    }


async def _describe_classic(cluster: Cluster, group_id: str, operations: bool) -> GroupDescription:
    body = classic.DescribeGroupsRequest(groups=[group_id], include_authorized_operations=operations)
    answer = await cluster.coordinator_request(
        group_id, body, classic.DescribeGroupsResponse, lowest=_OPERATIONS_SINCE if operations else 0
    )
    row = _only(answer.groups, body.API)
    # From version 6 on a group that does not exist is an error, too; before it was in state Dead only.
    if row.error_code != ErrorCode.GROUP_ID_NOT_FOUND:
        check(row.error_code, row.error_message, answer)
    is_consumer = row.protocol_type == "consumer"
    return GroupDescription(
        group_id=group_id,
        type="classic",
        protocol_type=row.protocol_type,
        state=row.group_state,
        assignor=row.protocol_data,
        members=tuple(_classic_member(member, is_consumer=is_consumer) for member in row.members),
        authorized_operations=operations_of(row.authorized_operations),
    )


def _classic_member(row: classic.DescribedGroupMember, *, is_consumer: bool) -> GroupMember:
    return GroupMember(
        member_id=row.member_id,
        instance_id=row.group_instance_id,
        client_id=row.client_id,
        host=row.client_host.removeprefix("/"),
        topics=read_subscription(row.member_metadata) if is_consumer else None,
        assignment=read_assignment(row.member_assignment) if is_consumer else None,
    )


def _only(rows: list[T], api: ApiKey) -> T:
    if len(rows) != 1:
        raise BadResponse(f"{len(rows)} answers came for one group", api=api)
    return rows[0]
