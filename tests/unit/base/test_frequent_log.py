"""Lines that are too many are left out and counted."""

from __future__ import annotations

import logging

import pytest

from fastlog.base.frequent_log import FrequentLog


def test_says_a_burst_then_how_many_were_left_out(caplog: pytest.LogCaptureFixture) -> None:
    now = [5.0]
    logger = logging.getLogger("fastlog.test.frequent")
    log = FrequentLog(logger, "group %s", burst=2, interval=10.0, monotonic=lambda: now[0])
    with caplog.at_level(logging.INFO, logger.name):
        for name in "abcde":
            log.info(name)
        now[0] = 14.9
        log.info("f")
        assert caplog.messages == ["group a", "group b"]
        now[0] = 15.0
        for name in "ghi":
            log.info(name)
        now[0] = 25.0
        log.info("j")
        now[0] = 35.0
        log.info("k")
    assert caplog.messages[2:] == [
        "group g (and 4 more like this were left out)",
        "group h",
        "group j (and 1 more like this were left out)",
        "group k",
    ]


def test_messages_are_limited_each_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("fastlog.test.frequent")
    first, second = (FrequentLog(logger, text, burst=1, monotonic=lambda: 0.0) for text in ("one", "two"))
    with caplog.at_level(logging.INFO, logger.name):
        for log in (first, second, first, second):
            log.info()
    assert caplog.messages == ["one", "two"]
