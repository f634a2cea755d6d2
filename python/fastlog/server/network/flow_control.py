"""How much the broker takes in at once: connection limits, and the bytes of requests in memory.

A frame counts with its whole size from the moment its length is known until it is answered; one that does not
fit is not read any further until it does. What is let in can therefore always be finished, and no more is
ever in memory than has been let in. Frames are of four classes by their size, and each class has a share of
the limit that larger ones cannot take:

| class  | frames up to | share   |                                                              |
|--------|--------------|---------|--------------------------------------------------------------|
| tiny   | 4 KiB        | 1 / 32  | what requests of simple clients are: never waits for others  |
| small  | 64 KiB       | 1 / 32  |                                                              |
| medium | 4 MiB        | 1 / 8   | requests of producers                                        |
| large  | any          | the rest |                                                             |

A class may also use what larger classes leave, until one of those waits; then it keeps to its share. A frame
that is larger than the share of its class goes alone in it. Those that wait in a class are let in in turns by
peer address, the connections of one peer in the order in which they came. Tiny frames take their bytes as
they come: 4 KiB at most, which every connection is reckoned with.

Nobody keeps what others wait for: while the longest wait is of `n` seconds, an unfinished frame that was let
in must come with `n` times `PACE` bytes per second, from its second second on, or its connection is cut. The
large and the slow go first: what a frame of `s` bytes has room for is waited for at most about sqrt(s / PACE)
seconds, 28 s for 100 MiB. So does what waits behind a request of its own connection (`STUCK_SECONDS`).

What was read of a frame before it was known not to fit is at most 64 KiB; where that adds up to an eighth of
the limit, connections are cut instead of waiting.

In all there are at most the limit and that eighth, one frame larger than the share of its class, and one
receive buffer (64 KiB) of whole frames for each connection that was reading when the limit was reached.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

KIB: Final = 1024
MIB: Final = 1024 * 1024
CONNECTION_BYTES: Final = 8 * KIB
"""What one connection is reckoned with, a tiny frame that has begun included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLimits:
    """Limits of one broker. Seconds and bytes.

    | field                       | property                                                       |
    |-----------------------------|----------------------------------------------------------------|
    | max_frame_bytes             | socket.request.max.bytes                                       |
    | request_memory_bytes        | fastlog.max.inflight.bytes                                     |
    | work_memory_bytes           | a share of fastlog.memory.max.bytes                            |
    | max_connections             | what memory and descriptors allow                              |
    | connections_end_at          | which of them it is, for the log and the metrics               |
    | max_connections_per_ip      | max.connections.per.ip                                         |
    | per_ip_overrides            | max.connections.per.ip.overrides                               |
    | idle_seconds                | connections.max.idle.ms                                        |
    | proving_seconds             | fastlog.authentication.timeout.ms                              |
    | max_proving                 | fastlog.authentication.max.connections                         |
    """

    max_frame_bytes: int = 100 * MIB
    request_memory_bytes: int = 128 * MIB
    work_memory_bytes: int = 64 * MIB
    max_connections: int = 2**31 - 1
    connections_end_at: str = "max.connections"
    max_connections_per_ip: int = 2**31 - 1
    per_ip_overrides: dict[str, int] = field(default_factory=dict)
    idle_seconds: float = 600.0
    proving_seconds: float = 10.0
    max_proving: int = 1000
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

    @property
    def peer(self) -> str:
        """The address that it comes from."""
        ...

    def hold_reading(self) -> None:
        """Stop taking bytes from the socket."""
        ...

    def release_reading(self) -> None:
        """Go on."""
        ...


TINY_FRAME: Final = 4 * KIB
_CLASS_BYTES: Final = (TINY_FRAME, 64 * KIB, 4 * MIB)
"""Largest frame of each class but the last."""
_SHARES: Final = (32, 32, 8)
"""The share of each class but the last, as a part of the limit."""
_CLASSES: Final = range(len(_SHARES) + 1)
_TINY: Final = 0

PACE: Final = 128 * KIB
"""Bytes per second and second of waiting that an unfinished frame has to come with while others wait."""
PATIENCE_SECONDS: Final = 1.0
"""Waits, and frames, that are shorter count for nothing."""
STUCK_SECONDS: Final = 5.0
"""So long requests may wait behind another one of their connection while others wait for room."""

# Of those who have only whole frames in work, one more is let in for each so many bytes of room: all at once
# would overrun it.
_ROOM_PER_READER: Final = 256 * KIB
_RECEIVED_PART: Final = 8
"""What was received of frames that wait may be so part of the limit."""


class _Wait(NamedTuple):
    size: int
    received: int
    since: float


class _Line:
    """The readers of one class that wait: in turns by peer, the readers of a peer in their order."""

    def __init__(self) -> None:
        self._waits: dict[Reader, _Wait] = {}
        self._by_peer: dict[str, dict[Reader, None]] = {}

    def __len__(self) -> int:
        return len(self._waits)

    @property
    def since(self) -> float:
        """When the wait began that is longest by now. Only while there is one."""
        return next(iter(self._waits.values())).since

    def add(self, reader: Reader, wait: _Wait) -> None:
        """The reader waits."""
        self._waits[reader] = wait
        self._by_peer.setdefault(reader.peer, {})[reader] = None

    def first(self) -> tuple[Reader, int]:
        """Whose turn it is, and the bytes it waits for."""
        reader = next(iter(next(iter(self._by_peer.values()))))
        return reader, self._waits[reader].size

    def remove(self, reader: Reader) -> _Wait:
        """The reader waits no more; the next turn is another peer's."""
        wait = self._waits.pop(reader)
        readers = self._by_peer.pop(reader.peer)
        del readers[reader]
        if readers:
            self._by_peer[reader.peer] = readers
        return wait


