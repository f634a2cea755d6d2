"""kaskade, a user interface of text, at work in a terminal: topics, groups, records, a new topic."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient

from tests.compat.test_user_interfaces import PARTITIONS, RECORDS, fill
from tests.harness.broker_process import BrokerProcess
from tests.harness.terminal import TerminalProgram
from tests.harness.waiting import wait_until
from tests.peers.python_clients import python_with

pytestmark = [pytest.mark.slow, pytest.mark.whole, pytest.mark.timeout(180)]

KASKADE: Final = "kaskade==5.1.0"
"""With confluent-kafka 2.16.1."""
DESCRIBE, NEXT_TAB, NEW, SAVE = "d", "l", "n", "\x13"
TOPIC: Final = "1-orders"
"""Listed before the internal topics, and so the one that keys are about."""
HALF: Final = RECORDS // 2
"""The group's lag."""
GAP: Final = r"[\s│]+"
"""Between the columns of a table."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    settings = {"group.initial.rebalance.delay.ms": "0", "log.retention.ms": "-1"}
    with BrokerProcess(tmp_path, settings=settings) as made:
        fill(made.bootstrap, TOPIC, "shop")
        yield made
        assert "Traceback" not in made.log_text, made.log_text[-4000:]


def start(broker: BrokerProcess, mode: str, *options: str) -> TerminalProgram:
    """The program in one of its two modes."""
    main = "import sys; from kaskade.main import cli; sys.exit(cli())"
    command = [sys.executable, "-c", main, mode, "--bootstrap-servers", broker.bootstrap, *options]
    return TerminalProgram(command, environment=python_with(KASKADE))


def row(*cells: object) -> str:
    """A pattern of a row of a table."""
    return GAP.join(str(cell) for cell in cells)


def test_topics_and_groups_are_listed(broker: BrokerProcess) -> None:
    with start(broker, "admin") as screen:
        # Partitions, replicas, in sync, groups, members; records and lag may be estimates.
        screen.wait_for(row(TOPIC, PARTITIONS, 1, 1, 1, 0, f".?{RECORDS}", f".?{HALF}"))
        screen.press(DESCRIBE)
        each = RECORDS // PARTITIONS
        for number in range(PARTITIONS):
            screen.wait_for(row(number, 1, 0, each, each, r"\[1\]", r"\[1\]"))
        screen.press(NEXT_TAB)
        screen.wait_for(row("cleanup.policy", "delete"))
        screen.press(NEXT_TAB)
        screen.wait_for(row("shop", f"{broker.bootstrap}/1", "empty", PARTITIONS, 0, HALF))
        screen.press(NEXT_TAB)
        lag = HALF // PARTITIONS
        screen.wait_for(row("shop", PARTITIONS - 1, each - lag, each, lag))


def test_a_topic_is_made(broker: BrokerProcess) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
    with start(broker, "admin") as screen:
        screen.wait_for(row(TOPIC, PARTITIONS))
        screen.press(NEW)
        screen.wait_for("Create Topic")
        screen.press(*"made", SAVE)
        screen.wait_for("Created topic 'made'")
        wait_until(lambda: "made" in admin.list_topics(timeout=10).topics, "the topic", seconds=30)


def test_records_are_browsed(broker: BrokerProcess) -> None:
    options = ("--topic", TOPIC, "--earliest", "--key", "string", "--value", "string")
    with start(broker, "consumer", *options) as screen:
        for number in range(3):
            # Key, value, size, time, partition, offset, headers.
            time = rf"2023-11-14 \d\d:\d\d:{20 + number}.000"
            screen.wait_for(row(f"key {number}", number, "0.006 KB", time, number, 0, 0))
