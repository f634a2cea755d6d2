"""A block of lines that changes in its place on a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Final, TextIO

__all__ = ["Redraw"]


class Redraw:
    """Each `show` replaces what the one before has written. Only for streams that are terminals."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: Final = stream
        self._height = 0

    def show(self, lines: Sequence[str]) -> None:
        """Writes the lines, cut to the size of the window: a line that wraps would be two."""
        width, height = shutil.get_terminal_size()
        kept = [line[: width - 1] for line in lines[: height - 1]]
        back = f"\x1b[{self._height}F" if self._height else ""
        self._stream.write(f"{back}\x1b[J" + "".join(f"{line}\n" for line in kept))
        self._stream.flush()
        self._height = len(kept)

    def leave(self) -> None:
        """What stands there stays; the next block begins below."""
        self._height = 0
