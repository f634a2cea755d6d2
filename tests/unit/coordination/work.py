"""Counts work instead of timing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final

import fastlog

_OURS: Final = os.path.dirname(fastlog.__file__)


async def steps_of(work: Coroutine[Any, Any, object]) -> int:
    """How many instructions of fastlog the event loop's thread carries out meanwhile.

    Those of the event loop are left out: how many turns of it a wait takes is up to the disk.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal count
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
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
