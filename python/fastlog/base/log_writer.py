"""The log's way out: a bounded queue and a thread, so that nobody who says something waits for a reader.

A pipe whose reader hangs, a terminal that is held, a disk that is full: lines that cannot be kept are dropped
and counted, and where they are missing a line says how many.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from typing import Final

__all__ = ["LogWriter", "lost_lines"]

STDOUT: Final = 1
STDERR: Final = 2
MOST_BYTES: Final = 4 * 1024 * 1024
_FLUSH_SECONDS: Final = 1.0
_SAY_MS: Final = 1000
_PAUSE_SECONDS: Final = 0.1


class LogWriter(logging.Handler):
    """Writes records to a file descriptor; never waits for it, and never raises.

    At most `most_bytes` wait. What comes when they are full is dropped, not what is there: the first lines
    of a trouble tell more than the last ones.
    """

    def __init__(self, descriptor: int = STDERR, *, most_bytes: int = MOST_BYTES) -> None:
        super().__init__()
        self.lost = 0
        """Lines that were dropped."""
        self._descriptor = descriptor
        self._most_bytes = most_bytes
        self._told = 0
        self._torn = False
        self._bytes = 0
        self._queue: deque[tuple[int, bytes, int]] = deque()
        """(descriptor, bytes, how many lost lines it tells of)."""
        self._changed = threading.Condition()
        self._idle = True
        threading.Thread(target=self._run, name="fastlog-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the line of a record."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a message that does not go with its arguments
            line = f"a message of {record.name} cannot be shown: {record.msg!r}"
        self._put(self._descriptor, line + "\n")

    def say(self, text: str) -> None:
        """Queues text for stdout, as it is. It is left out when stdout does not take it."""
        self._put(STDOUT, text)

    def flush(self) -> None:
        """Waits until all is written, but not for long."""
        deadline = time.monotonic() + _FLUSH_SECONDS
        with self._changed:
            while not self._idle and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _put(self, descriptor: int, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._bytes + len(data) > self._most_bytes:
                self.lost += 1
                return
            missing = self.lost - self._told
            if missing and descriptor == self._descriptor:
                self._told = self.lost
                self._append(descriptor, self._notice(missing), missing)
            self._append(descriptor, data, 0)
            self._changed.notify_all()

    def _append(self, descriptor: int, data: bytes, missing: int) -> None:
        self._queue.append((descriptor, data, missing))
        self._bytes += len(data)
        self._idle = False

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._idle = True
                    self._changed.notify_all()
                    self._changed.wait()
                descriptor, data, missing = self._queue[0]
            written = False
            try:
                written = self._write(descriptor, data)
            except OSError:
                # A full disk, or a reader that is gone: the next one may get through.
                pass
            except Exception:  # noqa: BLE001 - whatever it is, it cannot be logged
                time.sleep(_PAUSE_SECONDS)
            with self._changed:
                self._queue.popleft()
                self._bytes -= len(data)
                if not written and descriptor == self._descriptor:
                    # A notice that is lost is owed again.
                    self._told -= missing
                    self.lost += not missing

    def _write(self, descriptor: int, data: bytes) -> bool:
        if descriptor == self._descriptor:
            self._write_all(data)
        elif _takes_bytes(descriptor, _SAY_MS):
            os.write(descriptor, data)
        return True

    def _write_all(self, data: bytes) -> None:
        view = memoryview(b"\n" + data if self._torn else data)
        while view:
            try:
                written = os.write(self._descriptor, view)
            except BlockingIOError:
                # Somebody else who has the same terminal or pipe made it so.
                _takes_bytes(self._descriptor, _SAY_MS)
                continue
            view = view[written:]
            self._torn = bool(view)

    def _notice(self, count: int) -> bytes:
        text = "%d lines of the log are missing here: they could not be written"
        record = logging.LogRecord("fastlog.log", logging.WARNING, __file__, 0, text, (count,), None)
        return (self.format(record) + "\n").encode()


def lost_lines() -> int:
    """Lines that all log writers of this process have dropped."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, LogWriter))


def _takes_bytes(descriptor: int, patience_ms: int) -> bool:
    """Whether some bytes can be written without waiting. Files always can."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(found & select.POLLOUT for _, found in poll.poll(patience_ms))
