"""A member of a group that hears of a rebalance while it looks for new topics."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

from fastlog.client.cluster import Cluster
from fastlog.client.consumer.config import ConsumerConfig
from fastlog.client.consumer.membership import ClassicMembership
from fastlog.client.metadata import TopicPartition


class Owner:
    """Owns nothing."""

    owned: frozenset[TopicPartition] = frozenset()

    async def take_over(self, names: frozenset[TopicPartition]) -> None:
        self.owned = names

    async def commit_before(self) -> None: ...

    def poke(self) -> None: ...


class Member:
    """Joins, and gives signs of life to a group that is in a rebalance."""

    is_cooperative = False
    generation = 1

    def __init__(self) -> None:
        self.joins = 0
        self.leads_topics = {"t": 1}

    def take_lost(self) -> bool:
        return False

    async def join(self, topics: object, owned: object) -> set[TopicPartition]:
        self.joins += 1
        return {TopicPartition("t", 0)}

    async def heartbeat(self) -> bool:
        return False


async def test_a_look_at_the_topics_does_not_forget_a_rebalance() -> None:
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def metadata(topics: Collection[str]) -> Any:
        looked.set()
        await go_on.wait()
        return SimpleNamespace(topics={"t": SimpleNamespace(partitions=(0,))})

    async def call(what: str, names: frozenset[TopicPartition]) -> None: ...

    cluster = cast("Cluster", SimpleNamespace(metadata=metadata))
    config = ConsumerConfig.of({"group_id": "g", "heartbeat_interval_ms": 10}, None)
    membership = ClassicMembership(cluster, config, Owner(), call)
    member = Member()
    membership._member = cast("Any", member)
    membership.subscribe(frozenset({"t"}), None)
    await membership.attend()
    assert member.joins == 1
    membership._looked = 0.0
    attending = asyncio.ensure_future(membership.attend())
    await looked.wait()
    async with asyncio.timeout(10):
        while not membership._must_join:  # noqa: ASYNC110 - a heartbeat sets it
            await asyncio.sleep(0.01)
    go_on.set()
    await attending
    assert member.joins == 2
    await membership.close(leave=False)
