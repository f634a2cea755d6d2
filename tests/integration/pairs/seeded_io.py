"""Native I/O whose jobs run when a seed says so, on the loop's own thread, and are done when it says so."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from fastlog.native import IoEngine
from fastlog.native.shapes import IoResult
from tests.integration.pairs.seeded_loop import SeededLoop

_PATIENCE_MS = 20_000


class SeededEngine:
    """Stands in for `IoEngine`."""

    def __init__(self, threads: int) -> None:
        self._engine = IoEngine(threads)
        self._loop = cast("SeededLoop", asyncio.get_running_loop())
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._results = select.poll()
        self._results.register(self._engine, select.POLLIN)
        self._jobs: dict[int, Callable[[], None]] = {}
        self._done: list[tuple[int, IoResult]] = []

    def __del__(self) -> None:
        os.close(self._event)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """The jobs: produce, append, fetch, flush, commit and the others."""
        return partial(self._submit, getattr(self._engine, name))

    def fileno(self) -> int:
        """As `IoEngine.fileno`."""
        return self._event

    def drain(self) -> list[tuple[int, IoResult]]:
        """As `IoEngine.drain`."""
        if self._done:
            os.eventfd_read(self._event)
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """As `IoEngine.close`."""
        for token in list(self._jobs):
            self._run(token)
        self._engine.close()

    def _submit(self, job: Callable[..., None], token: int, *args: Any, **kwargs: Any) -> None:
        self._jobs[token] = partial(job, token, *args, **kwargs)
        self._loop.later(partial(self._run, token))

    def _run(self, token: int) -> None:
        job = self._jobs.pop(token, None)
        if job is None:
            return
        job()
        assert self._results.poll(_PATIENCE_MS), "the job does not end"
        self._loop.later(partial(self._tell, self._engine.drain()))

    def _tell(self, results: list[tuple[int, IoResult]]) -> None:
        self._done += results
        os.eventfd_write(self._event, 1)
