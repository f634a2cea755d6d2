"""What one connection owes, without a socket and without a clock: requests out, answers in.

Frames are cut by the native `FrameReader`, which checks a frame's length before it takes memory for it and
then takes only what arrived. Answers find their request by correlation id. They are handed on in the order in
which they come, which is that of the requests: so Kafka promises, and nothing here depends on it.

Whatever is no answer to what was asked ends the connection, and so does an answer that is late: on Kafka's
ordered connections everything behind it would wait as well, and a late answer must not meet a later request.

    frame = pipeline.send(message, version, owner, timeout, now)   # bytes for the socket
    for owner, frame in pipeline.received(n): ...                  # n bytes came into pipeline.buffer
    for owner, error in pipeline.overdue(now): ...                 # and pipeline.fail(why), when it is over
"""

from __future__ import annotations

import itertools
import struct
from typing import Final, Generic, TypeVar

from fastlog.base.quick_dataclass import dataclass
from fastlog.native import Frame, FrameError, FrameReader
from fastlog.net.errors import ClientError, ConnectionFailed, RequestTimedOut
from fastlog.wire import APIS, ApiKey, Request, encode_request

T = TypeVar("T")

MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
"""Largest answer that is taken. A fetch answer holds at least one batch whatever was asked for."""
MAX_IN_FLIGHT: Final = 1024
"""Most requests without an answer, where nobody asks for fewer."""

_CORRELATION_ID: Final = struct.Struct(">i")
_MAX_ID: Final = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class _Sent(Generic[T]):
    """A request that waits for its answer. `deadline` is on the clock of whoever sent it."""

    api: ApiKey
    owner: T
    timeout: float
    deadline: float
    correlation_id: int


class Pipeline(Generic[T]):
    """The requests of one connection that have no answer so far.

    `T` is what the user of the pipeline knows a request by. `address` is `host:port`, for error texts. At
    most `max_in_flight` requests are under way at a time.
    """

    def __init__(
        self,
        address: str,
        client_id: str | None,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.address: Final = address
        self.buffer: Final = FrameReader(max_frame_bytes)
        """Where received bytes go."""
        self._client_id = client_id
        self._max_in_flight = max_in_flight
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Sent[T]] = {}
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """Why no further request is taken, in words; None while all is well."""
        return self._failure

    @property
    def in_flight(self) -> int:
        """Requests without an answer so far."""
        return len(self._waiting)

    @property
    def room(self) -> int:
        """Requests that may be sent before an answer comes."""
        return self._max_in_flight - len(self._waiting)

    def send(self, message: Request, version: int, owner: T, timeout: float, now: float) -> bytes:
        """The frame of a request whose answer is due `timeout` seconds after `now`.

        Raises ConnectionFailed when the pipeline is over, UnencodableMessage when the version has no form for
        the message, RuntimeError when it is full: then the request does not count.
        """
        self.check(message.API)
        if self.room <= 0:
            raise RuntimeError(f"{self._max_in_flight} requests are in flight already")
        correlation_id = next(self._ids) & _MAX_ID
        frame = encode_request(message, version, correlation_id, self._client_id)
        timeout = max(timeout, 0.0)
        self._waiting[correlation_id] = _Sent(message.API, owner, timeout, now + timeout, correlation_id)
        return frame

    def send_unanswered(self, message: Request, version: int) -> bytes:
        """The frame of a request that has no answer (Produce with acks=0). Raises as `send`."""
        self.check(message.API)
        return encode_request(message, version, next(self._ids) & _MAX_ID, self._client_id)

    def check(self, api: ApiKey, *, sent: bool = False) -> None:
        """Raises ConnectionFailed when the pipeline is over; `sent`: the request may have got through."""
        if self._failure is not None:
            text = f"the connection is closed: {self._failure}"
            raise ConnectionFailed(text, api=api, broker=self.address, sent=sent)

    def received(self, nbytes: int) -> list[tuple[T, Frame]]:
        """Takes over `nbytes` bytes that were written at the start of `buffer`: (owner, answer) in order.

        Where the bytes are no answer `failure` is set; what came before them is returned, and what still
        waits is to be had from `fail`.
        """
        wrong: str | None = None
        try:
            frames = self.buffer.advance(nbytes)
        except FrameError as error:
            frames = error.frames
            wrong = f"the peer sent a frame that cannot be: {error} (does it speak another protocol?)"
        answers: list[tuple[T, Frame]] = []
        for frame in frames:
            correlation_id: int = _CORRELATION_ID.unpack_from(frame)[0]
            sent = self._waiting.pop(correlation_id, None)
            if sent is None:
                wrong = f"an answer came that nobody asked for (correlation id {correlation_id})"
                break
            answers.append((sent.owner, frame))
        if self._failure is None:
            self._failure = wrong
        return answers

    def next_deadline(self) -> float | None:
        """When the first of the answers is due, or None."""
        return min((sent.deadline for sent in self._waiting.values()), default=None)

    def overdue(self, now: float) -> list[tuple[T, ClientError]]:
        """(owner, error) of all that waits, in the order of sending, if an answer is late; else nothing.

        The pipeline is over then.
        """
        late = [sent for sent in self._waiting.values() if sent.deadline <= now]
        if not late:
            return []
        first = late[0]
        why = f"it was closed because {APIS[first.api].name} got no answer within {first.timeout:.1f} s"
        return self._end(why, now)

    def fail(self, why: str) -> list[tuple[T, ClientError]]:
        """Ends the pipeline: (owner, error) of all that waits, in the order of sending.

        Of several reasons the first is told.
        """
        return self._end(why, None)

    def _end(self, why: str, now: float | None) -> list[tuple[T, ClientError]]:
        if self._failure is None:
            self._failure = why
        waiting, self._waiting = self._waiting, {}
        return [(sent.owner, self._error(sent, now)) for sent in waiting.values()]

    def _error(self, sent: _Sent[T], now: float | None) -> ClientError:
        if now is not None and sent.deadline <= now:
            text = f"no answer within {sent.timeout:.1f} s"
            return RequestTimedOut(
                text, api=sent.api, broker=self.address, correlation_id=sent.correlation_id
            )
        text = f"the connection ended before the answer came: {self._failure}"
        return ConnectionFailed(
            text, api=sent.api, broker=self.address, correlation_id=sent.correlation_id, sent=True
        )
