"""Input cut at a delimiter, read in a thread of its own so that a silent terminal or pipe blocks nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Final

from fastlog.errors import FastlogError

__all__ = ["LineTooLong", "read_lines"]

_CHUNK: Final = 256 * 1024
_CHUNKS_AHEAD: Final = 4


class LineTooLong(FastlogError):
    """No delimiter came within the limit. `number` counts from 1."""

    def __init__(self, number: int, limit: int) -> None:
        self.number: Final = number
        super().__init__(f"line {number} is longer than {limit} bytes")


async def read_lines(descriptor: int, delimiter: bytes, limit: int) -> AsyncIterator[bytes]:
    """The pieces between delimiters; a delimiter at the end starts no further piece. Raises OSError.

    Raises LineTooLong for more than `limit` bytes without a delimiter. A reader that is left in the middle
    holds nobody up: the thread is a daemon, and reads the descriptor without any lock of a file object.
    """
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(_CHUNKS_AHEAD)
    where = (descriptor, chunks, room, asyncio.get_running_loop())
    threading.Thread(target=_pump, args=where, name="input", daemon=True).start()
    rest = b""
    number = 0
    while True:
        chunk = await chunks.get()
        room.release()
        if isinstance(chunk, OSError):
            raise chunk
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(delimiter)
        for line in whole:
            number += 1
            yield line
        if len(rest) > limit:
            raise LineTooLong(number + 1, limit)
    if rest:
        yield rest


def _pump(
    descriptor: int,
    chunks: asyncio.Queue[bytes | OSError],
    room: threading.Semaphore,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Reads to the end, which is an empty chunk, or to an error. Waits while the loop is behind."""
    chunk: bytes | OSError = b"-"
    try:
        while chunk and not isinstance(chunk, OSError):
            room.acquire()
            try:
                chunk = os.read(descriptor, _CHUNK)
            except OSError as error:
                chunk = error
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)
    except RuntimeError:  # the loop has ended, nobody reads any more
        return
