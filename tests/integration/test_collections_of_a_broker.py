"""No full collection of Python's goes through all logs while they are opened and closed."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from fastlog.storage.log_manager import LogManager
from tests.integration.conftest import BrokerFactory

_NEVER = 10**6


def test_old_objects_are_left_alone_from_before_the_logs_are_opened_until_they_are_closed(
    start_broker: BrokerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = gc.get_threshold()
    seen: list[tuple[str, int]] = []

    def noted(name: str) -> Any:
        work = getattr(LogManager, name)

        async def note(*args: Any, **how: Any) -> Any:
            seen.append((name, gc.get_threshold()[2]))
            return await work(*args, **how)

        return note

    for name in ("prepare", "open", "shutdown"):
        monkeypatch.setattr(LogManager, name, noted(name))
    broker = start_broker()
    assert gc.get_freeze_count() > 0
    broker.stop()
    assert [name for name, _ in seen] == ["prepare", "open", "shutdown"]
    assert min(threshold for _, threshold in seen) > _NEVER
    assert gc.get_threshold() == usual
