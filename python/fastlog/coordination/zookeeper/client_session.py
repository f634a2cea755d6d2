"""A session over changing connections: handshake, pipelined requests, pings, reconnects.

Answers come in the order of the requests. When a connection breaks, whatever waits for an answer fails with
ConnectionLoss: it may have been carried out. The session goes on with another server, and watches with it.

When no server can be reached for 4/3 of its time-out, a session is taken for expired by the client's own
clock (ZOOKEEPER-4508), and those who wait are told. A server may still have it, so that it is ended there
first when one is reached again: what it held would stand in the way of the next.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastlog.base.clock import Clock
from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.zookeeper.client_watches import ClientWatches, Watch
from fastlog.coordination.zookeeper.codes import EventType, KeeperState, OpCode, Xid, ZkCode
from fastlog.coordination.zookeeper.errors import (
    AuthFailed,
    ConnectionLoss,
    NoNode,
    SessionExpired,
    Unimplemented,
    ZkError,
    error_of,
)
from fastlog.coordination.zookeeper.jute import MalformedPacket, Reader
from fastlog.coordination.zookeeper.replies import (
    NOTHING,
    ConnectReply,
    ConnectRequest,
    Event,
    Result,
    read_event,
    read_header,
    read_result,
)
from fastlog.coordination.zookeeper.requests import Auth, Bare, Read, Request, Sasl, write_request
from fastlog.coordination.zookeeper.transport import Connector, DirectTransport, Transport
from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.coordination.zookeeper.digest_md5 import Steps

_LOG: Final = logging.getLogger(__name__)
_LEAST_PAUSE: Final = 0.05
_MOST_PAUSE: Final = 2.0
_GRACE: Final = 1 / 3
"""Of the time-out: how long after its lease a session that no server tells of is given up."""
_XIDS: Final = 2**31 - 1


Login = Callable[[], "Steps"]


class SessionState(Enum):
    """Where a session stands. After EXPIRED the client begins a new session by itself."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    EXPIRED = "expired"
    AUTH_FAILED = "authentication failed"
    CLOSED = "closed"


class _Waiting(NamedTuple):
    xid: int
    request: Request
    answer: asyncio.Future[Result]
    watch: Watch | None
    sent_at: float


class _Link:
    """One connection of a session (`Receiver`): what still comes from an older one is nobody's."""

    def __init__(self, session: ZkSession) -> None:
        loop = asyncio.get_running_loop()
        self.handshake: asyncio.Future[ConnectReply] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.transport: Transport | None = None
        self.direct: DirectTransport | None = None
        self._session = session

    def packet_received(self, packet: bytes) -> None:
        """See `Receiver`."""
        if self.lost.done():
            return
        try:
            if self.handshake.done():
                self._session.take_packet(Reader(packet))
            else:
                self.handshake.set_result(ConnectReply.read(Reader(packet)))
        except MalformedPacket as error:
            self.end(f"the server does not follow the protocol: {error}")

    def answered(self, xid: int, zxid: int, outcome: Result | ZkError) -> None:
        """See `DirectReceiver`."""
        if not self.lost.done():
            try:
                self._session.take_answer(xid, zxid, outcome)
            except MalformedPacket as error:
                self.end(f"the server does not follow the protocol: {error}")

    def notified(self, event: Event) -> None:
        """See `DirectReceiver`."""
        if not self.lost.done():
            self._session.take_event(event)

    def transport_lost(self, reason: str) -> None:
        """See `Receiver`."""
        self.end(reason)

    def end(self, reason: str) -> None:
        """Nothing more is sent or taken."""
        if not self.lost.done():
            self.lost.set_result(reason)
            if self.transport is not None:
                self.transport.close()


