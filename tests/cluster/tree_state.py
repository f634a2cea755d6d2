"""What a cluster's tree in ZooKeeper says: who lives, who controls, who leads, who is in sync."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import NoNode
from tests.harness.tree import at

Key = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition: its assignment, and what the controller has written of it (-1 and () before that)."""

    replicas: tuple[int, ...]
    leader: int = -1
    leader_epoch: int = -1
    isr: tuple[int, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is led, and all of its replicas are in sync."""
        return self.leader in self.isr and set(self.isr) == set(self.replicas)


@dataclass(frozen=True, slots=True)
class TreeState:
    """One look; nodes are read one after another, so that it may have seen a change half done."""

    brokers: Mapping[int, int] = field(default_factory=dict)
    """The brokers that are registered, with their epochs (czxid)."""
    controller: int | None = None
    controller_epoch: int = 0
    partitions: Mapping[Key, PartitionState] = field(default_factory=dict)

    def of(self, topic: str) -> dict[int, PartitionState]:
        """The partitions of one topic."""
        return {key[1]: state for key, state in self.partitions.items() if key[0] == topic}


def look(connect: str) -> TreeState:
    """Reads it all. Raises TimeoutError without a quorum."""
    return at(connect, read_state)


async def read_state(client: ZkClient) -> TreeState:
    """The same with a client at hand."""
    numbers = [int(name) for name in await _children(client, "/brokers/ids")]
    stats = await asyncio.gather(*(client.exists(f"/brokers/ids/{number}") for number in numbers))
    controller, epoch, topics = await asyncio.gather(
        _document(client, "/controller"),
        _data(client, "/controller_epoch"),
        _children(client, "/brokers/topics"),
    )
    return TreeState(
        {number: stat.czxid for number, stat in zip(numbers, stats, strict=True) if stat is not None},
        controller and controller["brokerid"],
        int(epoch or b"0"),
        dict(
            [
                pair
                for rows in await asyncio.gather(*(_topic(client, name) for name in topics))
                for pair in rows
            ]
        ),
    )


async def _topic(client: ZkClient, topic: str) -> Iterable[tuple[Key, PartitionState]]:
    path = f"/brokers/topics/{topic}"
    document = await _document(client, path)
    assigned = document["partitions"] if document else {}
    states = await asyncio.gather(
        *(_document(client, f"{path}/partitions/{name}/state") for name in assigned)
    )
    return [
        ((topic, int(name)), _partition(tuple(replicas), state))
        for (name, replicas), state in zip(assigned.items(), states, strict=True)
    ]


def _partition(replicas: tuple[int, ...], state: dict[str, Any] | None) -> PartitionState:
    if state is None:
        return PartitionState(replicas)
    return PartitionState(replicas, state["leader"], state["leader_epoch"], tuple(state["isr"]))


async def _children(client: ZkClient, path: str) -> list[str]:
    try:
        return (await client.children(path))[0]
    except NoNode:
        return []


async def _data(client: ZkClient, path: str) -> bytes | None:
    try:
        return (await client.get(path))[0]
    except NoNode:
        return None


async def _document(client: ZkClient, path: str) -> dict[str, Any] | None:
    data = await _data(client, path)
    return json.loads(data) if data else None
