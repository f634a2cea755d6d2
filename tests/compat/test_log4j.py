"""Log4j 2's KafkaAppender: each event once, synchronous and asynchronous, over kill -9 of the broker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.tool_broker import Tally, ToolBroker, check_once, untold
from tests.compat.tool_places import ONE_AND_THREE, Brokers
from tests.harness.app_process import AppProcess, java_command
from tests.peers.log_tools import log4j_class_path
from tests.peers.maven import compiled, java

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

EVENTS: Final = 3000
PARTITIONS: Final = 2
SOURCE: Final = Path(__file__).parent / "clients" / "LogLines.java"
CONFIGURATION: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Kafka name="sync" topic="sync" key="app-1" ignoreExceptions="false">
      <PatternLayout pattern="%m"/>
      <Property name="bootstrap.servers">BOOTSTRAP</Property>
      <Property name="max.block.ms">MAX_BLOCK_MS</Property>
    </Kafka>
    <Kafka name="async" topic="async" syncSend="false" sendEventTimestamp="true" ignoreExceptions="false">
      <PatternLayout pattern="%m"/>
      <Property name="bootstrap.servers">BOOTSTRAP</Property>
      <Property name="compression.type">lz4</Property>
      <Property name="linger.ms">5</Property>
    </Kafka>
    <Console name="console"><PatternLayout pattern="%d %-5level %logger{1} %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="console"/></Root>
    <Logger name="sync" level="INFO" additivity="false"><AppenderRef ref="sync"/></Logger>
    <Logger name="async" level="INFO" additivity="false"><AppenderRef ref="async"/></Logger>
    <Logger name="org.apache.kafka" level="WARN" additivity="false"><AppenderRef ref="console"/></Logger>
  </Loggers>
</Configuration>
"""


def start(broker: Brokers, count: int, *loggers: str, max_block_ms: int = 60_000) -> AppProcess:
    """The program that logs so many lines with each of these."""
    text = CONFIGURATION.replace("BOOTSTRAP", broker.bootstrap).replace("MAX_BLOCK_MS", str(max_block_ms))
    (config := broker.directory / "log4j2.xml").write_text(text)
    flags = (f"-Dlog4j2.configurationFile={config}",)
    classes = compiled(SOURCE, log4j_class_path())
    command = java_command(java(), classes, SOURCE.stem, str(count), *loggers, flags=flags)
    return AppProcess(command, broker.directory / "log4j.log")


def log(broker: Brokers, tally: Tally) -> None:
    """A broker that is killed in the middle of each appender's events."""
    for topic in ("sync", "async"):
        broker.create(topic, PARTITIONS)
    with start(broker, EVENTS, "sync", "async") as program:
        for logger in ("sync", "async"):
            program.wait_for(f"^half {logger}")
            broker.restart()
        program.wait_for(r"^done, 0 thrown", seconds=90)
        assert program.process.wait(30) == 0
    lines = [f"line {number}" for number in range(EVENTS)]
    check_once(tally, "Log4j 2, synchronous", lines, broker.values("sync", PARTITIONS))
    check_once(tally, "Log4j 2, asynchronous with lz4", lines, broker.values("async", PARTITIONS))


@ONE_AND_THREE
def test_each_event_comes_once(tmp_path: Path, tally: Tally, brokers: type[Brokers]) -> None:
    with brokers(tmp_path) as broker:
        log(broker, tally)


def test_an_event_without_a_broker_is_thrown(tmp_path: Path) -> None:
    """Each waits for `max.block.ms` and is reported; the program goes on and ends."""
    broker = ToolBroker(tmp_path)
    tmp_path.mkdir(exist_ok=True)
    with start(broker, 2, "sync", max_block_ms=1000) as program:
        program.wait_for(r"^done, 2 thrown", seconds=60)
        assert "not present in metadata after 1000 ms" in program.text, program.text


@pytest.mark.whole
@ONE_AND_THREE
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Brokers]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        log(broker, untold)
    assert re.search(SAID[careless], str(failure.value)), failure.value