class ZkSession:
    """One client. Used on the event loop; `start`, then `close`.

    `auth` are identities that are shown on each connection, `login` makes the steps of a SASL exchange that
    comes before anything else. `on_state` is called at each change of state, before anybody who waits for a
    request learns of it.
    """

    def __init__(
        self,
        servers: Sequence[Connector],
        clock: Clock,
        *,
        timeout_ms: int = 18_000,
        auth: Sequence[Auth] = (),
        login: Login | None = None,
        on_state: Callable[[SessionState], None] | None = None,
        tasks: Supervisor | None = None,
    ) -> None:
        if not servers:
            raise ValueError("a client needs a server")
        self.session_id = 0
        self.timeout_ms = timeout_ms
        """As asked for, then as the server has granted it."""
        self.state = SessionState.CONNECTING
        self.last_zxid = 0
        self.watches: Final = ClientWatches()
        self._servers = list(servers)
        self._clock = clock
        self._asked_timeout_ms = timeout_ms
        self._auth = list(auth)
        self._login = login
        self._was_believed = False
        self.trouble: str | None = None
        """Why there was no connection the last time, in words; None once there is one."""
        self.on_state = on_state
        self._password = bytes(16)
        self._former: tuple[int, bytes] | None = None
        """Id and password of a session that was given up, and that a server may still have."""
        self._link: _Link | None = None
        self._waiting: deque[_Waiting] = deque()
        self._xid = 0
        self._heard_at = self._sent_at = self._pinged_at = 0.0
        self._lease_until = 0.0
        self._connected = asyncio.Event()
        self._tasks = tasks or Supervisor(clock.monotonic)
        self._loop: Loop | None = None

    @property
    def lease_until(self) -> float:
        """Monotonic time up to which no server can have ended the session: who acts for it stops then."""
        return self._lease_until

    def start(self) -> None:
        """Begins to connect."""
        self._loop = self._tasks.run("zookeeper-session", self._run)

    async def connected(self) -> None:
        """Waits until requests can be sent. Raises AuthFailed or ConnectionLoss when they never will be."""
        await self._connected.wait()
        if self.state is SessionState.AUTH_FAILED:
            raise AuthFailed(self.trouble or "the server did not accept the credentials")
        if self.state is SessionState.CLOSED:
            raise ConnectionLoss("the client was closed")

    async def close(self) -> None:
        """Ends the session, whose ephemeral nodes go, if a server can be reached; and the work."""
        if self.state is SessionState.CONNECTED:
            answer = self.submit(Bare(OpCode.CLOSE_SESSION))
            await asyncio.wait([answer], timeout=self.timeout_ms / 1000)
            if answer.done() and not answer.cancelled():
                answer.exception()
        self._enter(SessionState.CLOSED)
        self._connected.set()
        if self._loop is not None:
            await self._loop.stop()
        self._drop("the client was closed")

    def submit(self, request: Request, watch: Watch | None = None) -> asyncio.Future[Result]:
        """Sends a request. The future fails with a ZkError: ConnectionLoss when there is no connection."""
        if self.state is not SessionState.CONNECTED:
            answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            _fail(answer, ConnectionLoss("there is no connection to a server"))
            return answer
        return self._ask(request, watch)

    def _ask(self, request: Request, watch: Watch | None = None) -> asyncio.Future[Result]:
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._xid = self._xid % _XIDS + 1
        self._waiting.append(_Waiting(self._xid, request, answer, watch, self._clock.monotonic()))
        self._send(self._xid, request)
        return answer

    def add_auth(self, auth: Auth) -> None:
        """Shows the server who the client is, now and on every later connection."""
        self._auth.append(auth)
        if self.state is SessionState.CONNECTED:
            self._send(Xid.AUTH, auth)

    async def _run(self) -> None:
        pause = _LEAST_PAUSE
        while True:
            servers = random.sample(self._servers, len(self._servers))
            reached = False
            for connector in servers:
                if await self._serve_over(connector, len(servers)):
                    reached, pause = True, _LEAST_PAUSE
                if self.state in (SessionState.AUTH_FAILED, SessionState.CLOSED):
                    return
            # Not before all were asked: a process that was suspended may find its session alive.
            if not reached and self._seconds_left() <= 0:
                self._give_up()
            spread = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects
            await asyncio.sleep(min(spread, max(self._seconds_left(), 0.0)))
            pause = min(2 * pause, _MOST_PAUSE)

    def _seconds_left(self) -> float:
        """Until the session is given up if no server is reached."""
        if not self.session_id:
            return math.inf
        return self._lease_until + _GRACE * self.timeout_ms / 1000 - self._clock.monotonic()

    def _give_up(self) -> None:
        self._former = self.session_id, self._password
        self._expire("no server was reached for longer than its time-out")

    async def _serve_over(self, connector: Connector, servers: int) -> bool:
        """One connection from its begin to its end; whether there was a session over it."""
        link = self._link = _Link(self)
        try:
            async with asyncio.timeout(self.timeout_ms / 1000 / servers):
                link.transport = await connector(link)
                link.direct = link.transport if isinstance(link.transport, DirectTransport) else None
                reply = await self._shake_hands(link)
                if self._login is not None and reply.session_id:
                    await self._log_in(link, self._login())
        except AuthFailed as error:
            self._note(error)
            self._disbelieved(str(error))
            return False
        except (OSError, TimeoutError, ZkError) as error:
            self._note(error)
            self._drop("no connection")
            return False
        self.trouble = None
        if self._former is not None:
            await self._end_former(link, reply)
            return True
        if reply.session_id == 0:
            self._expire("a server says so")
            return False
        self._begin(reply)
        reason = await self._keep_alive(link.lost)
        _LOG.info("the connection of session %#x is gone: %s", self.session_id, reason)
        if self.state is SessionState.CONNECTED:
            self._enter(SessionState.CONNECTING)
        self._drop(reason)
        return True

    async def _shake_hands(self, link: _Link) -> ConnectReply:
        self._sent_at = self._heard_at = self._clock.monotonic()
        session_id, password = self._former or (self.session_id, self._password)
        request = ConnectRequest(self.last_zxid, self._asked_timeout_ms, session_id, password)
        if link.transport is not None:
            link.transport.write(request.write())
        while not link.handshake.done():
            if link.lost.done():
                raise ConnectionError(link.lost.result())
            await _first(link.handshake, link.lost)
        return link.handshake.result()

    async def _log_in(self, link: _Link, steps: Steps) -> None:
        """Raises AuthFailed; ConnectionLoss when the server says no more."""
        said: bytes | None = next(steps)
        while said is not None:
            answer = self._ask(Sasl(said))
            await _first(answer, link.lost)
            if link.lost.done() and not answer.done():
                raise ConnectionLoss(link.lost.result())
            try:
                heard = answer.result().data or b""
            except Unimplemented:
                raise AuthFailed("the server knows no SASL") from None
            except ZkError as error:
                if error.code != ZkCode.SESSION_CLOSED_REQUIRE_SASL_AUTH:
                    raise
                raise AuthFailed("the server did not accept the login") from None
            try:
                said = steps.send(heard)
            except StopIteration:
                said = None
        self._was_believed = True

    def _disbelieved(self, why: str) -> None:
        """Ends it if no server ever took the credentials; else servers were given other users, and may be
        given the right ones again."""
        if not self._was_believed:
            self._enter(SessionState.AUTH_FAILED)
            self._connected.set()
        self._drop(why)

    def _note(self, error: Exception) -> None:
        """Why there is no connection. What does not pass by itself is told where people look, once."""
        before, self.trouble = self.trouble, _in_words(error)
        is_news = isinstance(error, (ssl.SSLError, AuthFailed)) or (
            isinstance(error, OSError) and isinstance(error.__cause__, FastlogError)
        )
        level = logging.WARNING if is_news and before != self.trouble else logging.DEBUG
        _LOG.log(level, "no connection to a ZooKeeper server: %s", self.trouble)

    async def _end_former(self, link: _Link, reply: ConnectReply) -> None:
        """Ends the session that was given up, if the server has it; when that breaks off, the next time."""
        ended = reply.session_id == 0
        if not ended:
            answer = self._ask(Bare(OpCode.CLOSE_SESSION))
            await _first(answer, link.lost, seconds=self.timeout_ms / 1000)
            ended = answer.done() and answer.exception() is None
            answer.cancel()
        if ended:
            self._former = None
        self._lease_until = 0.0
        self._drop("the session was given up")

    def _begin(self, reply: ConnectReply) -> None:
        self.session_id, self._password = reply.session_id, reply.password
        self.timeout_ms = reply.timeout_ms
        self._lease_until = self._sent_at + self.timeout_ms / 1000
        for auth in self._auth:
            self._send(Xid.AUTH, auth)
        for watches in self.watches.to_arm(self.last_zxid):
            self._send(Xid.SET_WATCHES, watches)
        self._enter(SessionState.CONNECTED)
        self._connected.set()

    async def _keep_alive(self, lost: asyncio.Future[str]) -> str:
        """Pings, until the connection is gone or the server silent; says why."""
        seconds = self.timeout_ms / 1000
        while True:
            await asyncio.wait([lost], timeout=seconds / 6)
            if lost.done():
                return lost.result()
            now = self._clock.monotonic()
            if now - self._heard_at > seconds * 2 / 3:
                return f"the server has been silent for {now - self._heard_at:.1f} s"
            if now - self._pinged_at > seconds / 3:
                self._pinged_at = now
                self._send(Xid.PING, Bare(OpCode.PING))

    def take_packet(self, reader: Reader) -> None:
        """Takes a packet of the server, after the handshake. Raises MalformedPacket."""
        xid, zxid, code = read_header(reader)
        if xid == Xid.EVENT:
            self.take_event(read_event(reader))
        else:
            self._take(xid, zxid, code, reader)

    def take_event(self, event: Event) -> None:
        """A watch has fired."""
        self._heard_at = self._clock.monotonic()
        for watch in self.watches.take(event.type, event.path):
            _call(watch, event)

    def take_answer(self, xid: int, zxid: int, outcome: Result | ZkError) -> None:
        """Takes an answer that is no packet. Raises MalformedPacket when it is not due."""
        self._take(xid, zxid, outcome.code if isinstance(outcome, ZkError) else ZkCode.OK, outcome)

    def _take(self, xid: int, zxid: int, code: int, answer: Reader | Result | ZkError) -> None:
        self._heard_at = self._clock.monotonic()
        if zxid > 0:
            self.last_zxid = max(self.last_zxid, zxid)
        if xid == Xid.PING:
            self._lease_until = max(self._lease_until, self._pinged_at + self.timeout_ms / 1000)
        elif xid == Xid.AUTH:
            if code == ZkCode.OK:
                self._was_believed = True
            elif code == ZkCode.AUTH_FAILED:
                self._disbelieved("the server did not accept the credentials")
        elif xid != Xid.SET_WATCHES:
            self._answer(xid, code, answer)

    def _answer(self, xid: int, code: int, answer: Reader | Result | ZkError) -> None:
        if not self._waiting or self._waiting[0].xid != xid:
            raise MalformedPacket(f"an answer to request {xid}, which is not due")
        waiting = self._waiting[0]
        # One that cannot be read ends the connection, and fails like those after it.
        result = NOTHING
        if isinstance(answer, Result):
            result = answer
        elif isinstance(answer, Reader) and code == ZkCode.OK:
            result = read_result(waiting.request, answer)
        self._waiting.popleft()
        self._lease_until = max(self._lease_until, waiting.sent_at + self.timeout_ms / 1000)
        request, watch = waiting.request, waiting.watch
        missing = code == ZkCode.NO_NODE and request.op is OpCode.EXISTS
        if watch is not None and isinstance(request, Read) and (code == ZkCode.OK or missing):
            self.watches.add(request.op, request.path, watch, found=not missing)
        if waiting.answer.done():
            return
        if code == ZkCode.OK:
            waiting.answer.set_result(result)
        elif code == ZkCode.NO_NODE:
            _fail(waiting.answer, NoNode(getattr(request, "path", "")))
        else:
            _fail(waiting.answer, error_of(code, f"{request.op.name} {getattr(request, 'path', '')}"))

    def _expire(self, reason: str) -> None:
        _LOG.warning("the session %#x has expired: %s", self.session_id, reason)
        self.session_id, self._password, self.last_zxid = 0, bytes(16), 0
        self._lease_until = 0.0
        watches = self.watches.take_all()
        self._enter(SessionState.EXPIRED)
        for watch in watches:
            _call(watch, Event(EventType.NONE, KeeperState.EXPIRED, ""))
        self._drop("the session has expired", SessionExpired)

    def _enter(self, state: SessionState) -> None:
        if state is self.state:
            return
        self.state = state
        if state is not SessionState.CONNECTED:
            self._connected.clear()
        if self.on_state is not None:
            self.on_state(state)

    def _send(self, xid: int, request: Request) -> None:
        if self._link is None or self._link.transport is None:
            return
        if self._link.direct is not None:
            self._link.direct.ask(xid, request)
        else:
            self._link.transport.write(write_request(xid, request))

    def _drop(self, reason: str, kind: type[ConnectionLoss] | type[SessionExpired] = ConnectionLoss) -> None:
        """Ends the connection; what waits for an answer fails."""
        if self._link is not None:
            self._link.end(reason)
        waiting, self._waiting = self._waiting, deque()
        for entry in waiting:
            if not entry.answer.done():
                _fail(entry.answer, kind(reason))


def _in_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with the server: {error.reason or error}"
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _fail(answer: asyncio.Future[Result], error: ZkError) -> None:
    answer.set_exception(error)
    # Whoever asked may have stopped waiting; that is no forgotten error.
    answer.exception()


async def _first(*futures: asyncio.Future[Any], seconds: float | None = None) -> None:
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def _call(watch: Watch, event: Event) -> None:
    try:
        watch(event)
    except Exception:  # noqa: BLE001 - a watch that fails must not keep the others from being told
        _LOG.exception("a watch of %s failed", event.path)
