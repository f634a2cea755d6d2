"""ConsumerGroupDescribe (69): state, epochs and members of groups of the consumer protocol. Versions 0 and 1.

A group that does not exist, or uses the classic protocol, gets GROUP_ID_NOT_FOUND: clients then ask with
DescribeGroups. Version 1 tells which protocol each member uses. A member's assignment has also the partitions
that it still has to give up. Topics that are gone are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition, by_topic
from fastlog.coordination.groups.consumer.targets import assignor_name
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin.authorized_operations import group_operations
from fastlog.server.requests.registry import handles
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
    from fastlog.coordination.groups.consumer.members import ConsumerMember
    from fastlog.coordination.groups.consumer.topics_seen import Topics
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_PARTITION_BYTES: Final = 8
"""A place in a list: the numbers themselves are the group's."""


@handles(ApiKey.CONSUMER_GROUP_DESCRIBE)
def handle(
    ctx: RequestContext, request: ConsumerGroupDescribeRequest
) -> Steps[ConsumerGroupDescribeResponse]:
    """One description for each group."""
    described = []
    # One that is named twice is described once: descriptions may be a thousand times longer than names.
    for group_id in dict.fromkeys(request.group_ids):
        group = yield from _describe(ctx, group_id)
        if request.include_authorized_operations and group.error_code == ErrorCode.NONE:
            group.authorized_operations = group_operations(ctx, group_id)
        described.append(group)
        yield
    return ConsumerGroupDescribeResponse(groups=described)


def _describe(ctx: RequestContext, group_id: str) -> Steps[DescribedGroup]:
    groups = ctx.broker.groups
    if not groups.table.serves_consumer_protocol():
        return DescribedGroup(error_code=int(ErrorCode.UNSUPPORTED_VERSION), group_id=group_id)
    try:
        group = groups.admin.consumer_group(group_id)
    except KafkaError as error:
        return DescribedGroup(error_code=int(error.code), error_message=error.message, group_id=group_id)
    topics = groups.table.topics()
    described = DescribedGroup(
        group_id=group_id,
        group_state=group.state.value,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=assignor_name(group),
    )
    # The members as they are now: they may change between two steps.
    for member, target in [(member, group.target(member.member_id)) for member in group.members.values()]:
        described.members.append(_member(member, target, topics))
        ctx.pace.grow(_PARTITION_BYTES * _partitions(described.members[-1]))
        yield
    return described


def _member(member: ConsumerMember, target: Iterable[TopicPartition], topics: Topics) -> Member:
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
        target_assignment=_assignment(target, topics),
        member_type=0 if member.is_classic else 1,
    )


def _partitions(member: Member) -> int:
    both = (member.assignment, member.target_assignment)
    return sum(len(topic.partitions) for assignment in both for topic in assignment.topic_partitions)


def _assignment(partitions: Iterable[TopicPartition], topics: Topics) -> Assignment:
    return Assignment(
        [
            TopicPartitions(topic_id, name, numbers)
            for topic_id, numbers in by_topic(partitions).items()
            if (name := topics.name(topic_id)) is not None
        ]
    )
