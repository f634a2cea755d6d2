"""What a change of one topic costs the tree's store and the keeper while there are many: work is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.coordination.store import ANY_VERSION
from fastlog.coordination.znodes import paths
from fastlog.coordination.znodes.metadata_store import TreeMetadataStore
from fastlog.coordination.zookeeper.requests import Create
from tests.unit.coordination.work import steps_of
from tests.unit.coordination.znodes.world import PARTITION, World, topic

FEW, MANY = 200, 2_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TreeMetadataStore]:
    async with World(tmp_path) as world:
        store = world.store()
        await store.load("cluster")
        yield store
        await store.close()


async def measured(store: TreeMetadataStore) -> int:
    async def changes() -> None:
        (made,) = await store.create_topics([topic("new")])
        await store.complete_topics([made])
        (grown,) = await store.add_partitions({"new": (ANY_VERSION, [PARTITION])})
        (done,) = await store.complete_topics([grown])
        (done,) = await store.set_configs([replace(done, configs={"retention.ms": "1"})], {})
        await store.mark_deleting([done])
        await store.delete_topics(["new"])

    return await steps_of(changes())


async def test_a_change_of_one_topic_visits_no_other(store: TreeMetadataStore) -> None:
    made = 0
    counts: list[int] = []
    for size in (FEW, MANY):
        topics = await store.create_topics([topic(f"t{number}") for number in range(made, size)])
        await store.complete_topics(topics)
        made = size
        await measured(store)
        # What else goes on in the background differs from time to time.
        counts.append(min([await measured(store) for _ in range(3)]))
    # One instruction for each topic would be 1,800, in each of seven changes.
    assert counts[1] < counts[0] + 1_700


async def test_a_partition_that_is_noted_copies_nothing_of_the_others(store: TreeMetadataStore) -> None:
    (made,) = await store.create_topics([topic("t", 3)])
    await store.complete_topics([made])
    nodes = store._nodes
    parents = nodes.versions["t"].parents
    nodes._note(Create(paths.partition("t", 3), None), 0)
    assert nodes.versions["t"].parents is parents
    assert parents == {0, 1, 2, 3}
