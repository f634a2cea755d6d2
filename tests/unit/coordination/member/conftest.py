from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.coordination.member.receiving import Receiving


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Receiving]:
    """Broker 1 with one log directory."""
    receiving = Receiving(tmp_path)
    await receiving.start()
    yield receiving
    await receiving.stop()
