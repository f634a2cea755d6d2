"""Every pair of changes at the same time: what comes of it is what comes of some order of the two, and stays.

Two clients send their steps at once, with many timings, to one broker on a loop that a seed drives. What they
were told, and what can be seen then, must be what one of the orders of these steps leads to; and the same
must be there after a restart. What the orders lead to is found out by doing them one after the other.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.groups import removal
from tests.harness.batches import batch
from tests.integration.pairs import makers
from tests.integration.pairs.makers import Maker
from tests.integration.pairs.seeded_loop import SeededLoop
from tests.integration.pairs.state import MOVING, state_of
from tests.integration.pairs.world import World, run

RECORDS = 5


async def simple(world: World, space: str) -> dict[str, bytes]:
    """A topic with records; a group that only stored offsets."""
    await makers.create("t")[0](world, space)
    topic = world.services.cluster.topics[f"t-{space}"]
    replica = world.services.replicas.get(topic.name, 0)
    assert replica is not None
    now = world.services.clock.now_ms()
    for number in range(RECORDS):
        info = replica.log.append(batch(b"%d" % number, timestamp=now), leader_epoch=replica.leader_epoch)
        replica.on_appended(info.end_offset)
    await makers.commit(1, makers.ALL)[0](world, space)
    return {"t": topic.topic_id}


async def classic(world: World, space: str) -> dict[str, bytes]:
    """The same with a group that had a member of the classic protocol."""
    ids = await simple(world, space)
    await makers.join()[0](world, space)
    membership = world.services.groups.membership
    entry = world.services.groups.table.get(f"g-{space}")
    assert entry is not None
    (member,) = list(entry.group.members)  # type: ignore[call-overload]
    membership.leave(f"g-{space}", [(member.member_id, None)])
    await world.settled()
    return ids


async def consumer(world: World, space: str) -> dict[str, bytes]:
    """The same with a group that had a member of the consumer protocol."""
    ids = await simple(world, space)
    await makers.consumer_join()[0](world, space)
    await makers.consumer_leave()[0](world, space)
    return ids


async def occupied(world: World, space: str) -> dict[str, bytes]:
    """The same with a group that has one."""
    ids = await simple(world, space)
    await makers.consumer_join()[0](world, space)
    return ids


async def with_n(world: World, space: str) -> dict[str, bytes]:
    """Two topics."""
    ids = await simple(world, space)
    await makers.create("n")[0](world, space)
    return {**ids, "n": world.services.cluster.topics[f"n-{space}"].topic_id}


class Pairs:
    """Runs all pairs of some changes."""

    def __init__(self, world: World, setup: Callable[[World, str], Any], known: dict[str, Maker]) -> None:
        self.world = world
        self.setup = setup
        self.known = known
        self.number = itertools.count()
        self.orders: dict[tuple[str, str], list[Any]] = {}
        self.runs: list[tuple[str, str, dict[str, bytes], Any]] = []

    async def learn(self, first: str, second: str, *, alone: bool = False) -> None:
        """What all orders of the steps of two changes lead to; or (`alone`) one of them without the other."""
        found = self.orders.setdefault((first, second), [])
        steps = self.known[first], self.known[second]
        single = [[which] * len(steps[which]) for which in (0, 1)]
        for order in single if alone else orders(len(steps[0]), len(steps[1])):
            space = f"o{next(self.number)}"
            ids = await self.setup(self.world, space)
            lines, told = (iter(steps[0]), iter(steps[1])), ([], [])
            for which in order:
                told[which].append(await next(lines[which])(self.world, space))
                await self.world.settled()
            found.append((tuple(told), rough(await state_of(self.world, space, ids))))
            for which in (0, 1):
                told[which].extend(False for _ in lines[which])
            for name in ids:
                await makers.delete(name)[0](self.world, space)

    async def at_once(self, first: str, second: str, seed: int) -> None:
        """Both at the same time."""
        space = f"p{next(self.number)}"
        loop = self.world.loop
        loop.chance.seed(f"{first} {second} {seed}")
        ids = await self.setup(self.world, space)

        async def client(maker: Maker, delay: int) -> list[Any]:
            for _ in range(delay):
                await asyncio.sleep(0)
            return [await step(self.world, space) for step in maker]

        delays = (loop.chance.randrange(20), loop.chance.randrange(20)) if seed else (0, 0)
        told = await asyncio.gather(
            *(client(self.known[name], delay) for name, delay in zip((first, second), delays, strict=True))
        )
        await self.world.settled()
        state = await state_of(self.world, space, ids)
        if (tuple(told), rough(state)) not in self.orders[first, second]:
            # One that is refused need not be there.
            await self.learn(first, second, alone=True)
        assert (tuple(told), rough(state)) in self.orders[first, second], (
            f"'{first}' with '{second}', seed {seed}:\n  now {told} {state}\n"
            + "".join(f"  an order: {order}\n" for order in self.orders[first, second])
        )
        self.runs.append((f"'{first}' with '{second}', seed {seed}", space, ids, state))

    async def compare_after_restart(self) -> None:
        """All runs once more, on the broker that was started anew."""
        for what, space, ids, state in self.runs:
            after = await state_of(self.world, space, ids)
            if state["group"] == MOVING:
                after["group"] = MOVING
            assert after == state, f"{what}: after a restart"
        self.runs.clear()


def rough(state: dict[str, Any]) -> dict[str, Any]:
    """A state without epochs and generations: how often a group moved on depends on who came when."""
    group = state["group"]
    return {**state, "group": group and (group[0], sorted(group[3]) if len(group) > 3 else [])}


def orders(first: int, second: int) -> Iterator[Sequence[int]]:
    """All ways to put so many steps of two clients in a row, each client's in its order."""
    for chosen in itertools.combinations(range(first + second), first):
        yield [0 if index in chosen else 1 for index in range(first + second)]


@pytest.mark.parametrize(
    ("setup", "known"),
    [
        pytest.param(simple, makers.OF_GROUPS, id="groups-simple"),
        pytest.param(classic, makers.OF_GROUPS, id="groups-classic"),
        pytest.param(consumer, makers.OF_GROUPS, id="groups-consumer"),
        pytest.param(occupied, makers.OF_GROUPS, id="groups-occupied"),
        pytest.param(with_n, makers.OF_TOPICS, id="topics-two"),
        pytest.param(consumer, makers.OF_CONFIGS, id="configs"),
    ],
)
@pytest.mark.timeout(240)
def test_pairs(
    setup: Callable[[World, str], Any],
    known: dict[str, Maker],
    memory_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that few offsets take several batches.
    monkeypatch.setattr(removal, "_TOMBSTONES_PER_BATCH", 2)

    timings = 2 if known is makers.OF_TOPICS else 3

    async def test(loop: SeededLoop) -> None:
        async with World(memory_path, loop) as world:
            await world.group_topic()
            pairs = Pairs(world, setup, known)
            for first, second in itertools.combinations_with_replacement(known, 2):
                await pairs.learn(first, second)
                for seed in range(timings):
                    await pairs.at_once(first, second, seed)
            await world.stop()
            await world.start()
            await pairs.compare_after_restart()

    run(test)
