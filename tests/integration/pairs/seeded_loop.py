"""An event loop whose threads are none: what would run in one runs when, and is done when, a seed says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

# So many turns of the loop may pass before a job runs, and again before its outcome is told.
_MOST_TURNS = 6


class SeededLoop(asyncio.SelectorEventLoop):
    """Jobs of one executor are done in the order in which they came, those of the default one in any."""

    def __init__(self) -> None:
        super().__init__()
        self.chance = random.Random(0)
        self._lines: dict[int, list[Callable[[], None]]] = {}

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """The job runs on the loop's own thread, some turns from now."""
        future = self.create_future()

        def run() -> None:
            try:
                result, error = func(*args), None
            except BaseException as raised:  # noqa: BLE001 - it is the future's
                result, error = None, raised

            def tell() -> None:
                if executor is not None:
                    self._next(id(executor))
                if future.done():
                    return
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

            self.later(tell)

        if executor is None:
            self.later(run)
            return future
        line = self._lines.setdefault(id(executor), [])
        line.append(run)
        if len(line) == 1:
            self.later(run)
        return future

    def later(self, action: Callable[[], None], turns: int | None = None) -> None:
        """Does something after so many turns of the loop, or as many as the seed says."""
        left = self.chance.randrange(_MOST_TURNS) if turns is None else turns
        if left:
            self.call_soon(self.later, action, left - 1)
        else:
            action()

    def _next(self, key: int) -> None:
        line = self._lines[key]
        line.pop(0)
        if line:
            self.later(line[0])
        else:
            del self._lines[key]
