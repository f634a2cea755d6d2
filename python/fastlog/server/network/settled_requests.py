"""Requests of a connection that are executed and answered as they come in: everything is settled about them.

That is so only while nothing else of the connection is in work, waits or is unsent: the order of requests and
answers is that of the stream. What is left goes the usual way, behind it.
"""

from __future__ import annotations

import logging
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    import asyncio

    from fastlog.native import Frame
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
    _unsettled: Frame | None = None
    """What was looked at, and left."""

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

    def close(self, reason: str, detail: object = None) -> None:
        raise NotImplementedError
