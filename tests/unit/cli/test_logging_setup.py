"""Log lines for people and machines, and the bound on repeats."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.cli.logging_setup import AUDITED, AUTHORIZER_LOG, RepeatLimit, set_up_logging


@pytest.fixture(autouse=True)
def untouched_loggers() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("fastlog")
    authorizers = logging.getLogger(AUTHORIZER_LOG)
    before = (root.handlers[:], root.level, own.level)
    looked_up = logging._srcfile, logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    logging._srcfile, logging.logThreads, logging.logProcesses, logging.logMultiprocessing = looked_up
    root.handlers[:], root.level, own.level = before
    root.setLevel(before[1])
    own.setLevel(before[2])
    authorizers.setLevel(logging.NOTSET)
    logging.captureWarnings(False)


class Lines:
    """A file that the log goes to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def getvalue(self) -> str:
        """What is in it, when all is written."""
        for handler in logging.getLogger().handlers:
            handler.flush()
        return self._path.read_text()


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Lines]:
    lines = Lines(tmp_path / "log")
    yield lines
    os.close(lines.descriptor)


def record(message: str, *args: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("fastlog.x", level, "file", 1, message, args, None)


def test_text(stream: Lines) -> None:
    set_up_logging("INFO", "text", stream.descriptor)
    log = logging.getLogger("fastlog.storage.log_manager")
    log.debug("not shown")
    log.info("opened %d logs", 12)
    logging.getLogger("asyncio").info("not shown either")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO  storage\.log_manager: opened 12 logs\n",
        stream.getvalue(),
    )


def test_text_with_a_traceback(stream: Lines) -> None:
    set_up_logging("DEBUG", "text", stream.descriptor)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("fastlog").exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR fastlog: failed")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    ValueError: broken"


def test_names_that_clients_choose_begin_no_line(stream: Lines) -> None:
    set_up_logging("INFO", "text", stream.descriptor)
    group = "g\n2026-01-01 00:00:00.000 INFO  kafka.authorizer.logger: root is Allowed\r\x1b[2J\x9b\u2028\x7f"
    logging.getLogger(AUTHORIZER_LOG).info("bob is Denied on %s, \u00fc stays", group)
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(
        "bob is Denied on g\\x0a2026-01-01 00:00:00.000 INFO  kafka.authorizer.logger: root is Allowed"
        "\\x0d\\x1b[2J\\x9b\\u2028\\x7f, \u00fc stays"
    )


def test_json(stream: Lines) -> None:
    set_up_logging("DEBUG", "json", stream.descriptor)
    logging.getLogger("fastlog.server").warning("peer %s: ü\n", "x")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("fastlog").exception("failed")
    plain, failed = (json.loads(line) for line in stream.getvalue().splitlines())
    assert plain["message"] == "peer x: ü\n"
    assert (plain["level"], plain["logger"]) == ("WARNING", "fastlog.server")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", plain["time"])
    assert "ValueError: broken" in failed["trace"]


def test_repeats_are_bounded_and_counted() -> None:
    now = 0.0
    limit = RepeatLimit(burst=2, interval=10.0, monotonic=lambda: now)
    passed = [limit.filter(record("peer %s sent rubbish", number)) for number in range(5)]
    assert passed == [True, True, False, False, False]
    assert limit.filter(record("another message"))
    assert limit.filter(record("peer %s sent rubbish", 0, level=logging.ERROR))
    now = 10.0
    late = record("peer %s sent rubbish", 7)
    assert limit.filter(late)
    assert late.getMessage() == "peer 7 sent rubbish (and 3 more like this were left out)"
    again = record("peer %s sent rubbish", 8)
    assert limit.filter(again)
    assert again.getMessage() == "peer 8 sent rubbish"
    assert not limit.filter(record("peer %s sent rubbish", 9))


def test_the_log_of_the_authorizer_is_written_and_has_more_room(stream: Lines) -> None:
    set_up_logging("INFO", "text", stream.descriptor)
    for number in range(60):
        logging.getLogger(AUTHORIZER_LOG).info("Principal = %s is Denied", number)
    assert stream.getvalue().count("is Denied") == 60
    limit = RepeatLimit(burst=2, interval=10.0, monotonic=lambda: 0.0)
    lines = [logging.LogRecord(AUTHORIZER_LOG, logging.INFO, "", 0, "x", None, None) for _ in range(100)]
    assert sum(map(limit.filter, lines)) == 2 * AUDITED


def test_what_no_line_shows_is_not_looked_up(stream: Lines) -> None:
    handler = set_up_logging("INFO", "text", stream.descriptor)
    records: list[logging.LogRecord] = []

    def note(record: logging.LogRecord) -> bool:
        records.append(record)
        return True

    handler.addFilter(note)
    logging.getLogger("fastlog.x").info("said")
    (said,) = records
    assert (said.lineno, said.thread, said.process) == (0, None, None)
