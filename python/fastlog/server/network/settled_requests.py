"""Requests of a connection that are executed and answered as they come in: everything is settled about them.

That is so only while nothing else of the connection is in work, waits or is unsent: the order of requests and
answers is that of the stream. What is left goes the usual way, behind it.
"""

from __future__ import annotations

import logging
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from fastlog.native import FrameError
from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    import asyncio

    from fastlog.native import Frame, FrameReader
    from fastlog.server.network.connection_host import ConnectionHost
    from fastlog.server.network.exchange import Exchange

__all__ = ["SettledRequests"]

_LOG: Final = logging.getLogger(__name__)
_PRODUCE: Final = ApiKey.PRODUCE.value
_TOGETHER: Final = 64
"""Requests that have waited and are looked at together."""


class SettledRequests:
    """The part of a connection that does without exchanges. Used on the event loop."""

    host: ConnectionHost
    blocked_since: float | None
    is_finishing: bool
    _transport: asyncio.Transport | None
    _pending: deque[Frame]
    _pending_bytes: int
    _exchanges: deque[Exchange]
    _busy: int
    _begun: int
    unfinished_bytes: int
    reader: FrameReader
    last_active: float
    _unsettled: Frame | None = None
    """What was looked at, and left."""
    _descriptor: int = -1
    """That of the socket, while the receiver reads from it."""

    def _serve(self, frames: list[Frame], began: float) -> list[Frame]:
        """Executes the first ones of `frames`, which came at `began`; those that are left."""
        if frames[0].api_key != _PRODUCE or self._pending or not self._is_free():
            return frames
        return self._execute(frames, began)

    def _serve_pending(self) -> None:
        """The same with what has waited behind others that are answered by now."""
        pending = self._pending
        if pending[0] is self._unsettled or pending[0].api_key != _PRODUCE or not self._is_free():
            return
        frames = list(islice(pending, _TOGETHER))
        left = self._execute(frames, self.host.monotonic())
        for frame in frames[: len(frames) - len(left)]:
            pending.popleft()
            self._pending_bytes -= len(frame)
            self.host.memory.done(len(frame))

    def _is_free(self) -> bool:
        """Whether nothing is in front of what comes next, and its answer can be sent at once."""
        return not (
            self.host.settled is None
            or self._busy
            or self._exchanges
            or self.blocked_since is not None
            or self.is_finishing
        )

    def _execute(self, frames: list[Frame], began: float) -> list[Frame]:
        settled, transport, metrics = self.host.settled, self._transport, self.host.metrics
        if settled is None or transport is None:
            return frames
        try:
            done = settled.produce(frames)
            if done is None:
                self._unsettled = frames[0]
                return frames
            answers = done.answers
            if answers:
                transport.write(answers)
                metrics.bytes_out += len(answers)
            spent = self.host.monotonic() - began
            for taken_up in done.taken_up:
                metrics.answered(_PRODUCE, spent - taken_up)
            if done.failure is None:
                return frames[done.requests :]
            self.close("failed request", f"PRODUCE: {done.failure}")
        except Exception as error:  # noqa: BLE001 - logged
            _LOG.exception("requests of a connection failed")
            self.close("failed request", error)
        return []

    # -- reading without asyncio --------------------

    def _begin_receiving(self, transport: asyncio.Transport) -> None:
        """From now on the host's receiver reads, where there is one."""
        if self.host.receiving is None:
            return
        self._descriptor = transport.get_extra_info("socket").fileno()
        transport.pause_reading()
        self._read(transport, reads=True)
        self._at_rest()

    def _read(self, transport: asyncio.Transport, *, reads: bool) -> None:
        """Has the socket read, or not."""
        receiving, descriptor = self.host.receiving, self._descriptor
        if receiving is None or descriptor < 0:
            (transport.resume_reading if reads else transport.pause_reading)()
        elif not reads:
            receiving.leave(descriptor)
        else:
            try:
                receiving.watch(descriptor, self, self.reader)
            except OSError:
                # The system has no room for one more in that set.
                self._descriptor = -1
                transport.resume_reading()

    def came(self, frames: list[Frame] | None, unsent: bytes, error: BaseException | None) -> None:
        """What the receiver has left: frames, and bytes of answers to those before them. Without frames the
        stream has ended or failed, with `error` by what came."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if error is not None:
            self.close("bad frame" if isinstance(error, FrameError) else "failed request", error)
        elif frames is None:
            # asyncio finds out by itself, and does what is to be done then.
            self._leave()
            transport.resume_reading()
        else:
            if unsent:
                self.host.metrics.bytes_out += len(unsent)
                transport.write(unsent)
            self._arrived(frames)
            self._at_rest()

    def _at_rest(self) -> None:
        """Lets the receiver execute and answer what comes next, if nothing is in front of it."""
        receiving = self.host.receiving
        if (
            receiving is not None
            and self._descriptor >= 0
            and not (self._pending or self._begun or self.unfinished_bytes)
            and self._is_free()
        ):
            receiving.free(self._descriptor)

    def _leave(self) -> None:
        """The receiver reads no more, for good."""
        descriptor, self._descriptor = self._descriptor, -1
        if self.host.receiving is not None and descriptor >= 0:
            self.host.receiving.leave(descriptor)

    def _arrived(self, frames: list[Frame]) -> None:
        raise NotImplementedError

    def close(self, reason: str, detail: object = None) -> None:
        raise NotImplementedError
