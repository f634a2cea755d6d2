"""The keeper: requests of all connections in one order, durable before anybody hears of them.

A write changes the tree at once and goes to the journal; its answer, and every later answer or event of any
connection, waits until the journal has it. So nobody ever sees a state that a crash could take back, and
reads are linearizable, which those of a ZooKeeper ensemble are not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Final, Protocol

from fastlog.base.clock import Clock
from fastlog.base.files import make_directory
from fastlog.base.quick_dataclass import dataclass
from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.keeper import snapshot
from fastlog.coordination.keeper.changes import Change, Deleted, Entry, SessionClosed, SessionOpened, Started
from fastlog.coordination.keeper.journal import JOURNAL, Journal, KeeperDamaged
from fastlog.coordination.keeper.machine import Caller, Machine
from fastlog.coordination.keeper.reads import Reads
from fastlog.coordination.keeper.session_expiry import Expiry, Session, SessionIds, is_local, new_password
from fastlog.coordination.keeper.watches import Watcher, Watches
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.replies import Result
from fastlog.coordination.zookeeper.requests import Request
from fastlog.native import StorageError
from fastlog.storage.dir_lock import DirectoryLock
from fastlog.storage.disk_jobs import uninterrupted

_LOG: Final = logging.getLogger(__name__)
_TEND_SECONDS: Final = 1.0
_LEAST_ENTRIES_PER_SNAPSHOT: Final = 10_000


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Limits. Time-outs of sessions lie between 2 and 20 ticks, as in ZooKeeper."""

    tick_ms: int = 2000
    max_packet_bytes: int = 4 * 1024 * 1024
    max_sessions: int = 10_000
    max_watches_per_connection: int = 200_000
    max_connections: int = 10_000
    max_connections_per_ip: int = 1_000
    max_unanswered: int = 1_000
    max_unsent_bytes: int = 16 * 1024 * 1024
    allow_data_loss: bool = False
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Who may log in by SASL, with their passwords; none: there is no SASL."""

    @property
    def least_timeout_ms(self) -> int:
        """Shortest time-out of a session."""
        return 2 * self.tick_ms

    @property
    def most_timeout_ms(self) -> int:
        """Longest one."""
        return 20 * self.tick_ms


class Peer(Watcher, Protocol):
    """One connection as the keeper sees it."""

    session_id: int
    is_local: bool
    """Whether it comes from this process, without a socket."""

    def send(self, packet: bytes) -> None:
        """Sends a packet, after those before it."""
        ...

    def cut(self) -> None:
        """Ends the connection."""
        ...


class Keeper:
    """State, journal, sessions and watches. Used on the event loop.

    `on_failure` is called once when the journal cannot be written any more: nothing is answered from then on.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        settings: KeeperSettings | None = None,
        *,
        on_failure: Callable[[str], None] | None = None,
        tasks: Supervisor | None = None,
        give_room: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings: Final = settings or KeeperSettings()
        self.clock: Final = clock
        self.directory: Final = directory
        self.watches: Final[Watches[Peer]] = Watches()
        self.machine: Final = Machine(self.watches, self._journal_entry)
        self.peers: Final[dict[int, Peer]] = {}
        """Connections by the session that they serve."""
        self.failure: str | None = None
        self.failed_by: Exception | None = None
        self._reads = Reads(self.machine.tree, self.settings.max_unsent_bytes)
        self._on_failure = on_failure
        self._journal = Journal(
            directory / JOURNAL,
            written=self._on_written,
            failed=self._on_journal_failed,
            give_room=give_room,
        )
        self._lock: Final = DirectoryLock(
            directory, advice="Stop that process first, or give this keeper another directory (--data-dir)"
        )
        self._expiry = Expiry(self.settings.tick_ms / 1000)
        self._ids = SessionIds(clock.now_ms())
        self._applied = 0
        self._durable = 0
        self._held: deque[tuple[int, Callable[[], None]]] = deque()
        self._tasks = tasks or Supervisor(clock.monotonic)
        self._ticker: Loop | None = None
        self._noting: Loop | None = None
        self._snapshotting: Loop | None = None
        self._since_snapshot = 0
        self._last_tick = 0.0
        self._serving = False

    async def start(self) -> None:
        """Reads what is on the disk, begins a new epoch.

        Raises KeeperDamaged, DirectoryLocked, StorageError or OSError; `stop` is to be called also then.
        """
        await asyncio.to_thread(self._load)
        now = self.clock.monotonic()
        for session in self.machine.sessions.values():
            # Nobody could reach the keeper meanwhile: every session gets its whole time-out.
            self._expiry.touch(session.id, session.timeout_ms / 1000, now)
            self._ids.above(session.id)
        self._last_tick = now
        self._commit(Entry(self.machine.next_epoch, self.clock.now_ms(), Started()))
        for session_id in [session_id for session_id in self.machine.sessions if is_local(session_id)]:
            # Of the process before this one.
            self.close_session(session_id)
        await self._journal.settled()
        if self.failure is not None:
            raise KeeperDamaged(self.failure)
        seconds = self.settings.tick_ms / 2000

        async def tick() -> None:
            self.tick(seconds)

        self._ticker = self._tasks.repeat("keeper-sessions", tick, every=seconds, first=seconds)
        self._noting = self._tasks.repeat("keeper-journal", self._journal.tend, every=_TEND_SECONDS)
        self._serving = True

    async def stop(self) -> None:
        """Ends all connections and the work; sessions live on until the next start."""
        started, self._serving = self._serving, False
        if self._ticker is not None:
            await self._ticker.stop()
        if self._noting is not None:
            await self._noting.stop()
        if self._snapshotting is not None:
            await self._snapshotting.stop()
        await self._journal.settled()
        for peer in list(self.peers.values()):
            peer.cut()
        if started and self._since_snapshot > _LEAST_ENTRIES_PER_SNAPSHOT // 10 and self.failure is None:
            await self._snapshot_once()
        try:
            await (self._journal.close() if started else self._journal.abandon())
        finally:
            self._lock.release()

    def open_session(self, peer: Peer, timeout_ms: int) -> Session | None:
        """A new session served by `peer`; None when there are too many."""
        if len(self.machine.sessions) >= self.settings.max_sessions:
            return None
        session = Session(self._ids.take(local=peer.is_local), self._negotiate(timeout_ms), new_password())
        self._decide(SessionOpened(session.id, session.timeout_ms, session.password))
        self._serve(session, peer)
        return session

    def resume_session(self, peer: Peer, session_id: int, password: bytes) -> Session | None:
        """The session, now served by `peer` and by nobody else; None when it is over, or not the caller's."""
        session = self.machine.sessions.get(session_id)
        if session is None or not session.has_password(password):
            return None
        before = self.peers.pop(session_id, None)
        if before is not None:
            before.cut()
        self._serve(session, peer)
        return session

    def close_session(self, session_id: int) -> None:
        """Ends a session: its nodes go."""
        if session_id in self.machine.sessions:
            self._expiry.forget(session_id)
            self._end_session(session_id)

    def heard_of(self, session_id: int) -> None:
        """Its client is alive."""
        session = self.machine.sessions.get(session_id)
        if session is not None:
            self._expiry.touch(session_id, session.timeout_ms / 1000, self.clock.monotonic())

    def forget(self, peer: Peer) -> None:
        """A connection is gone; its session lives until it runs out."""
        self.watches.drop(peer)
        if self.peers.get(peer.session_id) is peer:
            del self.peers[peer.session_id]

    def write(self, request: Request, peer: Peer) -> Result:
        """Carries out a write; `after_all` says when the result may be told. Raises ZkError.

        On a full disk it is refused before anything has changed: a little room is left for sessions, and
        before that some for the process that the keeper runs in.
        """
        if self._journal.is_full or (self._journal.is_short and not peer.is_local):
            raise ZkError("the disk is full")
        caller = Caller(peer.session_id, tuple(peer.identities))
        return self.machine.write(request, caller, self.clock.now_ms())

    def read(self, request: Request, peer: Peer) -> Result:
        """Answers a read, and arms its watch. Raises ZkError."""
        return self._reads.answer(
            request, Caller(peer.session_id, tuple(peer.identities)), self.watches, peer
        )

    @property
    def has_room(self) -> bool:
        """Whether something new may be begun: False on a full disk, where what is left is to end things."""
        return not self._journal.is_short

    @property
    def is_serving(self) -> bool:
        """Whether requests are taken: it has started, is not stopped, and its journal can be written."""
        return self._serving and self.failure is None

    def after_all(self, action: Callable[[], None]) -> None:
        """Calls `action` when all that has changed so far is durable; in the order of the calls."""
        if self.failure is not None:
            return
        if self._durable == self._applied and not self._held:
            action()
        else:
            self._held.append((self._applied, action))

    @property
    def tree_size(self) -> tuple[int, int, int]:
        """(nodes, ephemeral nodes, bytes of paths and data)."""
        tree = self.machine.tree
        return len(tree.nodes), sum(len(paths) for paths in tree.ephemerals.values()), tree.bytes

    def _load(self) -> None:
        make_directory(self.directory)
        self._lock.acquire()
        found = snapshot.read(self.directory)
        self._journal.open(allow_data_loss=self.settings.allow_data_loss)
        offset = 0
        if found is not None:
            self.machine.tree, self.machine.sessions = found.tree, found.sessions
            self.machine.zxid, offset = found.zxid, found.offset
            self._reads = Reads(found.tree, self.settings.max_unsent_bytes)
        for entry in self._journal.replay(offset):
            self.machine.apply(entry)
            self._since_snapshot += 1

    def _negotiate(self, timeout_ms: int) -> int:
        return max(self.settings.least_timeout_ms, min(timeout_ms, self.settings.most_timeout_ms))

    def _serve(self, session: Session, peer: Peer) -> None:
        peer.session_id = session.id
        self.peers[session.id] = peer
        self._expiry.touch(session.id, session.timeout_ms / 1000, self.clock.monotonic())

    def _end_session(self, session_id: int) -> None:
        self._decide(SessionClosed(session_id))
        peer = self.peers.get(session_id)
        if peer is not None:
            # It has heard of its own nodes; its connection may stay open for a while.
            self.watches.drop(peer)

    def _decide(self, change: Change) -> None:
        self._commit(Entry(self.machine.zxid + 1, self.clock.now_ms(), change))

    def _commit(self, entry: Entry) -> None:
        # First in line for the journal, so that events of the change wait for it.
        self._journal_entry(entry)
        self.machine.apply(entry)

    def _journal_entry(self, entry: Entry) -> None:
        self._applied += 1
        self._since_snapshot += 1
        self._journal.append(entry)
        if self._since_snapshot > max(_LEAST_ENTRIES_PER_SNAPSHOT, len(self.machine.tree.nodes) // 2):
            self._begin_snapshot()

    def _on_written(self, count: int) -> None:
        self._durable += count
        while self._held and self._held[0][0] <= self._durable:
            _, action = self._held.popleft()
            action()

    def _on_journal_failed(self, error: Exception) -> None:
        self.failed_by = error
        self.failure = f"the keeper's journal in {self.directory} cannot be written: {error}"
        _LOG.error("%s; nothing is answered any more", self.failure)
        self._held.clear()
        for peer in list(self.peers.values()):
            peer.cut()
        if self._on_failure is not None:
            self._on_failure(self.failure)

    def tick(self, expected_seconds: float) -> None:
        """Ends the sessions that ran out and removes nodes that are due."""
        now = self.clock.monotonic()
        late = now - self._last_tick - expected_seconds
        self._last_tick = now
        if late > expected_seconds:
            # Frozen or starved: what clients sent meanwhile has not been read yet.
            self._expiry.postpone(late)
            return
        for session_id in self._expiry.take_expired(now):
            session = self.machine.sessions.get(session_id)
            if session is None:
                continue
            _LOG.info("the session %#x has run out after %d ms", session_id, session.timeout_ms)
            self._end_session(session_id)
            peer = self.peers.get(session_id)
            if peer is not None:
                self.after_all(peer.cut)
        for path in self.machine.expired_nodes(self.clock.now_ms()):
            self._decide(Deleted(path))

    def _begin_snapshot(self) -> None:
        if self._snapshotting is None or self._snapshotting.is_over:
            self._snapshotting = self._tasks.run("keeper-snapshot", self._snapshot_once)

    async def _snapshot_once(self) -> None:
        try:
            await self._take_snapshot()
        except (OSError, MemoryError, StorageError) as error:
            _LOG.warning("no snapshot of the keeper: %s", error)

    async def _take_snapshot(self) -> None:
        # Entries that wait for the journal are in the state already: they are counted too.
        offset = self._journal.end_offset + self._applied - self._durable
        builder = snapshot.SnapshotBuilder(
            self.machine.tree, self.machine.sessions, self.machine.zxid, offset
        )
        self._since_snapshot = 0
        try:
            while builder.take_some():  # noqa: ASYNC110 - a turn each for others
                await asyncio.sleep(0)
            # A snapshot must not know more than the journal does.
            await self._journal.settled()
            if self.failure is None:
                await uninterrupted(asyncio.to_thread(snapshot.write, self.directory, builder))
                await self._journal.forget_below(offset)
        finally:
            builder.abandon()
