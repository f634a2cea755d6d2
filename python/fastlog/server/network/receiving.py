"""Reads from the sockets of many connections at once, and answers there and then what is settled.

asyncio calls a connection for each piece that comes, and each of them takes several calls of Python. Here the
event loop is woken once for all sockets that have something (`Receiver`); of those about whose requests
everything is settled it hears no more than what to count. All else that comes, also an end or an error, is
handed to its connection, which goes on as it does with asyncio.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from fastlog.native import Receiver

if TYPE_CHECKING:
    from fastlog.native import Frame, FrameReader
    from fastlog.server.produce.settled import SettledWrites

__all__ = ["Receiving"]

_LOG: Final = logging.getLogger(__name__)


class Receives(Protocol):
    """A connection."""

    last_active: float

    def came(self, frames: list[Frame] | None, unsent: bytes, error: BaseException | None) -> None:
        """Takes what was left of what came."""
        ...

    def close(self, reason: str, detail: object = None) -> None:
        """Cuts it."""
        ...


class Receiving:
    """Of one broker; made and used on its event loop, until `close`."""

    def __init__(self, settled: SettledWrites) -> None:
        self._settled = settled
        self._receiver: Final = Receiver()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._receiver.fileno(), self._receive)

    def __len__(self) -> int:
        return len(self._receiver)

    def watch(self, descriptor: int, connection: Receives, reader: FrameReader) -> None:
        """Reads from a socket from now on; asyncio must not."""
        self._receiver.watch(descriptor, connection, reader)

    def leave(self, descriptor: int) -> None:
        """Reads no more from a socket. To be called before it is closed."""
        self._receiver.leave(descriptor)

    def free(self, descriptor: int) -> None:
        """Nothing of a connection is in work, waits or is unsent: what comes next may be executed at once.

        It is not any more as soon as anything is handed to it.
        """
        self._receiver.free(descriptor)

    def note_heard(self, now: float) -> None:
        """Tells connections when they were heard of last. To be called now and then."""
        for connection, ago in self._receiver.heard():
            connection.last_active = max(connection.last_active, now - ago)

    def close(self) -> None:
        """Reads no more."""
        self._loop.remove_reader(self._receiver.fileno())

    def _receive(self) -> None:
        for connection, frames, unsent, error in self._settled.receive(self._receiver):
            try:
                connection.came(frames, unsent, error)
            except Exception as defect:  # noqa: BLE001 - the others have their turn
                _LOG.exception("what a connection has sent could not be taken")
                connection.close("failed request", defect)
