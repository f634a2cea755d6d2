"""Every pair of requests about one transactional id at the same time, also with a kill between the two.

What comes of two is what comes of some order of them. A client that has no answer when the broker is killed
asks again: then its request may have been carried out once before, and the orders are those in which one that
is asked again stands twice.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.extent import WHOLE
from tests.integration.pairs import makers
from tests.integration.pairs.seeded_loop import SeededLoop
from tests.integration.pairs.transactional import (
    NOBODY,
    Step,
    TransactionWorld,
    commit_offset,
    init,
    requests,
    state_of,
    write,
)
from tests.integration.pairs.transactional import add as add_partition
from tests.integration.pairs.transactional import add_offsets as add_group
from tests.integration.pairs.world import run

_PASSES = frozenset({"time out", "expire"})
"""What nobody has asked for: it says nothing, and need not have come to its end when the broker is killed."""
_FIRST_PARTS = {"write": "join", "write elsewhere": "join elsewhere", "move the group": "join with the group"}
"""In the second protocol a partition joins before anything is written; that is refused alone, too."""

Setup = Callable[[TransactionWorld, str], Awaitable[None]]
Outcome = tuple[tuple[bool | None, bool | None], dict[str, Any]]
_TIMINGS = 4 if WHOLE else 2
_DELAYS = 24
_KILLS = (2, 9, 25, 60) if WHOLE else (5, 30)
"""Turns of the event loop after which the broker is killed."""


async def idle(world: TransactionWorld, space: str) -> None:
    """A producer with an epoch, and no transaction."""
    world.identities[space] = NOBODY
    await makers.create("t")[0](world, space)
    assert await init(is_owner=False)(world, space)
    service = await world.service()
    entry = service._questions.find(f"x-{space}")[1].entry  # type: ignore[index]
    world.identities[space] = entry.producer_id, entry.epoch


async def begun(world: TransactionWorld, space: str) -> None:
    """The same with partition 0 in its transaction, and nothing written yet."""
    await idle(world, space)
    assert await add_partition(0)(world, space)
    assert await add_group()(world, space)


async def written(world: TransactionWorld, space: str) -> None:
    """The same with a record, and the group moved."""
    await begun(world, space)
    assert await write(0, 9, b"first")(world, space)
    assert await commit_offset(5, 3)(world, space)


async def written_raising(world: TransactionWorld, space: str) -> None:
    """The same in the second protocol."""
    await idle(world, space)
    assert await write(0, 12, b"first")(world, space)
    assert await commit_offset(5, 5)(world, space)


_WHOLE = pytest.mark.whole
_CASES = [
    pytest.param(idle, False, id="first-idle", marks=_WHOLE),
    pytest.param(begun, False, id="first-begun", marks=_WHOLE),
    pytest.param(written, False, id="first-written"),
    pytest.param(idle, True, id="second-idle", marks=_WHOLE),
    pytest.param(written_raising, True, id="second-written"),
]


class Pairs:
    """Runs pairs of requests, and knows what their orders lead to."""

    def __init__(self, world: TransactionWorld, setup: Setup, known: Mapping[str, Step]) -> None:
        self.world = world
        self.setup = setup
        self.names = [*known]
        self.known = {
            **known,
            "join": add_partition(0),
            "join elsewhere": add_partition(1),
            "join with the group": add_group(),
        }
        self._numbers = itertools.count()
        self._orders: dict[tuple[tuple[str, str], tuple[int, ...]], Outcome] = {}

    def pairs(self) -> Iterator[tuple[str, str]]:
        """All of them, each with itself too."""
        return itertools.combinations_with_replacement(self.names, 2)

    async def begin(self) -> str:
        """A new space."""
        space = f"s{next(self._numbers)}"
        await self.setup(self.world, space)
        return space

    async def of_order(self, pair: tuple[str, str], order: tuple[int, ...]) -> Outcome:
        """What comes of requests one after the other; each is told what the last of its kind was."""
        if (pair, order) not in self._orders:
            space = await self.begin()
            told: list[bool | None] = [None, None]
            for which in order:
                told[which] = await self.known[pair[which]](self.world, space)
                await self.world.quiet(space)
            self._orders[pair, order] = (told[0], told[1]), await state_of(self.world, space)
        return self._orders[pair, order]

    async def judge(
        self, what: str, pair: tuple[str, str], found: Outcome, again: tuple[bool, bool] = (False, False)
    ) -> None:
        """Raises AssertionError unless some order leads to that. `again`: who may have been asked twice."""
        looked: list[tuple[tuple[str, str], tuple[int, ...], Outcome]] = []
        for names, absent in self._ways(pair, found[0]):
            for order in _orders(again, absent):
                outcome = await self.of_order(names, order)
                told = [
                    name in _PASSES
                    or name != named
                    or which in absent
                    or found[0][which] == outcome[0][which]
                    for which, (name, named) in enumerate(zip(pair, names, strict=True))
                ]
                if all(told) and outcome[1] == found[1]:
                    return
                looked.append((names, order, outcome))
        lines = "".join(f"  {names} {order}: {outcome}\n" for names, order, outcome in looked)
        raise AssertionError(f"{what}: '{pair[0]}' with '{pair[1]}'\n  now {found}\n{lines}")

    def _ways(
        self, pair: tuple[str, str], told: tuple[bool | None, bool | None]
    ) -> Iterator[tuple[tuple[str, str], frozenset[int]]]:
        """The requests to try, and who of them may be left out: one that is refused, or a pass."""
        absent = frozenset(which for which in (0, 1) if told[which] is False or pair[which] in _PASSES)
        yield pair, absent
        for which in (0, 1):
            if told[which] is False and pair[which] in _FIRST_PARTS:
                part = _FIRST_PARTS[pair[which]]
                yield ((part, pair[1]) if which == 0 else (pair[0], part)), absent


def _orders(again: tuple[bool, bool], absent: frozenset[int]) -> Iterator[tuple[int, ...]]:
    """Rows of 0 and 1, each once, or twice where it may have been asked again; the shorter ones first.

    Those that are `absent` may be missing.
    """
    for length in range(5):
        for order in itertools.product((0, 1), repeat=length):
            if all((which not in absent) <= order.count(which) <= 1 + again[which] for which in (0, 1)):
                yield order


@pytest.mark.parametrize(("setup", "raises"), _CASES)
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_pairs(setup: Setup, raises: bool, memory_path: Path) -> None:
    async def test(loop: SeededLoop) -> None:
        async with TransactionWorld(memory_path, loop) as world:
            await world.begin()
            pairs = Pairs(world, setup, requests(raises=raises))
            for pair in pairs.pairs():
                for seed in range(_TIMINGS):
                    loop.chance.seed(f"{pair} {seed}")
                    space = await pairs.begin()
                    delays = [loop.chance.randrange(_DELAYS) if seed else 0 for _ in pair]
                    first, second = await asyncio.gather(
                        *(
                            _later(pairs.known[name], world, space, delay)
                            for name, delay in zip(pair, delays, strict=True)
                        )
                    )
                    await world.quiet(space)
                    found = (first, second), await state_of(world, space)
                    await pairs.judge(f"seed {seed}", pair, found)

    run(test)


@pytest.mark.parametrize(("setup", "raises"), _CASES)
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_pairs_with_a_kill_between(setup: Setup, raises: bool, memory_path: Path) -> None:
    async def test(loop: SeededLoop) -> None:
        known = requests(raises=raises)
        world = TransactionWorld(memory_path / "0", loop)
        async with world:
            await world.begin()
            pairs = Pairs(world, setup, known)
            for number, turns in enumerate(_KILLS, start=1):
                loop.chance.seed(f"{turns}")
                cases = [(pair, await pairs.begin()) for pair in pairs.pairs()]
                running = [
                    [
                        asyncio.ensure_future(
                            _later(known[name], world, space, loop.chance.randrange(_DELAYS))
                        )
                        for name in pair
                    ]
                    for pair, space in cases
                ]
                for _ in range(turns):
                    await asyncio.sleep(0)
                image = memory_path / str(number)
                shutil.copytree(memory_path / str(number - 1), image)
                told = [
                    [task.result() if task.done() and not task.cancelled() else None for task in tasks]
                    for tasks in running
                ]
                for task in itertools.chain.from_iterable(running):
                    task.cancel()
                await asyncio.gather(*itertools.chain.from_iterable(running), return_exceptions=True)
                await world.stop()
                world.directory = image
                await world.start()
                await world.begin()
                for (pair, space), answers in zip(cases, told, strict=True):
                    again = answers[0] is None, answers[1] is None
                    for which in (0, 1):
                        if answers[which] is None:
                            answers[which] = await known[pair[which]](world, space)
                            await world.quiet(space)
                    await world.quiet(space)
                    found = (answers[0], answers[1]), await state_of(world, space)
                    await pairs.judge(f"killed after {turns} turns", pair, found, again)

    run(test)


async def _later(step: Step, world: TransactionWorld, space: str, delay: int) -> bool:
    for _ in range(delay):
        await asyncio.sleep(0)
    return await step(world, space)
