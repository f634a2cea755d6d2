"""Requests that change something of one little world: a topic `t`, a name `n` for another, a group `g`.

Each is a list of steps, as one client sends them: the next when the one before is answered. A step returns
whether its client was told that all of it was done; why not may differ with the moment.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from fastlog.coordination.groups.table import GroupEntry, GroupTable
from fastlog.errors import ErrorCode
from fastlog.wire.messages.alter_configs import (
    AlterableConfig as ReplacedConfig,
)
from fastlog.wire.messages.alter_configs import (
    AlterConfigsRequest,
)
from fastlog.wire.messages.alter_configs import (
    AlterConfigsResource as ReplacedResource,
)
from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from fastlog.wire.messages.group_admin import DeleteGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from fastlog.wire.messages.groups import JoinGroupRequest, JoinGroupRequestProtocol
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.integration.pairs.world import World

PARTITIONS = 3
TOPIC, GROUP = 2, 32
SET, DELETE, APPEND, SUBTRACT = range(4)

Step = Callable[[World, str], Awaitable[bool]]
Maker = Sequence[Step]


def commit(offset: int, partitions: Sequence[int] = (0,), topic: str = "t", group: str = "g") -> Maker:
    async def step(world: World, space: str) -> bool:
        rows = [OffsetCommitRequestPartition(number, offset) for number in partitions]
        request = OffsetCommitRequest(
            f"{group}-{space}", topics=[OffsetCommitRequestTopic(f"{topic}-{space}", rows)]
        )
        request.generation_id_or_member_epoch = -1
        answer = await world.ask(request, 8)
        return not any(row.error_code for row in answer.topics[0].partitions)

    return [step]


def offset_delete(partitions: Sequence[int] = (0,)) -> Maker:
    async def step(world: World, space: str) -> bool:
        rows = [OffsetDeleteRequestPartition(number) for number in partitions]
        answer = await world.ask(
            OffsetDeleteRequest(f"g-{space}", topics=[OffsetDeleteRequestTopic(f"t-{space}", rows)])
        )
        rows = [row.error_code for topic in answer.topics for row in topic.partitions]
        return answer.error_code == 0 and not any(rows)

    return [step]


def delete_group() -> Maker:
    async def step(world: World, space: str) -> bool:
        return (await world.ask(DeleteGroupsRequest([f"g-{space}"]))).results[0].error_code == 0

    return [step]


class OneGroup:
    """The table of groups as one that holds no other."""

    def __init__(self, table: GroupTable, group_id: str) -> None:
        self._table = table
        self._group_id = group_id

    def __iter__(self) -> Iterator[GroupEntry]:
        return (entry for entry in self._table if entry.group.group_id == self._group_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def expire() -> Maker:
    async def step(world: World, space: str) -> bool:
        # Not a request: the pass over all groups, as if there were this one, with offsets that are all old.
        groups = world.services.groups
        commits = copy.copy(groups.commits)
        commits._table = OneGroup(groups.table, f"g-{space}")  # type: ignore[assignment]
        await commits.expire(-(1 << 60))
        return True

    return [step]


def join_request(space: str) -> JoinGroupRequest:
    """Of a new member of the classic protocol, in version 3."""
    subscription = b"\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"
    return JoinGroupRequest(
        f"g-{space}",
        session_timeout_ms=600_000,
        rebalance_timeout_ms=600_000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", subscription)],
    )


def join() -> Maker:
    async def step(world: World, space: str) -> bool:
        answer = await world.ask(join_request(space), 3)
        # None: the generation has not begun yet. A member that is to join again is one.
        return answer is None or answer.error_code in (ErrorCode.NONE, ErrorCode.REBALANCE_IN_PROGRESS)

    return [step]


def consumer_join(topic: str = "t") -> Maker:
    async def step(world: World, space: str) -> bool:
        answer = await world.ask(
            ConsumerGroupHeartbeatRequest(
                f"g-{space}",
                "member",
                0,
                rebalance_timeout_ms=600_000,
                subscribed_topic_names=[f"{topic}-{space}"],
                topic_partitions=[],
            )
        )
        return answer.error_code == 0

    return [step]


def consumer_leave() -> Maker:
    async def step(world: World, space: str) -> bool:
        answer = await world.ask(ConsumerGroupHeartbeatRequest(f"g-{space}", "member", -1))
        return answer.error_code == 0

    return [step]


def create(name: str) -> Maker:
    async def step(world: World, space: str) -> bool:
        topic = CreatableTopic(f"{name}-{space}", PARTITIONS, 1)
        return (await world.ask(CreateTopicsRequest([topic], timeout_ms=1000))).topics[0].error_code == 0

    return [step]


def delete(name: str) -> Maker:
    async def step(world: World, space: str) -> bool:
        topic = DeleteTopicState(f"{name}-{space}")
        return (await world.ask(DeleteTopicsRequest([topic], timeout_ms=1000))).responses[0].error_code == 0

    return [step]


def create_partitions(name: str, count: int) -> Maker:
    async def step(world: World, space: str) -> bool:
        topic = CreatePartitionsTopic(f"{name}-{space}", count, None)
        answer = await world.ask(CreatePartitionsRequest([topic], timeout_ms=1000))
        return answer.results[0].error_code == 0

    return [step]


def auto_create(name: str) -> Maker:
    async def step(world: World, space: str) -> bool:
        topic = MetadataRequestTopic(name=f"{name}-{space}")
        await world.ask(MetadataRequest([topic], allow_auto_topic_creation=True), 9)
        return True

    return [step]


def delete_records(offset: int) -> Maker:
    async def step(world: World, space: str) -> bool:
        rows = [DeleteRecordsPartition(0, offset)]
        answer = await world.ask(DeleteRecordsRequest([DeleteRecordsTopic(f"t-{space}", rows)]))
        return answer.topics[0].partitions[0].error_code == 0

    return [step]


def alter(kind: int, name: str, key: str, operation: int, value: str | None) -> Maker:
    async def step(world: World, space: str) -> bool:
        config = AlterableConfig(key, operation, value)
        request = IncrementalAlterConfigsRequest([AlterConfigsResource(kind, f"{name}-{space}", [config])])
        return (await world.ask(request)).responses[0].error_code == 0

    return [step]


def replace(kind: int, name: str, **values: str) -> Maker:
    async def step(world: World, space: str) -> bool:
        configs = [ReplacedConfig(key.replace("_", "."), value) for key, value in values.items()]
        request = AlterConfigsRequest([ReplacedResource(kind, f"{name}-{space}", configs)])
        return (await world.ask(request)).responses[0].error_code == 0

    return [step]


ALL = tuple(range(PARTITIONS))

OF_GROUPS: dict[str, Maker] = {
    "commit": commit(7),
    "commit all": commit(8, ALL),
    "delete an offset": offset_delete(),
    "delete all offsets": offset_delete(ALL),
    "delete the group": delete_group(),
    "expire": expire(),
    "join": join(),
    "join as consumer": consumer_join(),
    "leave as consumer": consumer_leave(),
    "delete the topic": delete("t"),
    "remake the topic": [*delete("t"), *create("t")],
}
OF_TOPICS: dict[str, Maker] = {
    "commit for n": commit(9, topic="n"),
    "create t": create("t"),
    "create n": create("n"),
    "create n by itself": auto_create("n"),
    "delete t": delete("t"),
    "delete n": delete("n"),
    "remake t": [*delete("t"), *create("t")],
    "grow t to 4": create_partitions("t", 4),
    "grow t to 5": create_partitions("t", 5),
    "delete records": delete_records(2),
    "set": alter(TOPIC, "t", "retention.ms", SET, "1000000"),
    "append": alter(TOPIC, "t", "cleanup.policy", APPEND, "compact"),
    "subtract": alter(TOPIC, "t", "cleanup.policy", SUBTRACT, "delete"),
    "replace": replace(TOPIC, "t", segment_bytes="2000000"),
}
OF_CONFIGS: dict[str, Maker] = {
    "session": alter(GROUP, "g", "consumer.session.timeout.ms", SET, "50000"),
    "heartbeat": alter(GROUP, "g", "consumer.heartbeat.interval.ms", SET, "6000"),
    "unset": alter(GROUP, "g", "consumer.session.timeout.ms", DELETE, None),
    "replace": replace(GROUP, "g", consumer_heartbeat_interval_ms="7000"),
    "join as consumer": consumer_join(),
    "delete the group": delete_group(),
}
