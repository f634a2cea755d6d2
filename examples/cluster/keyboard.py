"""Single keys from a terminal, without Enter."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

__all__ = ["Keyboard"]


class Keyboard:
    """A context manager. Where stdin is no terminal no key ever comes."""

    def __init__(self) -> None:
        self.there = sys.stdin.isatty()
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if self.there:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    async def wait(self, seconds: float) -> str | None:
        """The next key, or None after so long."""
        try:
            async with asyncio.timeout(seconds):
                return await self._keys.get()
        except TimeoutError:
            return None

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 64)
        if not data:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        for key in data.decode(errors="replace"):
            self._keys.put_nowait(key)
