"""All open connections: how many there may be, which have been silent for too long, and how they end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.server.network.flow_control import PACE, PATIENCE_SECONDS, STUCK_SECONDS, FlowLimits
from fastlog.server.quotas.connection_quotas import plain_address

if TYPE_CHECKING:
    from fastlog.server.memory.answer_memory import AnswerMemory
    from fastlog.server.memory.response_memory import ResponseMemory
    from fastlog.server.network.connection import Connection
    from fastlog.server.network.flow_control import RequestMemory
    from fastlog.server.observability.metrics import BrokerMetrics

SWEEP_SECONDS: Final = 1.0
# A peer that takes nothing of an answer for so long is in the way of fetches that wait for memory.
_UNTAKEN_SECONDS: Final = 2.0


class ConnectionTable:
    """The connections of all listeners. Used on the event loop only."""

    def __init__(
        self,
        limits: FlowLimits,
        memory: RequestMemory,
        responses: ResponseMemory,
        answers: AnswerMemory,
        metrics: BrokerMetrics,
        refused: Callable[[str, str], None],
    ) -> None:
        self._limits = limits
        self._memory = memory
        self._responses = responses
        self._answers = answers
        self._metrics = metrics
        self._refused = refused
        self._connections: set[Connection] = set()
        self._per_ip: defaultdict[str, int] = defaultdict(int)
        # Those of which it is not known yet who is at the other end, the oldest first.
        self._proving: dict[Connection, None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.on_room: Callable[[], None] = lambda: None
        """Called when a connection has ended."""

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> bool:
        """Lets a connection in; False when there are too many, in all or from its address."""
        limits, peer, listener = self._limits, connection.peer, connection.session.listener
        reason = None
        if len(self._connections) >= limits.max_connections:
            reason = limits.connections_end_at
        elif self._per_ip[peer] >= limits.per_ip_overrides.get(
            plain_address(peer), limits.max_connections_per_ip
        ):
            reason = "max.connections.per.ip"
        if reason is not None:
            self._metrics.refused[reason] += 1
            self._refused(peer, reason)
            if not self._per_ip[peer]:
                del self._per_ip[peer]
            return False
        self._connections.add(connection)
        self._per_ip[peer] += 1
        self._metrics.connections_accepted += 1
        self._metrics.connections_open += 1
        self._metrics.connections_of[listener.name] += 1
        self._empty.clear()
        if listener.asks_who:
            connection.proving_since = connection.host.monotonic()
            self._proving[connection] = None
            if len(self._proving) > limits.max_proving:
                # Who means it is through in a moment: it is the oldest that keeps a place and does nothing.
                oldest = next(iter(self._proving))
                del self._proving[oldest]
                oldest.close("too many unauthenticated")
        return True

    def proved(self, connection: Connection) -> None:
        """It is known who is at the other end of it."""
        connection.proving_since = None
        session = connection.session
        what = "success" if session.authenticated_at is None else "renewal"
        self._metrics.authentications[session.listener.name, what] += 1
        session.authenticated_at = connection.host.monotonic()
        self._proving.pop(connection, None)

    def remove(self, connection: Connection) -> None:
        """Forgets a connection; those that were not let in are ignored."""
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        self._proving.pop(connection, None)
        self._metrics.connections_open -= 1
        self._metrics.connections_of[connection.session.listener.name] -= 1
        self._per_ip[connection.peer] -= 1
        if not self._per_ip[connection.peer]:
            del self._per_ip[connection.peer]
        if not self._connections:
            self._empty.set()
        self.on_room()

    def make_room(self, protected: str | None) -> None:
        """There are too many for a connection among brokers (`protected` is their listener): of the others
        the one ends that has been silent for longest."""
        others = [
            each
            for each in self._connections
            if each.session.listener.name != protected and not each.is_finishing
        ]
        if others:
            min(others, key=lambda each: (not each.is_idle, each.last_active)).close("room for brokers")

    def set_limits(self, limits: FlowLimits) -> None:
        """Takes over other limits for connections that come from now on, and for idle ones."""
        self._limits = limits

    def sweep(self, now: float) -> None:
        """Closes connections whose time is up; `now` in monotonic seconds."""
        self._memory.admit()
        limits, wait, fetches_wait = self._limits, self._memory.longest_wait(now), self._responses.is_stuck()
        self._answers.relieve()

        def close_overdue(connection: Connection) -> None:
            reason = _overdue(connection, limits, now)
            if reason is None and wait >= PATIENCE_SECONDS and self._memory.others_wait(connection):
                reason = _in_the_way(connection, wait, now)
            if reason is None and fetches_wait and _takes_nothing(connection, now):
                reason = "slow reader"
            if reason is not None:
                connection.close(reason)

        self._each(close_overdue)

    def finish(self) -> None:
        """Lets all connections answer what they have received, and close."""
        self._each(lambda connection: connection.finish())

    async def wait_empty(self, seconds: float) -> bool:
        """Whether all connections ended within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def abort(self) -> None:
        """Cuts all connections that are left."""
        self._each(lambda connection: connection.close("shutdown"))

    def _each(self, action: Callable[[Connection], None]) -> None:
        """Does something with all connections; a defect of one is raised when all had their turn."""
        defects: list[Exception] = []
        for connection in list(self._connections):
            try:
                action(connection)
            except Exception as defect:  # noqa: BLE001 - the others have their turn, then it is raised
                defects.append(defect)
        if defects:
            raise defects[0]


def _overdue(connection: Connection, limits: FlowLimits, now: float) -> str | None:
    blocked, frame, half = connection.blocked_since, connection.frame_since, connection.half_closed_since
    if blocked is not None and now - blocked > limits.stalled_write_seconds:
        return "stalled write"
    proving = connection.proving_since
    if proving is not None and now - proving > limits.proving_seconds:
        return "not authenticated"
    if half is not None and now - half > limits.half_closed_seconds:
        return "half closed"
    if connection.muted_since is not None:
        # It is not read from: it can do nothing about frames, nor show that it lives.
        return None
    if frame is not None:
        allowed = limits.frame_seconds + connection.unfinished_bytes / limits.frame_bytes_per_second
        if now - frame > allowed:
            return "unfinished frame"
    if connection.is_idle and now - connection.last_active > limits.idle_seconds:
        return "idle"
    return None


def _takes_nothing(connection: Connection, now: float) -> bool:
    """Whether the peer has taken nothing of an answer for too long, given that fetches wait."""
    blocked = connection.blocked_since
    return blocked is not None and now - blocked > _UNTAKEN_SECONDS


def _in_the_way(connection: Connection, wait: float, now: float) -> str | None:
    """Whether the connection keeps for too long what others have waited for for `wait` seconds."""
    frame, stuck = connection.frame_since, connection.stuck_since()
    if frame is not None and connection.keeps_room and now - frame > PATIENCE_SECONDS:
        expected = (now - frame - PATIENCE_SECONDS) * wait * PACE
        if connection.unfinished_bytes < expected:
            return "slow frame"
    if stuck is not None and now - stuck > STUCK_SECONDS:
        return "waiting requests"
    return None
