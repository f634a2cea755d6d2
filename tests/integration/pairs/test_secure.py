"""Every pair of changes of users at the same time: quotas, passwords, access rules, delegation tokens.

What two clients were told, and what is in force then, is what one of the two orders leads to; and the same is
there after a stop, and after a kill. Quotas and passwords of a user are in one node.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.extent import WHOLE
from tests.integration.pairs.secure import CHANGES, SecureWorld, begin, state_of
from tests.integration.pairs.seeded_loop import SeededLoop
from tests.integration.pairs.world import run

Outcome = tuple[tuple[Any, ...], dict[str, Any]]
TIMINGS = 8 if WHOLE else 2
_DELAYS = 24


class Pairs:
    """Runs pairs, and keeps what came of them."""

    def __init__(self, world: SecureWorld) -> None:
        self.world = world
        self.runs: list[tuple[str, str, dict[str, Any]]] = []
        self._numbers = itertools.count()

    async def begin(self) -> str:
        """A new space."""
        space = f"s{next(self._numbers)}"
        await begin(self.world, space)
        return space

    async def in_order(self, first: str, second: str) -> Outcome:
        """What comes of one after the other; what each was told, and the state."""
        space = await self.begin()
        told = []
        for name in (first, second):
            told.append(await CHANGES[name](self.world, space))
            await self.world.settled()
        return tuple(told), await state_of(self.world, space)

    async def at_once(self, pair: tuple[str, str], seed: int, orders: list[Outcome]) -> None:
        """Both at the same time."""
        space = await self.begin()
        chance = self.world.loop.chance
        chance.seed(f"{pair} {seed}")

        async def client(name: str, delay: int) -> Any:
            for _ in range(delay):
                await asyncio.sleep(0)
            return await CHANGES[name](self.world, space)

        delays = (chance.randrange(_DELAYS), chance.randrange(_DELAYS)) if seed else (0, 0)
        told = await asyncio.gather(*map(client, pair, delays))
        await self.world.settled()
        state = await state_of(self.world, space)
        ways = "".join(f"  an order: {each}\n" for each in orders)
        assert (tuple(told), state) in orders, f"{pair}, seed {seed}:\n  now {told} {state}\n{ways}"
        self.runs.append((f"{pair}, seed {seed}", space, state))


@pytest.mark.timeout(240)
def test_pairs_of_changes(memory_path: Path) -> None:
    async def test(loop: SeededLoop) -> None:
        async with SecureWorld(memory_path / "first", loop) as world:
            pairs = Pairs(world)
            for first, second in itertools.combinations_with_replacement(CHANGES, 2):
                told, state = await pairs.in_order(second, first)
                orders = [await pairs.in_order(first, second), (told[::-1], state)]
                for seed in range(TIMINGS):
                    await pairs.at_once((first, second), seed, orders)
            # As after kill -9: what was written is there, and nobody has said goodbye.
            shutil.copytree(memory_path / "first", memory_path / "killed")
            secrets = world.secrets
        for directory in ("first", "killed"):
            async with SecureWorld(memory_path / directory, loop) as world:
                world.secrets = secrets
                for what, space, state in pairs.runs:
                    assert await state_of(world, space) == state, f"{what}: after a restart, {directory}"

    run(test)
