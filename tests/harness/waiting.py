"""Waiting for a condition of something outside this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(
    look: Callable[[], Found | None], what: Callable[[], str] | str, *, seconds: float, pause: float = 0.1
) -> Found:
    """The first answer of `look` that is true.

    Raises `AssertionError` with `what` (which may be made up at that moment) when the time is up.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            words = what if isinstance(what, str) else what()
            raise AssertionError(f"not after {seconds:.0f} s: {words}")
        time.sleep(pause)
