"""One connection: packets in, packets out, whatever carries them (`Wire`).

The first packet opens or resumes a session. From then on every request is carried out when it comes, and its
answer leaves in the order of the requests, once all that it tells of is durable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Final, NamedTuple, Protocol

from fastlog.coordination.keeper.access import Identity, authenticate
from fastlog.coordination.keeper.keeper import Keeper
from fastlog.coordination.keeper.rearming import rearm
from fastlog.coordination.zookeeper.codes import OpCode, ZkCode
from fastlog.coordination.zookeeper.errors import AuthFailed, Unimplemented, ZkError
from fastlog.coordination.zookeeper.jute import MalformedPacket, Reader
from fastlog.coordination.zookeeper.replies import (
    NOTHING,
    ConnectReply,
    ConnectRequest,
    Event,
    Result,
    write_event,
    write_reply,
)
from fastlog.coordination.zookeeper.requests import Auth, Request, Sasl, SetWatches, read_request

_LOG: Final = logging.getLogger(__name__)
_WRITES: Final = frozenset(
    (
        OpCode.CREATE,
        OpCode.CREATE2,
        OpCode.CREATE_CONTAINER,
        OpCode.CREATE_TTL,
        OpCode.DELETE,
        OpCode.SET_DATA,
        OpCode.SET_ACL,
        OpCode.CHECK,
        OpCode.MULTI,
    )
)
_MAX_IDENTITIES: Final = 16


class Wire(Protocol):
    """What carries packets to the client."""

    @property
    def peer(self) -> str:
        """The client's address, for logs."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet."""
        ...

    def write(self, packet: bytes) -> None:
        """Sends one packet, adding its length."""
        ...

    def close(self) -> None:
        """Ends the connection after what was written."""
        ...

    def abort(self) -> None:
        """Ends the connection at once."""
        ...

    def hold(self, held: bool) -> None:
        """Whether reading pauses."""
        ...


class Answer(NamedTuple):
    """What a packet of an answer would say."""

    xid: int
    zxid: int
    outcome: Result | ZkError


class DirectWire(Wire, Protocol):
    """To a client in this process, which takes answers and events as they are."""

    def tell(self, what: Answer | Event) -> None:
        """Sends one."""
        ...


