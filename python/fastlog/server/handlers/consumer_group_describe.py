"""ConsumerGroupDescribe (69): state, epochs and members of groups of the consumer protocol. Versions 0 and 1.

A group that does not exist, or uses the classic protocol, gets GROUP_ID_NOT_FOUND: clients then ask with
DescribeGroups. Version 1 tells which protocol each member uses. A member's assignment has also the partitions
that it still has to give up. Topics that are gone are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastlog.coordination.groups.modern.assignors.spec import TopicPartition, by_topic
from fastlog.coordination.groups.modern.targets import assignor_name
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.authorized_operations import GROUP_OPERATIONS
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    Member,
    TopicPartitions,
)

if TYPE_CHECKING:
    from fastlog.coordination.groups.modern.members import ConsumerMember
    from fastlog.coordination.groups.modern.state import ConsumerGroup
    from fastlog.coordination.groups.modern.topics import Topics
    from fastlog.server.context import RequestContext


@handles(ApiKey.CONSUMER_GROUP_DESCRIBE)
def handle(ctx: RequestContext, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse:
    """One description for each group."""
    described = [_describe(ctx, group_id) for group_id in request.group_ids]
    if request.include_authorized_operations:
        for group in described:
            if group.error_code == ErrorCode.NONE:
                group.authorized_operations = GROUP_OPERATIONS
    return ConsumerGroupDescribeResponse(groups=described)


def _describe(ctx: RequestContext, group_id: str) -> DescribedGroup:
    groups = ctx.broker.groups
    if not groups.table.serves_consumer_protocol():
        return DescribedGroup(error_code=int(ErrorCode.UNSUPPORTED_VERSION), group_id=group_id)
    try:
        group = groups.admin.consumer_group(group_id)
    except KafkaError as error:
        return DescribedGroup(error_code=int(error.code), error_message=error.message, group_id=group_id)
    topics = groups.table.topics()
    return DescribedGroup(
        group_id=group_id,
        group_state=group.state.value,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=assignor_name(group),
        members=[_member(group, member, topics) for member in group.members.values()],
    )


def _member(group: ConsumerGroup, member: ConsumerMember, topics: Topics) -> Member:
    details = member.details
    return Member(
        member_id=member.member_id,
        instance_id=details.instance_id,
        rack_id=details.rack_id,
        member_epoch=member.position.epoch,
        client_id=details.client_id,
        client_host=details.client_host,
        subscribed_topic_names=list(details.topics),
        subscribed_topic_regex=details.regex,
        assignment=_assignment(member.position.owns(), topics),
        target_assignment=_assignment(group.target(member.member_id), topics),
        member_type=0 if member.is_classic else 1,
    )


def _assignment(partitions: Iterable[TopicPartition], topics: Topics) -> Assignment:
    return Assignment(
        [
            TopicPartitions(topic_id, name, numbers)
            for topic_id, numbers in by_topic(partitions).items()
            if (name := topics.name(topic_id)) is not None
        ]
    )
