"""Flink's source and sink without transactions: nothing is lost over kill -9 of the broker and of the job.

What came after the last checkpoint before a kill comes again: that is what this guarantee says.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.feeder import Feeder, Output, numbers
from tests.compat.tool_broker import Tally, check_at_least_once, check_once, untold
from tests.compat.tool_places import ONE_AND_THREE, Brokers
from tests.harness.app_process import AppProcess, java_command
from tests.harness.waiting import wait_until
from tests.peers.flink import FLINK_1, FLINK_2, Flink, flink_class_path
from tests.peers.maven import compiled, java

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

RECORDS: Final = 20_000
FIRST: Final = 100
"""So many tell when the job is at work."""
RATE: Final = 2000
PARTITIONS: Final = 2
SOURCE: Final = Path(__file__).parent / "clients" / "FlinkCopy.java"


def last_checkpoint(broker: Brokers) -> Path | None:
    """The directory of the last one that is whole."""
    whole = [file.parent for file in (broker.directory / "checkpoints").glob("*/chk-*/_metadata")]
    return max(whole, key=lambda path: path.stat().st_mtime_ns, default=None)


def start(broker: Brokers, flink: Flink, run: int) -> AppProcess:
    """The job that copies "in" to "out", from its last checkpoint if there is one."""
    last = last_checkpoint(broker)
    resume = [] if last is None else [f"execution.state-recovery.path=file://{last}"]
    checkpoints = str(broker.directory / "checkpoints")
    command = java_command(
        java(),
        compiled(SOURCE, flink_class_path(flink)),
        SOURCE.stem,
        *(broker.bootstrap, "in", "out", checkpoints, "guarantee=AT_LEAST_ONCE", *resume),
        flags=("--add-opens=java.base/java.util=ALL-UNNAMED",),
    )
    return AppProcess(command, broker.directory / f"flink-{run}.log")


def copy(broker: Brokers, flink: Flink, tally: Tally) -> None:
    """Both are killed while records come in."""
    for topic in ("in", "out"):
        broker.create(topic, PARTITIONS)
    output = Output(broker.bootstrap, "out", PARTITIONS)
    with ExitStack() as stack:
        with start(broker, flink, 1) as first:
            with Feeder(broker.bootstrap, "in", FIRST, rate=RATE):
                output.wait(FIRST, lambda: first.text[-4000:])
            feeder = Feeder(broker.bootstrap, "in", RECORDS, rate=RATE, begin=FIRST)
            stack.enter_context(feeder)
            output.wait(RECORDS // 4, lambda: first.text[-4000:])
            broker.restart()
            output.wait(RECORDS // 2, lambda: first.text[-4000:])
            wait_until(lambda: last_checkpoint(broker), "a checkpoint", seconds=60)
        # It was killed.
        with start(broker, flink, 2) as second:
            output.wait(RECORDS, lambda: second.text[-4000:])
    name, expected = f"Flink {flink.version}, at least once", numbers(RECORDS)
    check_once(tally, f"{name}: sent", expected, broker.values("in", PARTITIONS))
    check_at_least_once(tally, name, expected, output.close())


@ONE_AND_THREE
@pytest.mark.parametrize("flink", [FLINK_2, pytest.param(FLINK_1, marks=pytest.mark.whole)])
def test_nothing_is_lost(tmp_path: Path, tally: Tally, flink: Flink, brokers: type[Brokers]) -> None:
    with brokers(tmp_path) as broker:
        copy(broker, flink, tally)


@pytest.mark.whole
@ONE_AND_THREE
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Brokers]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        copy(broker, FLINK_2, untold)
    assert re.search(SAID[careless], str(failure.value)), failure.value
