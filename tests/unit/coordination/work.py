"""Counts work instead of timing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any


async def steps_of(work: Coroutine[Any, Any, object]) -> int:
    """How many instructions of Python the event loop's thread carries out meanwhile."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        await work
    finally:
        sys.settrace(former)
    return count
