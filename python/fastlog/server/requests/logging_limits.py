"""Logs that a hostile or broken client cannot flood."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final


class LimitedLog:
    """Says each kind of thing at most once per `interval` seconds, with a count of those left out."""

    def __init__(
        self, logger: logging.Logger, monotonic: Callable[[], float], *, interval: float = 10.0
    ) -> None:
        self._logger: Final = logger
        self._monotonic: Final = monotonic
        self._interval: Final = interval
        self._last: dict[str, tuple[float, int]] = {}

    def log(self, level: int, kind: str, message: str, *args: object) -> None:
        """Logs `message % args` unless `kind` (few in number: it is the key) was logged just before."""
        now = self._monotonic()
        last, skipped = self._last.get(kind, (float("-inf"), 0))
        if now - last < self._interval:
            self._last[kind] = (last, skipped + 1)
            return
        self._last[kind] = (now, 0)
        self._logger.log(level, message, *args)
        if skipped:
            self._logger.log(level, "%d more of this kind (%s) were not logged", skipped, kind)
