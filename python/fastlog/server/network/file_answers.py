"""Answers of a connection whose records are in their files: the first one stays first until it is sent."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fastlog.server.network.file_sender import PEER_GONE, sender_for

if TYPE_CHECKING:
    import asyncio

    from fastlog.native import FileResponse
    from fastlog.server.network.connection_host import ConnectionHost
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.network.file_sender import Sender

__all__ = ["FileAnswers"]


class FileAnswers:
    """The part of a connection that has files sent. Used on the event loop."""

    host: ConnectionHost
    blocked_since: float | None
    last_active: float
    _transport: asyncio.Transport | None
    _exchanges: deque[Exchange]
    _files: Sender | None

    def _send_files(self, transport: asyncio.Transport, answer: FileResponse) -> None:
        if self._files is None:
            try:
                self._files = sender_for(transport, self.host, self._on_files_progress, self._on_files_sent)
            except OSError as error:
                self.close("failed send", error)  # no descriptor is left for it: the client comes again
                return
        self._files.start(answer)

    def _on_files_progress(self, blocked: bool) -> None:
        now = self.host.monotonic()
        self.blocked_since = now if blocked else None
        if not blocked:
            self.last_active = now

    def _on_files_sent(self, error: object) -> None:
        if error is PEER_GONE and self._transport is not None:
            self._transport.abort()
            return
        if error is not None:
            self.close("failed send", error)
            return
        answer = self._exchanges[0].answer
        self._sent_first(len(answer) if answer is not None else 0)
        self.last_active = self.host.monotonic()
        self._flush()
        self._pump()

    def close(self, reason: str, detail: object = None) -> None:
        raise NotImplementedError

    def _sent_first(self, size: int) -> None:
        raise NotImplementedError

    def _flush(self) -> None:
        raise NotImplementedError

    def _pump(self) -> None:
        raise NotImplementedError
