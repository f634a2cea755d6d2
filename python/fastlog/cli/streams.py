"""Standard streams that were closed, and errors that would be written past the log."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any, Final

__all__ = ["abandon_stdout", "log_stray_errors", "open_missing_streams"]

_LOG: Final = logging.getLogger("fastlog.broker")


def open_missing_streams() -> None:
    """Opens /dev/null for standard streams that were closed (`>&-`), so that no socket gets their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is given out, which is that of the stream.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def abandon_stdout() -> None:
    """Nothing more can be written there, not even what is buffered at interpreter exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log_stray_errors() -> None:
    """Has the interpreter log what it would write to stderr itself, and wait there for whoever reads it."""

    def unraisable(what: Any) -> None:
        _LOG.error("an error that nobody could be told of: %r", what.object, exc_info=what.exc_value)

    def thread_died(what: threading.ExceptHookArgs) -> None:
        name = "a thread" if what.thread is None else what.thread.name
        _LOG.error("%s ended by a defect", name, exc_info=what.exc_value)

    sys.unraisablehook = unraisable
    threading.excepthook = thread_died
