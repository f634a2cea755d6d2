"""An encoded answer that is too large to stand in one piece: what is joined would be copied once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

PIECE_BYTES: Final = 256 * 1024
"""Small parts are joined to pieces of about this size; a larger part stays as it is."""

Part = bytes | memoryview


class Pieces:
    """The bytes of one frame, in order. Whoever sends them takes them off, so that they are free at once."""

    __slots__ = ("_size", "left", "pieces")

    def __init__(self, pieces: Iterable[Part]) -> None:
        self.pieces: deque[Part] = deque(pieces)
        self._size = self.left = sum(map(len, self.pieces))

    def __len__(self) -> int:
        """Bytes of the whole frame, whatever was sent of it."""
        return self._size

    def take_off(self) -> int:
        """The first piece has been sent: its bytes."""
        size = len(self.pieces.popleft())
        self.left -= size
        return size


Encoded = bytes | Pieces
"""A whole frame."""


def join_parts(parts: list[Part], pieces: list[Part]) -> None:
    """Moves parts to the end of `pieces`, joined to some of `PIECE_BYTES`."""
    start = size = 0
    for index, part in enumerate(parts):
        length = len(part)
        if length < PIECE_BYTES and size < PIECE_BYTES:
            size += length
            continue
        if size:
            pieces.append(b"".join(parts[start:index]))
        if length < PIECE_BYTES:
            start, size = index, length
        else:
            pieces.append(part)
            start, size = index + 1, 0
    if size:
        pieces.append(b"".join(parts[start:]))
    parts.clear()
