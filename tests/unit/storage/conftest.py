"""A cleaner over stand-ins for logs: what its tests share. Tests of other parts have stores of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.storage.log_manager import LogManager
from tests.unit.storage.cleaner_world import CleanerStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CleanerStore]:
    """One log directory."""
    made = CleanerStore(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def manager(store: CleanerStore) -> AsyncIterator[LogManager]:
    """Open, its cleaner not started."""
    made = await store.opened()
    yield made
    await made.shutdown()
