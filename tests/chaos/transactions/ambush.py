"""Frames that are late at the one moment at which that matters, which chance hardly ever hits.

A client lies in wait for a frame: one of its own, or one between brokers that is about its transaction. The
proxy that sees it first keeps it until the client lets it go. Delays are as a network makes them, only longer
or shorter than by chance.

| kind            | protocol | what is kept                          | until                                 |
|-----------------|----------|---------------------------------------|---------------------------------------|
| `LATE_RECORD`   | both     | Produce                               | its transaction was aborted, and its  |
|                 |          |                                       | epoch is of the past                  |
| `LATE_ANSWER`   | first    | the coordinator's answer to the leader| the same                              |
| `LATE_MARKER`   | second   | WriteTxnMarkers, which is sent again  | the next transaction is open there    |
| `FORMER_MARKER` | first    | WriteTxnMarkers, whose coordinator is | the same                              |
|                 |          | killed: the next one sends it again   |                                       |
| `LATE_END`      | both     | EndTxn, which is sent again           | the next transaction is open          |

All but the first and the last need several brokers: one that is both coordinator and leader asks and tells
itself nothing that a network could keep.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from fastlog.wire import ApiKey, decode_request
from fastlog.wire.messages.transactions import AddPartitionsToTxnRequest, EndTxnRequest
from fastlog.wire.messages.txn_markers import WriteTxnMarkersRequest

LATE_RECORD: Final = "late record"
LATE_ANSWER: Final = "late answer"
LATE_MARKER: Final = "late marker"
FORMER_MARKER: Final = "marker of a former coordinator"
LATE_END: Final = "late end"
_HELD_SECONDS: Final = 3.0
"""How long a client waits for its frame. What does not come by then does not come: it went another way."""
_ASKED_SECONDS: Final = 60.0
_BROKER: Final = "broker-"


@dataclass(eq=False, slots=True)
class Ambush:
    """One frame that is waited for."""

    kind: str
    name: str
    """The client's, and its transactional id."""
    identity: tuple[int, int]
    """Its producer id and epoch when it began to wait."""
    at: tuple[str, int]
    """Topic and partition that the frame is about."""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Of markers and ends: answered. Of the others the client hears itself."""
    sender_dies: bool = False
    """Whether the coordinator will be killed. If not, the marker of the first protocol must not be late."""

    async def is_held(self) -> bool:
        """Whether the frame came before long."""
        return await _within(_HELD_SECONDS, self.held)

    async def let_go(self) -> bool:
        """Has the frame arrived; whether it has been answered."""
        self.go.set()
        return self.held.is_set() and await _within(_ASKED_SECONDS, self.over)

    def is_it(self, key: int, client_id: str, frame: bytes) -> bool:
        """Whether that is the frame."""
        if self.kind == LATE_RECORD:
            return key == ApiKey.PRODUCE and client_id == self.name
        if self.kind == LATE_ANSWER:
            return key == ApiKey.ADD_PARTITIONS_TO_TXN and client_id.startswith(_BROKER) and self._asks(frame)
        if self.kind == LATE_END:
            return key == ApiKey.END_TXN and client_id == self.name and self._commits(frame)
        return key == ApiKey.WRITE_TXN_MARKERS and self._ends(frame)

    def _asks(self, frame: bytes) -> bool:
        _, request = decode_request(frame)
        assert isinstance(request, AddPartitionsToTxnRequest)
        return [one.transactional_id for one in request.transactions] == [self.name]

    def _commits(self, frame: bytes) -> bool:
        _, request = decode_request(frame)
        assert isinstance(request, EndTxnRequest)
        return request.committed

    def _ends(self, frame: bytes) -> bool:
        _, request = decode_request(frame)
        assert isinstance(request, WriteTxnMarkersRequest)
        # In the second protocol an end raises the epoch.
        wanted = self.identity[0], self.identity[1] + (self.kind == LATE_MARKER), True
        found = [(one.producer_id, one.producer_epoch, one.transaction_result) for one in request.markers]
        # Those of others would be late, too, and may not be: see `proxy`.
        if found != [wanted]:
            return False
        topics = request.markers[0].topics
        return any(topic.name == self.at[0] and self.at[1] in topic.partition_indexes for topic in topics)


class Ambushes:
    """Those of a run. Used on the clients' event loop. `kinds`: what clients draw."""

    def __init__(self, *kinds: str) -> None:
        self.kinds: Final = kinds
        self._waiting: list[Ambush] = []
        self._wanted: asyncio.Future[int] | None = None

    def lay(self, ambush: Ambush) -> None:
        """Waits for its frame from now on."""
        self._waiting.append(ambush)

    def give_up(self, ambush: Ambush) -> None:
        """Waits no more."""
        if ambush in self._waiting:
            self._waiting.remove(ambush)

    def take(self, key: int, client_id: str, frame: bytes) -> Ambush | None:
        """Whose frame that is: it is held from now on, and no other is."""
        for ambush in self._waiting:
            if ambush.is_it(key, client_id, frame):
                self._waiting.remove(ambush)
                ambush.held.set()
                return ambush
        return None

    # -- the run, which kills a coordinator --------------------

    async def hold_a_marker(self) -> int | None:
        """Has some client of the first protocol wait for the marker of its next transaction; the port of the
        coordinator that has sent it, which is to be killed now. None if that takes too long."""
        self._wanted = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(self._wanted, _ASKED_SECONDS)
        except TimeoutError:
            return None
        finally:
            self._wanted = None

    @property
    def wants_a_marker(self) -> bool:
        """Whether somebody waits for that."""
        return self._wanted is not None and not self._wanted.done()

    def tell(self, ambush: Ambush, coordinator: int) -> bool:
        """A marker is held; whether its coordinator will be killed."""
        if self._wanted is None or self._wanted.done():
            return False
        ambush.sender_dies = True
        self._wanted.set_result(coordinator)
        return True


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
