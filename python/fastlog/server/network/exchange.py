"""One request and its answer, as handlers of frames see it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from fastlog.wire.pieces import Pieces

if TYPE_CHECKING:
    from fastlog.native import FileResponse
    from fastlog.replication.purgatory import Operation
    from fastlog.server.network.connection import Connection
    from fastlog.server.network.session import Session
    from fastlog.server.quotas.meter import Meter

_LOG: Final = logging.getLogger(__name__)

SMALL_ANSWER: Final = 4096
_TOGETHER: Final = 64
"""So many answers of so many bytes are sent with one system call."""

Answer = bytes | memoryview | Pieces
"""An answer in memory."""


class Exchange:
    """A request under way. Whoever works on it calls exactly one of `reply`, `reply_nothing` and `close`.

    Before that, `proceed` may say that the next request of the connection can start, although this one is not
    answered yet: answers leave in the order of the requests all the same. All of it is harmless when the
    connection is lost in the meantime (`is_lost`).
    """

    __slots__ = (
        "answer",
        "answered",
        "api_key",
        "api_version",
        "connection",
        "correlation_id",
        "is_lost",
        "lets_same",
        "makes",
        "meter",
        "on_sent",
        "operation",
        "parked",
        "proceeded",
        "queued",
        "settled",
        "size",
        "started",
        "work",
    )

    def __init__(
        self, connection: Connection, api_key: int, api_version: int, correlation_id: int, size: int
    ) -> None:
        self.connection = connection
        self.api_key = api_key
        self.api_version = api_version
        self.correlation_id = correlation_id
        self.size = size
        """Bytes of the request that are in memory."""
        self.work = 0
        """Bytes that it is reckoned with while it is worked on (`WorkMemory`)."""
        self.started = 0.0
        """Monotonic seconds when it was taken up."""
        self.answered = 0.0
        """The same when its answer was there but could not be sent at once, else 0."""
        self.makes = False
        """Whether its answer grows, and is weighed."""
        self.answer: Answer | FileResponse | None = None
        self.meter: Meter | None = None
        """What it uses of quotas; None while there are none for it."""
        self.operation: Operation | None = None
        """What is parked for this request: dropped from the purgatory when the connection is lost."""
        self.parked: float | None = None
        """Of an answered request, the seconds that it was parked; None if it never was."""
        self.on_sent: Callable[[], None] | None = None
        """Called once when the answer has been handed to the socket, or will never be."""
        self.queued = 0
        """Bytes of its answer that wait for a slow peer."""
        self.lets_same = False
        """Whether the next request may start meanwhile, if it is of the same API."""
        self.proceeded = False
        self.settled = False
        """Whether the answer has been handed to the socket, or will never be."""
        self.is_lost = False

    @property
    def session(self) -> Session:
        """Who asks."""
        return self.connection.session

    @property
    def is_finishing(self) -> bool:
        """Whether the connection closes when all that has come is answered: nothing should wait for long."""
        return self.connection.is_finishing

    @property
    def half_closed_since(self) -> float | None:
        """Monotonic seconds when the peer said that it sends no more, or None."""
        return self.connection.half_closed_since

    def proceed(self) -> None:
        """The next request of this connection may start."""
        if not self.proceeded:
            self.proceeded = True
            self.connection.on_proceed()

    def let_same(self) -> None:
        """The next request of this connection may start, if it is of the same API."""
        if self.answer is None:
            self.lets_same = True
            self.connection.on_let_same(self.api_key)

    def throttle(self, milliseconds: int) -> None:
        """Its answer, which comes next, says to wait so long: nothing else of its connection is taken up."""
        if milliseconds > 0:
            self.connection.throttle(milliseconds / 1000)

    def release(self) -> None:
        """The bytes of the request are of no more use: what waits from now on is weighed by who keeps it."""
        size, self.size = self.size, 0
        if size:
            self.connection.host.memory.done(size)
        if self.work:
            work, self.work = self.work, 0
            self.connection.host.work.done(work)
        if self.makes:
            self.makes = False
            self.connection.host.answers.made(self)

    def grow(self, size: int) -> bool:
        """Its answer has grown; whether it may go on without `room`. Too large a one raises KafkaError."""
        if self.is_lost:
            return True
        self.makes = True
        return self.connection.host.answers.grow(self, size)

    async def room(self) -> None:
        """Waits until its answer may grow, or a while."""
        if self.makes:
            await self.connection.host.answers.room(self)

    def has_room(self) -> bool:
        """Whether its answer may grow."""
        return not self.makes or self.connection.host.answers.has_room(self)

    def sent(self, size: int) -> None:
        """Bytes of an answer that a slow peer has not taken all of are sent, or will never be."""
        if self.queued:
            self.queued -= size
            self.connection.host.answers.remove(self.connection, size)

    def reply(self, answer: Answer | FileResponse) -> None:
        """The whole response frame, length prefix included."""
        self.answer = answer
        first = not self.proceeded
        self.proceeded = True
        connection = self.connection
        operation = self.operation
        if operation is not None:
            # What it keeps, as the frame of its plan, goes now and not when a slow peer has taken the answer.
            self.parked, self.operation = operation.waited, None
        if self.size or self.work or self.makes:
            self.release()
        try:
            connection.on_reply(self, len(answer), first)
        except BaseException as error:
            # How much of the answer is with the transport is not known.
            connection.close("failed send", error)
            raise

    def wait_for_peer(self) -> None:
        """The answer could not be sent at once: the socket is full, or earlier requests are not answered."""
        host, answer = self.connection.host, self.answer
        self.answered = host.monotonic()
        if type(answer) is bytes:
            self.queued = len(answer)
        elif type(answer) is Pieces:
            self.queued = answer.left
        if self.queued:
            host.answers.add(self.connection, self.queued)

    def count(self) -> None:
        """The answer is sent: how long it took goes into the metrics."""
        host, parked = self.connection.host, self.parked
        now = host.monotonic()
        if parked is None and not self.answered:
            host.metrics.answered(self.api_key, now - self.started)
            return
        sending = now - self.answered if self.answered else 0.0
        host.metrics.answered_late(self.api_key, now - self.started, parked or 0.0, sending)

    def settle(self) -> None:
        """The answer is with the socket, or will never be: all that it held is given back."""
        self.settled = True
        if self.size or self.work or self.makes:
            self.release()
        self.answer = b""
        if self.queued:
            self.sent(self.queued)
        if self.on_sent is not None:
            on_sent, self.on_sent = self.on_sent, None
            try:
                on_sent()
            except Exception:  # noqa: BLE001 - logged
                # The next answers of this connection have nothing to do with it.
                _LOG.exception("what follows an answer to %s failed", self.connection.peer)

    def reply_nothing(self) -> None:
        """The request has no response (acks=0)."""
        self.reply(b"")

    def close(self, reason: str, detail: object = None) -> None:
        """Ends the connection; `reason` is what it is counted under, `detail` is logged."""
        self.connection.close(reason, detail)


def small_answers(exchanges: Iterable[Exchange]) -> list[bytes]:
    """The small answers that come first."""
    answers: list[bytes] = []
    for exchange in exchanges:
        answer = exchange.answer
        if type(answer) is not bytes or len(answer) > SMALL_ANSWER or len(answers) == _TOGETHER:
            break
        answers.append(answer)
    return answers
