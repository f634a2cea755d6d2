"""Files that a command line names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

__all__ = ["read_input"]

_MOST: Final = 64 * 1024 * 1024


def read_input(path: str) -> tuple[str, str]:
    """What to call a file and its text, up to 64 MiB; `-` is stdin. Raises OSError."""
    if path == "-":
        return "stdin", _text(sys.stdin.buffer.read(_MOST))
    with Path(path).open("rb") as stream:
        return path, _text(stream.read(_MOST))


def _text(data: bytes) -> str:
    """UTF-8, without the mark that spreadsheets put in front of it."""
    return data.decode("utf-8-sig", errors="replace")
