"""PySpark's Kafka source and sink: what `test_spark.py` has of streams, with drivers in Python."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.test_spark import PARTITIONS, RECORDS, stream
from tests.compat.tool_broker import Tally, ToolBroker, untold
from tests.compat.tool_places import Brokers
from tests.harness.app_process import AppProcess
from tests.peers.spark import SPARK, pyspark_environment

pytestmark = [
    pytest.mark.counted,
    pytest.mark.java,
    pytest.mark.slow,
    pytest.mark.whole,
    pytest.mark.timeout(600),
]

SOURCE: Final = Path(__file__).parent / "clients" / "pyspark_steps.py"
NAME: Final = f"PySpark {SPARK}"


def start(broker: Brokers, name: str, step: str, *settings: str) -> AppProcess:
    """A driver that does this step and ends. Its JVM ends with it: it waits on a pipe from it."""
    command = [sys.executable, str(SOURCE), broker.bootstrap, step, *settings]
    return AppProcess(command, broker.directory / f"{name}.log", environment=pyspark_environment())


def test_a_stream(tmp_path: Path, tally: Tally) -> None:
    """And a run that goes on from its checkpoint when there is nothing new, and a batch."""
    with ToolBroker(tmp_path) as broker:
        stream(broker, tally, start, NAME)
        before = broker.values("out", PARTITIONS)
        checkpoint = tmp_path / "checkpoint"
        with start(broker, "again", "copy", "in=in", "out=out", f"checkpoint={checkpoint}") as driver:
            driver.wait_for("^done", seconds=180)
        assert len(set(broker.values("out", PARTITIONS))) == len(set(before)) == RECORDS
        with start(broker, "count", "count", "in=in") as driver:
            driver.wait_for("^done", seconds=180)
            assert driver.lines("records ") == driver.lines("different ") == [str(RECORDS)]
            assert driver.lines("sum ") == [str(RECORDS * (RECORDS - 1) // 2)]


@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(tmp_path: Path, careless: str) -> None:
    with ToolBroker(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        stream(broker, untold, start, NAME)
    assert re.search(SAID[careless], str(failure.value)), failure.value
