"""How many bytes of answers may be in memory at once, in the making and not yet taken; but for fetches.

How large an answer becomes is not known before it is made: what makes one says so while it grows. When all
together are too much, those in the making wait, and the one that began first goes on as soon as no answer
waits for its peer. One answer alone may thus be larger than the limit, but no larger than `most`.

Answers that peers have not taken: one peer, that with the most, may have any number of bytes as long as
nobody waits for them. When others do, peers that have taken nothing for a while are cut, the largest first.
When those of all other peers are more than the limit, who has taken nothing is cut, and then who has most.
Used on the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from fastlog.errors import ErrorCode, KafkaError

STALLED_SECONDS: Final = 2.0
"""A peer that takes nothing for so long is in the way of others."""
_LOOK_AGAIN_SECONDS: Final = 1.0

ROW_BYTES: Final = 128
"""What one element of an answer is reckoned with before it is encoded. What it refers to is kept anyway."""


class Peer(Protocol):
    """A connection, as far as it takes answers."""

    def close(self, reason: str, detail: object = None) -> None:
        """Cuts it."""
        ...


class _Untaken:
    """What a peer has not taken, and since when it has taken nothing."""

    __slots__ = ("since", "size")

    def __init__(self, since: float) -> None:
        self.size = 0
        self.since = since


class AnswerMemory:
    """The byte budget of answers."""

    def __init__(self, limit: int, most: int, monotonic: Callable[[], float]) -> None:
        self.limit: Final = limit
        self.most: Final = most
        self._monotonic = monotonic
        self.untaken = 0
        """Bytes that peers have not taken."""
        self.in_the_making = 0
        self._peers: dict[Peer, _Untaken] = {}
        # Those that were cut and are not lost yet: their bytes are given back already, and requests of theirs
        # may still be answered.
        self._cut_off: set[Peer] = set()
        self._makers: dict[object, int] = {}
        self._waiting: dict[object, asyncio.Future[None]] = {}
        self._have_waited = False

    # -- answers in the making --------------------

    @property
    def waiting(self) -> int:
        """Answers that wait for room to grow in."""
        return len(self._waiting)

    def grow(self, maker: object, size: int) -> bool:
        """The answer that `maker` makes has grown; whether it may go on. One too large raises KafkaError."""
        made = self._makers.get(maker, 0) + size
        if made > self.most:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, f"the answer would have more than {self.most} bytes: ask for less"
            )
        self._makers[maker] = made
        self.in_the_making += size
        return self.has_room(maker)

    def has_room(self, maker: object) -> bool:
        """Whether an answer may grow further."""
        if self.untaken + self.in_the_making <= self.limit:
            return True
        first = next(iter(self._makers), maker)
        return first is maker and (
            not self.untaken or self.untaken + self._makers.get(maker, 0) <= self.limit
        )

    async def room(self, maker: object) -> None:
        """Waits until there may be room: not for long, as its client may be gone meanwhile."""
        if not self.has_room(maker):
            future = self._waiting[maker] = asyncio.get_running_loop().create_future()
            await asyncio.wait((future,), timeout=_LOOK_AGAIN_SECONDS)
            self._waiting.pop(maker, None)

    def made(self, maker: object) -> None:
        """The answer is whole, or will never be."""
        self.in_the_making -= self._makers.pop(maker, 0)
        self._wake()

    def _wake(self) -> None:
        for maker, future in self._waiting.items():
            if not future.done() and (maker not in self._makers or self.has_room(maker)):
                future.set_result(None)

    # -- answers that are whole --------------------

    def add(self, peer: Peer, size: int) -> None:
        """An answer could not be sent at once. One of a peer that was cut will never be."""
        if peer in self._cut_off:
            return
        self.untaken += size
        untaken = self._peers.get(peer)
        if untaken is None:
            untaken = self._peers[peer] = _Untaken(self._monotonic())
        untaken.size += size
        while self.untaken > self.limit and len(self._peers) > 1:
            largest = sorted(self._peers, key=self._size_of, reverse=True)
            if self.untaken - self._size_of(largest[0]) <= self.limit:
                return
            self._cut(next(filter(self._is_stalled, largest), largest[1]))

    def remove(self, peer: Peer, size: int) -> None:
        """Bytes are sent, or will never be. Of a peer that was cut nothing is left to remove."""
        left = self._peers.get(peer)
        if left is None:
            return
        self.untaken -= size
        left.size -= size
        left.since = self._monotonic()
        if not left.size:
            del self._peers[peer]
        if self._waiting:
            self._wake()

    def forget(self, peer: Peer) -> None:
        """A connection is lost, and all its answers were removed."""
        self._cut_off.discard(peer)

    def relieve(self) -> None:
        """Cuts peers that take nothing, if answers in the making have waited since the last call."""
        had_waited, self._have_waited = self._have_waited, bool(self._waiting)
        first = next(iter(self._makers), None)
        if not had_waited or not self._waiting or first is None:
            return
        for peer in sorted(self._peers, key=self._size_of, reverse=True):
            if 2 * self.untaken <= self.limit and self.has_room(first):
                break
            if self._is_stalled(peer):
                self._cut(peer)
        self._wake()

    def _size_of(self, peer: Peer) -> int:
        return self._peers[peer].size

    def _is_stalled(self, peer: Peer) -> bool:
        return self._monotonic() - self._peers[peer].since > STALLED_SECONDS

    def _cut(self, peer: Peer) -> None:
        self.untaken -= self._peers.pop(peer).size
        self._cut_off.add(peer)
        peer.close("slow reader", "it does not take its answers")
