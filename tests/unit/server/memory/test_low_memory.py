"""A lack of memory on the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.native import hold_reserve, release_reserve
from fastlog.server.memory.low_memory import BrokerLoop, LowMemory


def test_the_reserve_can_be_given_up_once_and_set_aside_again() -> None:
    assert hold_reserve()
    assert hold_reserve()
    assert release_reserve()
    assert not release_reserve()
    assert hold_reserve()
    assert release_reserve()


def test_the_loop_goes_on_when_its_own_bookkeeping_has_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [MemoryError(), MemoryError()]

    async def main() -> str:
        loop = asyncio.get_running_loop()
        process: Callable[[object], None] = loop._process_events  # type: ignore[attr-defined]

        def without_memory(events: object) -> None:
            if failures:
                raise failures.pop()
            process(events)

        monkeypatch.setattr(loop, "_process_events", without_memory)
        await asyncio.sleep(0.01)
        return "done"

    with asyncio.Runner(loop_factory=BrokerLoop) as runner:
        assert runner.run(main()) == "done"
    assert not failures


async def test_a_callback_without_memory_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    others: list[object] = []
    loop.set_exception_handler(lambda _, context: others.append(context["exception"]))
    low_memory = LowMemory(loop, Supervisor(time.monotonic), time.monotonic)
    low_memory.start()
    await asyncio.sleep(0)
    defect = ValueError("a defect")

    def fail(error: Exception) -> None:
        raise error

    with caplog.at_level(logging.ERROR):
        loop.call_soon(fail, MemoryError())
        loop.call_soon(fail, defect)
        await asyncio.sleep(0.01)
    assert "no memory" in caplog.text
    assert "Traceback" not in caplog.text
    assert others == [defect]
    assert not release_reserve(), "it was given up for what comes next"
    await low_memory.stop()
