"""One request and its answer, as handlers of frames see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastlog.native import FileResponse
    from fastlog.replication.purgatory import Operation
    from fastlog.server.connection import Connection


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
        "on_sent",
        "operation",
        "proceeded",
        "size",
        "started",
    )

    def __init__(
        self, connection: Connection, api_key: int, api_version: int, correlation_id: int, size: int
    ) -> None:
        self.connection = connection
        self.api_key = api_key
        self.api_version = api_version
        self.correlation_id = correlation_id
        self.size = size
        self.started = 0.0
        """Monotonic seconds when it was taken up."""
        self.answered = 0.0
        """The same when its answer was there but could not be sent at once, else 0."""
        self.answer: bytes | memoryview | FileResponse | None = None
        self.operation: Operation | None = None
        """What is parked for this request: dropped from the purgatory when the connection is lost."""
        self.on_sent: Callable[[], None] | None = None
        """Called once when the answer has been handed to the socket, or will never be."""
        self.proceeded = False
        self.is_lost = False

    def proceed(self) -> None:
        """The next request of this connection may start."""
        if not self.proceeded:
            self.proceeded = True
            self.connection.on_proceed()

    def reply(self, answer: bytes | memoryview | FileResponse) -> None:
        """The whole response frame, length prefix included."""
        self.answer = answer
        first = not self.proceeded
        self.proceeded = True
        connection = self.connection
        connection.on_reply(len(answer), first)
        if self.size:
            # Not settled: the socket is full, or earlier requests are not answered yet.
            self.answered = connection.host.monotonic()

    def reply_nothing(self) -> None:
        """The request has no response (acks=0)."""
        self.reply(b"")

    def close(self, reason: str, detail: object = None) -> None:
        """Ends the connection; `reason` is what it is counted under, `detail` is logged."""
        self.connection.close(reason, detail)
