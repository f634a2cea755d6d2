"""Spark's Kafka source and sink, in batches and streams, over kill -9 of the broker and of the driver."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final, Protocol

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.compat.careless_disk import HOW, SAID
from tests.compat.feeder import Feeder, Output, numbers
from tests.compat.tool_broker import Tally, ToolBroker, check_at_least_once, check_once, untold
from tests.compat.tool_places import ONE_AND_THREE, Brokers
from tests.harness.app_process import AppProcess, java_command
from tests.peers.maven import compiled, java
from tests.peers.spark import OPENED, SPARK, spark_class_path

pytestmark = [
    pytest.mark.counted,
    pytest.mark.java,
    pytest.mark.slow,
    pytest.mark.whole,
    pytest.mark.timeout(600),
]

RECORDS: Final = 20_000
RATE: Final = 1000
PARTITIONS: Final = 3
SOURCE: Final = Path(__file__).parent / "clients" / "SparkSteps.java"
NAME: Final = f"Spark {SPARK}"
LOGGING: Final = """rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n%ex
"""


def start(broker: Brokers, name: str, step: str, *settings: str) -> AppProcess:
    """A driver that does this step (see SparkSteps) and ends."""
    (config := broker.directory / "log4j2.properties").write_text(LOGGING)
    command = java_command(
        java(),
        compiled(SOURCE, spark_class_path()),
        SOURCE.stem,
        *(broker.bootstrap, step, *settings),
        heap="768m",
        flags=(*OPENED, f"-Dlog4j2.configurationFile={config}"),
    )
    return AppProcess(command, broker.directory / f"{name}.log")


def test_batches(tmp_path: Path, tally: Tally) -> None:
    """Written with keys and headers; read whole, and in more parts than there are partitions."""
    with ToolBroker(tmp_path) as broker:
        broker.create("batch", PARTITIONS)
        with start(broker, "write", "write", "out=batch", f"count={RECORDS}") as driver:
            driver.wait_for("^done", seconds=180)
        check_once(tally, f"{NAME}, batch sink", numbers(RECORDS), broker.values("batch", PARTITIONS))
        settings = ("minPartitions=8", "startingTimestamp=1", "kafka.isolation.level=read_committed")
        with start(broker, "read", "read", "in=bat.*", *settings) as driver:
            driver.wait_for("^done", seconds=180)
            (records,), (different,) = driver.lines("records "), driver.lines("different ")
            tally(f"{NAME}, batch source", RECORDS, int(records), int(different))
            assert int(records) == int(different) == RECORDS
            assert driver.lines("with headers ") == [str(RECORDS)]


class Start(Protocol):
    """Starts a driver: `start` here, or one in Python."""

    def __call__(self, broker: Brokers, name: str, step: str, *settings: str) -> AppProcess: ...


def stream(broker: Brokers, tally: Tally, start: Start = start, tool: str = NAME) -> None:
    """A streaming query; the broker and the driver are killed while records come in."""
    for topic in ("in", "out"):
        broker.create(topic, PARTITIONS)
    checkpoint = broker.directory / "checkpoint"
    query = ("in=in", "out=out", f"checkpoint={checkpoint}", "trigger=500", "maxOffsetsPerTrigger=3000")
    output = Output(broker.bootstrap, "out", PARTITIONS)
    with Feeder(broker.bootstrap, "in", RECORDS, rate=RATE, keyed=True):
        with start(broker, "query-1", "copy", *query) as first:
            output.wait(RECORDS // 4, lambda: first.text[-4000:])
            broker.restart()
            output.wait(RECORDS // 2, lambda: first.text[-4000:])
        # It was killed.
        with start(broker, "query-2", "copy", *query) as second:
            output.wait(RECORDS, lambda: second.text[-4000:])
    check_once(tally, f"{tool}, streaming: sent", numbers(RECORDS), broker.values("in", PARTITIONS))
    check_at_least_once(tally, f"{tool}, streaming", numbers(RECORDS), output.close())


@ONE_AND_THREE
def test_a_stream(tmp_path: Path, tally: Tally, brokers: type[Brokers]) -> None:
    """And `failOnDataLoss`: a query does not go on past what was deleted below its checkpoint."""
    with brokers(tmp_path) as broker:
        stream(broker, tally)
        checkpoint, old = tmp_path / "checkpoint", tmp_path / "old"
        shutil.copytree(checkpoint, old)
        with Feeder(broker.bootstrap, "in", 1000, rate=10_000):
            pass
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
        ends = [TopicPartition("in", number, -1) for number in range(PARTITIONS)]
        for done in admin.delete_records(ends).values():
            done.result(30)
        with start(broker, "loss", "copy", "in=in", "out=out", f"checkpoint={old}") as driver:
            assert driver.process.wait(180) != 0
            assert "Some data may have been lost" in driver.text, driver.text[-4000:]
        with start(
            broker, "no-loss", "copy", "in=in", "out=out", f"checkpoint={checkpoint}", "failOnDataLoss=false"
        ) as driver:
            driver.wait_for("^done", seconds=180)


@ONE_AND_THREE
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Brokers]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        stream(broker, untold)
    assert re.search(SAID[careless], str(failure.value)), failure.value
