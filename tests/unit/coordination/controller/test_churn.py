"""Brokers with a controller each come, go, die and lose packets in any order; in the end all is right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.coordination.controller.socket_link import Port
from fastlog.coordination.znodes import paths
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from tests.unit.coordination.controller.cluster import Cluster, FakeBroker
from tests.unit.coordination.controller.tree_world import until
from tests.unit.coordination.znodes.world import Cutter

IDS = (1, 2, 3)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


class Churn:
    """Random events from a seed. What `epochs_seen` holds of a partition only ever rises."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)
        self.cutters: dict[int, Cutter] = {}
        self.made = 0
        self.epochs: dict[tuple[str, int], int] = {}

    async def start(self, broker_id: int) -> None:
        cutter = self.cutters[broker_id] = Cutter(self.cluster.keeper)
        self.cluster.ports[broker_id] = Port.OPEN
        await until(lambda: not self.cluster.has(paths.broker_id(broker_id)))
        await self.cluster.broker(broker_id, cutter=cutter)
        # What it knew is gone with the process.
        self.cluster.brokers[broker_id].replicas.clear()
        self.cluster.brokers[broker_id].metadata.clear()
        self.cluster.brokers[broker_id].away = False
        await self.cluster.controller(broker_id)

    async def step(self) -> None:
        choice = self.random.choice(
            [self.bounce, self.die, self.topic, self.topic, self.cut, self.delete, self.move]
        )
        await choice()
        for _ in range(self.random.randrange(20)):
            await asyncio.sleep(0.002)
        self.look()

    async def bounce(self) -> None:
        broker_id = self.random.choice(IDS)
        self.cutters[broker_id].requests = self.cutters[broker_id].answers = None
        await self.cluster.stop(broker_id)
        await self.start(broker_id)

    async def die(self) -> None:
        """Dead for the others: silent, and its port refuses; then back, in the same life."""
        broker_id = self.random.choice(IDS)
        self.cluster.ports[broker_id] = Port.REFUSED
        self.cluster.brokers[broker_id].away = True
        link = self.cluster.links.get(broker_id)
        if link is not None:
            link.lose()
        await asyncio.sleep(self.random.choice([0.0, 0.2]))
        self.cluster.brokers[broker_id].away = False
        self.cluster.ports[broker_id] = Port.OPEN

    async def topic(self) -> None:
        self.made += 1
        rows = [
            self.random.sample(IDS, self.random.choice([1, 2, 3])) for _ in range(self.random.randint(1, 4))
        ]
        await self.cluster.topic(f"t{self.made}", *rows)

    async def cut(self) -> None:
        cutter = self.cutters[self.random.choice(IDS)]
        setattr(cutter, self.random.choice(["requests", "answers"]), self.random.randrange(10))

    async def delete(self) -> None:
        name = f"t{self.random.randint(1, max(self.made, 1))}"
        if not self.cluster.has(paths.topic(name)) or self.cluster.has(paths.deletion(name)):
            return
        # Nothing ever gets in sync here: a move does not end, and a deletion would wait for it.
        if not any(each.is_moving for each in self.cluster.assignment(name).values()):
            await self.cluster.admin.create(paths.deletion(name))

    async def move(self) -> None:
        name, target = f"t{self.random.randint(1, max(self.made, 1))}", self.random.sample(IDS, 2)
        request = AlterPartitionReassignmentsRequest(
            topics=[ReassignableTopic(name, [ReassignablePartition(0, target)])]
        )
        for controller in list(self.cluster.controllers.values()):
            await controller.alter_reassignments(request)

    def look(self) -> None:
        """Leader epochs never fall, as long as the topic is the same one."""
        now: dict[tuple[str, int], int] = {}
        for name in self.topics():
            for number in self.cluster.assignment(name):
                state = self.cluster.state(name, number)
                if state is not None:
                    now[name, number] = state.leader_epoch
                    assert state.leader_epoch >= self.epochs.get((name, number), 0)
        self.epochs = now

    def topics(self) -> list[str]:
        return list(self.cluster.keeper.machine.tree.nodes[paths.TOPICS].children or ())

    def wrong(self) -> str:
        """What is not as it should be when all brokers live; empty when all is well."""
        topics = self.topics()
        if any(self.cluster.has(paths.deletion(name)) for name in topics):
            return "a deletion is not done"
        keys = [(name, number) for name in topics for number in self.cluster.assignment(name)]
        for said in (*map(self._wrong_with, keys), *map(self._wrong_at, self.cluster.brokers.values())):
            if said:
                return said
        return ""

    def _wrong_with(self, key: tuple[str, int]) -> str:
        state = self.cluster.state(*key)
        if state is None or state.leader not in IDS or state.leader not in state.isr:
            return f"{key} is led by nobody: {state}"
        wanted = (state.leader, state.leader_epoch)
        for replica in self.cluster.assignment(key[0])[key[1]].replicas:
            told = self.cluster.brokers[replica].replicas.get(key)
            if told is None or (told.leader, told.leader_epoch) != wanted:
                return f"broker {replica} does not know {key}: {told} {state}"
        for broker in self.cluster.brokers.values():
            known = broker.metadata.get(key)
            if known is None or (known.leader, known.leader_epoch) != wanted:
                return f"broker {broker.id} tells clients wrongly of {key}: {known} {state}"
        return ""

    def _wrong_at(self, broker: FakeBroker) -> str:
        if broker.live != set(IDS):
            return f"broker {broker.id} knows {broker.live}"
        left = {key for key in broker.metadata if key[0] not in self.topics()}
        return f"broker {broker.id} tells clients of {left}" if left else ""


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_the_cluster_is_right_in_the_end(cluster: Cluster, seed: int) -> None:
    churn = Churn(cluster, seed)
    for broker_id in IDS:
        await churn.start(broker_id)
    for _ in range(25):
        await churn.step()
    for cutter in churn.cutters.values():
        cutter.requests = cutter.answers = None
    try:
        await until(lambda: not churn.wrong())
    except TimeoutError:
        raise AssertionError(churn.wrong()) from None
    await until(lambda: sum(controller.is_active for controller in cluster.controllers.values()) == 1)
