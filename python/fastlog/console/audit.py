"""Who changed what: the last lines in memory, and all of them in a file when one was named."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from pathlib import Path
from typing import Any, Final

from fastlog.errors import ConfigError
from fastlog.verbs.desk import Note
from fastlog.verbs.plain import plain

__all__ = ["AuditLog"]

_LOG: Final = logging.getLogger("fastlog.console.audit")
_KEPT: Final = 1000


class AuditLog:
    """Notes of writes that were done, failed or refused. A line of JSON for each in the file, appended."""

    def __init__(self, path: Path | None = None) -> None:
        self._notes: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._path = path
        self._waiting: list[str] = []
        self._wake = asyncio.Event()
        if path is not None:
            try:
                with path.open("a", encoding="utf-8"):
                    pass
                path.chmod(0o600)
            except OSError as error:
                raise ConfigError(str(path), f"cannot be written: {error}") from None

    def __call__(self, note: Note) -> None:
        """Adds one."""
        row = plain(note)
        self._notes.appendleft(row)
        _LOG.info("%s %s by %s %s", note.verb, note.outcome, note.who, json.dumps(row["arguments"]))
        if self._path is not None:
            self._waiting.append(json.dumps(row, ensure_ascii=False))
            self._wake.set()

    @property
    def notes(self) -> list[dict[str, Any]]:
        """The last thousand, the newest first."""
        return list(self._notes)

    async def run(self) -> None:
        """Writes to the file what comes, off the event loop. To be cancelled, then `flush`."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Writes what waits. What cannot be written is told in the log, and stays in memory."""
        lines, self._waiting = self._waiting, []
        if self._path is None or not lines:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            _LOG.error("the audit log %s cannot be written: %s", self._path, error)
