"""A world for each test, in which nothing waits for time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fastlog.coordination.transactions import changes, markers
from tests.unit.coordination.transactions.world import World


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(changes, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(changes, "_AFTER_DEFECT_SECONDS", 0.0)
    monkeypatch.setattr(markers, "AGAIN_SECONDS", 0.0)
    world = World()
    yield world
    await world.close()
    assert world.tasks.failures.get("transaction-log", 0) == 0
