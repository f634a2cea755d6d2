"""One broker process for the whole compatibility suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.compat.tool_broker import Tally
from tests.harness.broker_process import BrokerProcess

_RECORDS = "records"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker as users start it; segments of 16 MiB so that reads cross from one to the next.

    Retention is off: the records of the data set carry timestamps of years ago. Groups do not wait.
    """
    directory: Path = tmp_path_factory.mktemp("compat")
    settings = {
        "log.segment.bytes": str(16 * 1024 * 1024),
        "log.retention.ms": "-1",
        "group.initial.rebalance.delay.ms": "0",
        "group.consumer.heartbeat.interval.ms": "300",
        "group.consumer.min.heartbeat.interval.ms": "300",
    }
    with BrokerProcess(directory, settings=settings) as process:
        yield process
        assert process.process.poll() is None, f"the broker ended:\n{process.log_text[-4000:]}"
        assert "Traceback" not in process.log_text, process.log_text[-4000:]


@pytest.fixture
def topic(broker: BrokerProcess, request: pytest.FixtureRequest) -> str:
    """A topic of two partitions with a name of its own."""
    name = "txn-" + "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for made in admin.create_topics([NewTopic(one, 2, 1) for one in (name, f"{name}-out")]).values():
        made.result(30)
    return name


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Notes how many records a tool was given and has handed on, for the table at the end of the run."""
    of_node = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    told = getattr(of_node.get("brokers"), "told", "")

    def note(tool: str, sent: int, found: int, distinct: int) -> None:
        tool += told
        print(f"{tool}: {sent} records in, {found} out, {distinct} of them different")
        request.node.user_properties.append((_RECORDS, [tool, sent, found, distinct]))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what went in and came out, of the tests that passed."""
    reports = terminalreporter.getreports("passed")
    rows = [
        row
        for report in reports
        if report.when == "call"
        for name, row in report.user_properties
        if name == _RECORDS
    ]
    if rows:
        terminalreporter.section("records in and out")
        width = max(len(row[0]) for row in rows)
        terminalreporter.write_line(f"{'':{width}}  {'in':>9} {'out':>9} {'different':>9}")
        for tool, *counts in rows:
            terminalreporter.write_line(f"{tool:{width}}  " + " ".join(f"{count:9,}" for count in counts))
