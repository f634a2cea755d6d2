"""What can be told of a little world, without what is random: the same now and after a restart."""

from __future__ import annotations

from typing import Any

from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.errors import ErrorCode
from fastlog.wire.messages.group_offsets import OffsetFetchRequest
from tests.integration.pairs.world import World

MOVING = ("classic", "moving")


async def state_of(world: World, space: str, ids: dict[str, bytes]) -> dict[str, Any]:
    """Topics, offsets, the group and its settings. `ids`: those that topics had when all began."""
    services = world.services
    topics: dict[str, Any] = {}
    for name in ("t", "n"):
        found = services.cluster.topics.get(f"{name}-{space}")
        if found is None:
            topics[name] = None
            continue
        logs = [services.logs.get(found.name, number) for number in range(len(found.partitions))]
        topics[name] = {
            "is the first": found.topic_id == ids.get(name),
            "configs": dict(found.configs),
            "logs": [None if log is None else (log.log_start_offset, log.log_end_offset) for log in logs],
        }
    return {
        "topics": topics,
        "offsets": await offsets_of(world, f"g-{space}"),
        "group": group_of(world, f"g-{space}"),
        "configs": dict(services.cluster.snapshot.group_configs.get(f"g-{space}", {})),
    }


async def offsets_of(world: World, group_id: str) -> dict[tuple[str, int], int]:
    """All offsets of a group, as an administrator sees them."""
    answer = await world.ask(OffsetFetchRequest(group_id, topics=None), 5)
    assert answer.error_code == ErrorCode.NONE, answer
    return {
        (_plain(topic.name), row.partition_index): row.committed_offset
        for topic in answer.topics
        for row in topic.partitions
    }


def group_of(world: World, group_id: str) -> Any:
    """What is stored of the group itself. A classic one that is moving is stored with its next assignment."""
    entry = world.services.groups.table.get(group_id)
    if entry is None:
        return None
    group = entry.group
    if isinstance(group, ConsumerGroup):
        members = {
            name.partition("-")[0]: (
                member.position.epoch,
                [topic.partition("-")[0] for topic in member.details.topics],
            )
            for name, member in group.members.items()
        }
        return "consumer", group.epoch, group.assignment_epoch, members
    if group.state is not GroupState.EMPTY:
        return MOVING
    return ("classic", group.generation) if group.generation else None


def _plain(name: str) -> str:
    """Without what tells little worlds, or members, apart."""
    return name.partition("-")[0]
