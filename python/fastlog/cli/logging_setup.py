"""The broker's own log: lines for people or JSON for machines, on stderr, and no floods.

2026-11-24 05:40:11.123 INFO  storage.log_manager: opened 12 logs in 31 ms
{"time": "2026-11-24T05:40:11.123Z", "level": "INFO", "logger": "fastlog.storage.log_manager", ...}
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Final

from fastlog.base.log_writer import STDERR, LogWriter

__all__ = ["JsonFormatter", "RepeatLimit", "TextFormatter", "set_up_logging"]

_PACKAGE: Final = "fastlog."
_CONTROLS: Final = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}
"""Names that clients choose are in messages: none begins a line of its own, or speaks to a terminal."""


class TextFormatter(logging.Formatter):
    """One readable line a record, in local time; tracebacks follow indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        name = record.name.removeprefix(_PACKAGE)
        line = (
            f"{moment}.{int(record.msecs):03d} {record.levelname:<5} {name}: {one_line(record.getMessage())}"
        )
        trace = _trace_of(self, record)
        return line if trace is None else line + "\n    " + trace.replace("\n", "\n    ")


def one_line(text: str) -> str:
    """`text` with its control characters written out."""
    return text if text.isprintable() else text.translate(_CONTROLS)


class JsonFormatter(logging.Formatter):
    """One JSON object a record, in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The object on one line, without its end."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = _trace_of(self, record)
        if trace is not None:
            entry["trace"] = trace
        return json.dumps(entry, ensure_ascii=False)


AUTHORIZER_LOG: Final = "kafka.authorizer.logger"
"""Kafka's name of the log of what was denied and allowed."""
AUDITED: Final = 20


class RepeatLimit(logging.Filter):
    """Lets each message through at most `burst` times in `interval` seconds.

    Messages are the same when logger, level and unformatted text are. The first one that passes again says
    how many were left out. The table of messages is bounded by the number of log calls in the source. Of the
    authorizer's log, where all lines have one text, `AUDITED` times as many go through.
    """

    def __init__(
        self,
        burst: int = 50,
        interval: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._burst = burst
        self._interval = interval
        self._monotonic = monotonic
        # (logger, level, text) -> [start of the interval, passed, left out]
        self._seen: dict[tuple[str, int, str], tuple[float, int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        key = (record.name, record.levelno, str(record.msg))
        now = self._monotonic()
        began, passed, left_out = self._seen.get(key, (now, 0, 0))
        if now - began >= self._interval:
            began, passed = now, 0
        elif passed >= self._burst * (AUDITED if record.name == AUTHORIZER_LOG else 1):
            self._seen[key] = (began, passed, left_out + 1)
            return False
        if left_out and passed == 0:
            record.msg = f"{record.getMessage()} (and {left_out} more like this were left out)"
            record.args = None
            left_out = 0
        self._seen[key] = (began, passed + 1, left_out)
        return True


def set_up_logging(level: str, form: str, descriptor: int = STDERR) -> LogWriter:
    """Sends all log records of `level` and above to stderr, in the form `text` or `json`."""
    handler = LogWriter(descriptor)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(RepeatLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("fastlog", AUTHORIZER_LOG):
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    # No line shows them, and to look them up is most of what a record costs that is one of too many: where in
    # the source, by which thread and process.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return handler


def _trace_of(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if record.exc_info and record.exc_info[0] is not None:
        return formatter.formatException(record.exc_info)
    return record.exc_text or None
