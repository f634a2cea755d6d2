"""A program with a screen of text: it runs in a pseudo-terminal, is given keys, and is read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from tests.harness.waiting import wait_until

_ROWS, _COLUMNS = 50, 160
_CONTROLS: Final = re.compile(r"\x1b(\[[0-9;?<>=]*[ -/]*[@-~]|[\]P][^\x07\x1b]*(\x07|\x1b\\)|.)")
"""Escape sequences: those that begin with CSI, with OSC or DCS, and the short ones."""


class TerminalProgram:
    """Leaving the context kills it, whatever state it is in."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        self._terminal, program_side = pty.openpty()
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            env={**(environment or os.environ), "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(program_side)
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(30)
        os.close(self._terminal)

    def _read(self) -> None:
        # EIO when nobody has the other side any more.
        with contextlib.suppress(OSError):
            while piece := os.read(self._terminal, 65536):
                self._written += piece

    @property
    def text(self) -> str:
        """All that it has written so far, as text; what moves the cursor is a blank."""
        return _CONTROLS.sub(" ", self._written.decode(errors="replace"))

    def press(self, *keys: str) -> None:
        """Keys as a terminal sends them, one write each."""
        for key in keys:
            os.write(self._terminal, key.encode())

    def forget(self) -> None:
        """From here on `text` is what comes from here on."""
        self._written.clear()

    def wait_for(self, pattern: str, *, seconds: float = 60) -> str:
        """Waits until `pattern`, a regular expression, is written; fails when the program ends before."""

        def look() -> str | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.text)
            assert found or not ended, f"it ended before {pattern!r}:\n{self.text[-4000:]}"
            return found and found[0]

        return wait_until(look, lambda: f"{pattern!r} in:\n{self.text[-4000:]}", seconds=seconds)
