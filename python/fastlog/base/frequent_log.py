"""Lines that may be said thousands of times per second: those that are too many are not even made."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final


class FrequentLog:
    """One message of a logger: at most `burst` lines in `interval` seconds, then a count of those left out.

    The log's own limit drops as many, but only once a record is made, which costs more than a small request.
    """

    __slots__ = ("_began", "_burst", "_interval", "_left_out", "_logger", "_message", "_monotonic", "_said")

    def __init__(
        self,
        logger: logging.Logger,
        message: str,
        *,
        burst: int = 50,
        interval: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger: Final = logger
        self._message: Final = message
        self._burst: Final = burst
        self._interval: Final = interval
        self._monotonic: Final = monotonic
        self._began = float("-inf")
        self._said = 0
        self._left_out = 0

    def info(self, *args: object) -> None:
        """Says `message % args`, unless it was said too often just before."""
        now = self._monotonic()
        if now - self._began >= self._interval:
            left_out, self._left_out = self._left_out, 0
            self._began, self._said = now, 1
            if left_out:
                more = f"{self._message} (and %d more like this were left out)"
                self._logger.info(more, *args, left_out)
                return
        elif self._said >= self._burst:
            self._left_out += 1
            return
        else:
            self._said += 1
        self._logger.info(self._message, *args)