class RequestMemory:
    """The byte budget of requests, shared by all connections. Used on the event loop only."""

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        small = [limit // part for part in _SHARES]
        self._shares: Final = (*small, limit - sum(small))
        self._used = [0] * len(_CLASSES)
        self._lines = tuple(_Line() for _ in _CLASSES)
        # Who waits, and where: a reader is in one line at most, so that who is let go waits for nothing else.
        self._line_of: dict[Reader, _Line] = {}
        self.used = 0
        """Bytes that are let in."""
        self.unfinished = 0
        """Those of them whose frames are not whole yet."""
        self._received = 0

    @property
    def waiting(self) -> int:
        """Connections that were told to stop reading."""
        return len(self._line_of)

    def longest_wait(self, now: float) -> float:
        """Seconds that somebody has waited by now."""
        return max((now - line.since for line in self._lines if line), default=0.0)

    def others_wait(self, reader: Reader) -> bool:
        """Whether somebody else than the reader waits."""
        return self.waiting > (reader in self._line_of)

    def begin(self, reader: Reader, size: int, received: int, now: float) -> bool:
        """A frame of more than `TINY_FRAME` bytes has begun; the reader is held back until there is room.

        The whole frames that came with it may have held the reader back already; from now on it waits for its
        frame only. False when too much has been received already of frames that wait: the connection has to
        end.
        """
        kind = _class_of(size)
        was_held = reader in self._line_of
        if was_held:
            self._leave(reader)
        if not self._lines[kind] and self._fits(kind, size):
            self._take(kind, size)
            self.unfinished += size
            if was_held:
                reader.release_reading()
        elif self._received + received > self.limit // _RECEIVED_PART:
            return False
        else:
            self._hold(kind, reader, size, received, now)
        return True

    def finish(self, size: int) -> None:
        """A frame that had begun is whole."""
        self.unfinished -= size

    def arrived(self, size: int) -> None:
        """A frame of more than `TINY_FRAME` bytes came whole."""
        self._take(_class_of(size), size)

    def take_in(self, reader: Reader, sizes: Sequence[int], now: float, *, begun: bool) -> None:
        """Whole frames of these sizes came, the first of which may be one that had begun."""
        tiny = 0
        for size in sizes:
            if size <= TINY_FRAME:
                tiny += size
            elif begun:
                self.finish(size)
            else:
                self.arrived(size)
            begun = False
        self.arrived_tiny(tiny)
        if self.used > self.limit:
            self.check(reader, now, tiny=tiny == sum(sizes))

    def arrived_tiny(self, size: int) -> None:
        """Tiny frames came, with so many bytes in all."""
        self._used[_TINY] += size
        self.used += size

    def check(self, reader: Reader, now: float, *, tiny: bool) -> None:
        """Holds a reader back that has brought whole frames (`tiny`: of the first class), if that is too
        much."""
        if self.used <= self.limit or (tiny and self._used[_TINY] <= self._shares[_TINY]):
            return
        if reader not in self._line_of:
            self._hold(_TINY, reader, 0, 0, now)

    def done(self, size: int) -> None:
        """A request of `size` bytes is answered, or dropped."""
        self.used -= size
        self._used[_TINY if size <= TINY_FRAME else _class_of(size)] -= size
        if self._line_of:
            self.admit()

    def forget(self, reader: Reader, begun: int) -> None:
        """A connection is gone, with the frame of `begun` bytes that it had begun, if any."""
        was_waiting = self.is_waiting(reader)
        if reader in self._line_of:
            self._leave(reader)
        if begun and not was_waiting:
            self.unfinished -= begun
            self.done(begun)
        elif self.waiting:
            self.admit()

    def is_waiting(self, reader: Reader) -> bool:
        """Whether the reader waits for the room of a frame that it has begun."""
        return self._line_of.get(reader, self._lines[_TINY]) is not self._lines[_TINY]

    def admit(self) -> None:
        """Lets in those for whom there is room.

        To be called now and then too: not all of a line are let in at once, and when nothing is left in
        memory no end of a request lets in the others.
        """
        room = self.limit - self.used
        line = self._lines[_TINY]
        while line and room > 0:
            self._let_go(line.first()[0])
            room -= _ROOM_PER_READER
        for kind in _CLASSES[_TINY + 1 :]:
            line = self._lines[kind]
            while line:
                reader, size = line.first()
                if not self._fits(kind, size):
                    break
                self._take(kind, size)
                self.unfinished += size
                self._let_go(reader)

    def _take(self, kind: int, size: int) -> None:
        self._used[kind] += size
        self.used += size

    def _fits(self, kind: int, size: int) -> bool:
        own, share = self._used[kind], self._shares[kind]
        if size > share and not own:
            return True
        if self.used + size > self.limit:
            return False
        if any(self._lines[kind + 1 :]):
            return own + size <= share
        return sum(self._used[kind:]) + size <= self.limit - sum(self._shares[:kind])

    def _hold(self, kind: int, reader: Reader, size: int, received: int, now: float) -> None:
        line = self._line_of[reader] = self._lines[kind]
        line.add(reader, _Wait(size, received, now))
        self._received += received
        reader.hold_reading()

    def _leave(self, reader: Reader) -> None:
        self._received -= self._line_of.pop(reader).remove(reader).received

    def _let_go(self, reader: Reader) -> None:
        self._leave(reader)
        reader.release_reading()


def _class_of(size: int) -> int:
    return bisect_left(_CLASS_BYTES, size)