class KeeperConnection:
    """The server's side of one connection. `identities` is what the wire itself proves: the address.

    `is_local`: it comes from the keeper's own process, and its session ends with that. `direct` is the wire
    if nothing is to be encoded for it but the handshake.
    """

    def __init__(
        self,
        keeper: Keeper,
        wire: Wire,
        identities: list[Identity],
        *,
        is_local: bool = False,
        direct: DirectWire | None = None,
    ) -> None:
        self.identities = identities
        self.is_local = is_local
        self.session_id = 0
        self.received = 0
        self.sent = 0
        self._keeper = keeper
        self._wire = wire
        self._direct = direct
        self._closed = False
        self._held = False
        self._answers_due = 0
        self._login: Generator[bytes, bytes, str] | None = None

    @property
    def has_session(self) -> bool:
        """Whether the handshake is over."""
        return self.session_id != 0

    def receive(self, packet: bytes) -> None:
        """Takes a packet of the client. Never raises: a client that does not follow the protocol is cut."""
        if self._closed:
            return
        if not self._keeper.is_serving:
            self.cut()
            return
        self.received += 1
        try:
            if self.session_id:
                self._request(Reader(packet))
            else:
                self._connect(ConnectRequest.read(Reader(packet)))
        except MalformedPacket as error:
            self._refuse(str(error))
        except Exception:  # noqa: BLE001 - one client's request must not cost the others
            _LOG.exception("a request of %s failed", self._wire.peer)
            self.cut()

    def ask(self, xid: int, request: Request) -> None:
        """Takes a request of a client in this process, as it is. Never raises."""
        if self._closed:
            return
        if not self._keeper.is_serving or not self.session_id:
            self.cut()
            return
        self.received += 1
        try:
            self._carry_out(xid, request.op, request)
        except Exception:  # noqa: BLE001 - one client's request must not cost the others
            _LOG.exception("a request of %s failed", self._wire.peer)
            self.cut()

    def lost(self) -> None:
        """The connection is gone."""
        self._closed = True
        self._keeper.forget(self)

    def send(self, packet: bytes) -> None:
        """Sends a packet after all before it, when what it tells of is durable."""
        self._keeper.after_all(lambda: self._write(packet))

    def notify(self, event: Event) -> None:
        """A watch has fired."""
        direct = self._direct
        if direct is None:
            self.send(bytes(write_event(event)))
        else:
            self._keeper.after_all(lambda: self._tell(direct, event))

    def cut(self) -> None:
        """Ends the connection at once: nothing more is taken of it, also of what has come already.

        Another connection may have its session now, and must find whatever this one did done.
        """
        if not self._closed:
            self._closed = True
            self._wire.abort()

    def _write(self, packet: bytes) -> None:
        if self._closed:
            return
        self.sent += 1
        self._wire.write(packet)
        if self._wire.unsent_bytes > self._keeper.settings.max_unsent_bytes:
            self._refuse("it does not take what it is sent")

    def _tell(self, direct: DirectWire, what: Answer | Event) -> None:
        if not self._closed:
            self.sent += 1
            direct.tell(what)

    def _refuse(self, reason: str) -> None:
        _LOG.warning(
            "cutting the connection of %s, session %#x: %s", self._wire.peer, self.session_id, reason
        )
        self.cut()

    def _connect(self, request: ConnectRequest) -> None:
        keeper = self._keeper
        if request.session_id:
            session = keeper.resume_session(self, request.session_id, request.password)
            if request.last_zxid > keeper.machine.zxid:
                # It has seen what is not here: another keeper's data, or this one's from before a loss. A
                # member of an ensemble refuses it, for another may know more. Here there is no other.
                _LOG.warning(
                    "the session %#x of %s has seen zxid %#x, this is %#x: it is told that it has expired",
                    request.session_id,
                    self._wire.peer,
                    request.last_zxid,
                    keeper.machine.zxid,
                )
                if session is not None:
                    keeper.close_session(session.id)
                    session = None
        else:
            session = keeper.open_session(self, request.timeout_ms)
            if session is None:
                self._refuse("there are as many sessions as there may be")
                return
        read_only = None if request.read_only is None else False
        if session is None:
            reply = ConnectReply(0, 0, bytes(16), read_only)
            keeper.after_all(lambda: self._say_and_close(bytes(reply.write())))
        else:
            reply = ConnectReply(session.timeout_ms, session.id, session.password, read_only)
            self.send(bytes(reply.write()))

    def _request(self, reader: Reader) -> None:
        xid, op = reader.int32(), reader.int32()
        self._carry_out(xid, op, reader)

    def _carry_out(self, xid: int, op: int, asked: Reader | Request) -> None:
        keeper = self._keeper
        if self.session_id not in keeper.machine.sessions:
            # It ran out; the client learns so when it connects again.
            self.cut()
            return
        keeper.heard_of(self.session_id)
        self._answers_due += 1
        if self._answers_due > keeper.settings.max_unanswered and not self._held:
            self._held = True
            self._wire.hold(True)
        outcome: Result | ZkError
        try:
            outcome = self._answer(op, _parsed(op, asked) if isinstance(asked, Reader) else asked)
        except ZkError as error:
            outcome = error
        zxid = 0 if op in (OpCode.AUTH, OpCode.SASL) else keeper.machine.zxid
        last = op == OpCode.CLOSE_SESSION or isinstance(outcome, AuthFailed)
        direct = self._direct
        if direct is None:
            packet = bytes(write_reply(xid, zxid, op, outcome))
            keeper.after_all(lambda: self._reply(lambda: self._write(packet), last))
        else:
            answer = Answer(xid, zxid, outcome)
            keeper.after_all(lambda: self._reply(lambda: self._tell(direct, answer), last))

    def _answer(self, op: int, request: Request | None) -> Result:
        if request is None:
            raise Unimplemented(f"op {op}")
        if op in _WRITES:
            return self._keeper.write(request, self)
        special = self._SPECIAL.get(op)
        if special is not None:
            return special(self, request)
        try:
            return self._keeper.read(request, self)
        finally:
            # A read of what is missing fails, and leaves its watch.
            self._check_watches()

    def _ping(self, _: Request) -> Result:
        return NOTHING

    def _close_session(self, _: Request) -> Result:
        self._keeper.close_session(self.session_id)
        return NOTHING

    def _authenticate(self, request: Request) -> Result:
        if isinstance(request, Auth) and request.scheme != "ip":
            identity = authenticate(request.scheme, request.auth)
            if identity not in self.identities:
                if len(self.identities) >= _MAX_IDENTITIES:
                    raise AuthFailed(f"more than {_MAX_IDENTITIES} identities")
                self.identities.append(identity)
        return NOTHING

    def _log_in(self, request: Request) -> Result:
        """A step of SASL. Who has been believed once may do it again, as somebody else too."""
        users = self._keeper.settings.users
        if not isinstance(request, Sasl) or not users:
            raise Unimplemented("SASL")
        if self._login is None:
            from fastlog.coordination.zookeeper.digest_md5 import answers  # seldom wanted

            self._login = answers(users)
            next(self._login)
        try:
            said = self._login.send(request.token)
            if said.startswith(b"rspauth="):
                next(self._login)
        except StopIteration as done:
            self._login = None
            if len(self.identities) >= _MAX_IDENTITIES:
                raise AuthFailed(f"more than {_MAX_IDENTITIES} identities") from None
            self.identities.append(("sasl", done.value))
        except AuthFailed as error:
            _LOG.warning("%s did not log in: %s", self._wire.peer, error)
            raise
        return Result(data=said)

    def _set_watches(self, request: Request) -> Result:
        if isinstance(request, SetWatches):
            rearm(request, self._keeper.machine.tree, self._keeper.watches, self)
            self._check_watches()
        return NOTHING

    _SPECIAL: Final[dict[int, Callable[[KeeperConnection, Request], Result]]] = {
        OpCode.PING: _ping,
        OpCode.CLOSE_SESSION: _close_session,
        OpCode.AUTH: _authenticate,
        OpCode.SASL: _log_in,
        OpCode.SET_WATCHES: _set_watches,
        OpCode.SET_WATCHES2: _set_watches,
    }

    def _check_watches(self) -> None:
        if self._keeper.watches.weight_of(self) > self._keeper.settings.max_watches_per_connection:
            self._refuse("it has more watches than a connection may have")
            raise ZkError("too many watches", ZkCode.THROTTLED)

    def _reply(self, say: Callable[[], None], last: bool) -> None:
        say()
        if last:
            if not self._closed:
                self._wire.close()
            return
        self._answers_due -= 1
        if self._held and self._answers_due <= self._keeper.settings.max_unanswered // 2:
            self._held = False
            self._wire.hold(False)

    def _say_and_close(self, packet: bytes) -> None:
        self._write(packet)
        if not self._closed:
            self._wire.close()


def _parsed(op: int, reader: Reader) -> Request | None:
    """The request. Raises ZkError, as ZooKeeper answers, when its body is not what it should be."""
    try:
        return read_request(op, reader)
    except MalformedPacket as error:
        raise ZkError(str(error), ZkCode.MARSHALLING_ERROR) from None
