"""How much the broker takes in at once: connection limits, and the bytes of requests in memory.

Memory of requests is counted in two parts: whole frames that are being worked on, and partial frames that
are still arriving. Above the budget a connection that has just read something stops reading. Whole frames end
by themselves; when it is mostly partial frames that fill the budget, none of them would ever get finished, so
the connection that waits longest goes on, one at a time. The sum is at most the budget, half of it again, one
frame, and one receive buffer per connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

KIB: Final = 1024
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLimits:
    """Limits of one broker. Seconds and bytes.

    | field                       | property                                                       |
    |-----------------------------|----------------------------------------------------------------|
    | max_frame_bytes             | socket.request.max.bytes                                       |
    | request_memory_bytes        | fastlog.max.inflight.bytes                                     |
    | response_memory_bytes       | the same again, for responses                                  |
    | max_connections             | max.connections                                                |
    | max_connections_per_ip      | max.connections.per.ip                                         |
    | per_ip_overrides            | max.connections.per.ip.overrides                               |
    | idle_seconds                | connections.max.idle.ms                                        |
    """

    max_frame_bytes: int = 100 * MIB
    request_memory_bytes: int = 128 * MIB
    response_memory_bytes: int = 128 * MIB
    max_connections: int = 2**31 - 1
    max_connections_per_ip: int = 2**31 - 1
    per_ip_overrides: dict[str, int] = field(default_factory=dict)
    idle_seconds: float = 600.0
    # A started frame has this long, plus a second for each so many bytes that have arrived.
    frame_seconds: float = 30.0
    frame_bytes_per_second: int = 64 * KIB
    # A peer that takes nothing of a slice of a response for so long is gone.
    stalled_write_seconds: float = 60.0
    # Requests of a peer that has closed its side are answered for so long.
    half_closed_seconds: float = 60.0
    max_in_flight_per_connection: int = 256
    max_pending_frames: int = 64
    max_pending_bytes: int = 4 * MIB
    max_unsent_bytes: int = 1 * MIB


class Reader(Protocol):
    """A connection as the budget sees it."""

    def hold_reading(self) -> None:
        """Stop taking bytes from the socket."""
        ...

    def release_reading(self) -> None:
        """Go on."""
        ...


class RequestMemory:
    """The byte budget of requests, shared by all connections. Used on the event loop only."""

    # One more waiting connection is let in for each so many bytes of room: all at once would overrun it.
    _ROOM_PER_READER: Final = 256 * KIB

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self.whole = 0
        self.partial = 0
        self._waiting: dict[Reader, None] = {}
        self._lone: Reader | None = None

    @property
    def used(self) -> int:
        """Bytes in memory."""
        return self.whole + self.partial

    @property
    def waiting(self) -> int:
        """Connections that were told to stop reading."""
        return len(self._waiting)

    def received(self, reader: Reader, whole: int, partial_change: int) -> None:
        """`whole` bytes of finished frames came, and the reader's unfinished bytes changed by so many."""
        self.whole += whole
        self.partial += partial_change
        if whole and reader is self._lone:
            self._lone = None
        if self.whole + self.partial > self.limit:
            if reader is not self._lone and reader not in self._waiting:
                self._waiting[reader] = None
                reader.hold_reading()
            self._admit()

    def done(self, size: int) -> None:
        """A request of `size` bytes is answered, or dropped."""
        self.whole -= size
        if self._waiting:
            self._admit()

    def forget(self, reader: Reader, partial: int) -> None:
        """A connection is gone, with its unfinished bytes."""
        self.partial -= partial
        self._waiting.pop(reader, None)
        if reader is self._lone:
            self._lone = None
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        room = self.limit - self.whole - self.partial
        while self._waiting and room > 0:
            self._next().release_reading()
            room -= self._ROOM_PER_READER
        if self._waiting and 2 * self.whole <= self.limit and self._lone is None:
            self._lone = self._next()
            self._lone.release_reading()

    def _next(self) -> Reader:
        reader = next(iter(self._waiting))
        del self._waiting[reader]
        return reader
