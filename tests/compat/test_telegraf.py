"""Telegraf's Kafka output and input: each line of a file reaches another one, over kill -9."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.tool_broker import Tally, check_at_least_once, check_once, untold
from tests.compat.tool_places import ONE_AND_THREE, Brokers
from tests.harness.app_process import AppProcess
from tests.harness.waiting import wait_until
from tests.peers.go_commands import TELEGRAF, telegraf

pytestmark = [pytest.mark.counted, pytest.mark.slow, pytest.mark.whole, pytest.mark.timeout(1800)]

LINES: Final = 6000
"""Of one step."""
PARTITIONS: Final = 3
AGENT: Final = """
[agent]
  interval = "1s"
  flush_interval = "200ms"
  flush_jitter = "0s"
  metric_batch_size = 200
  metric_buffer_limit = 50000
  omit_hostname = true
"""
SENDER: Final = """
[[inputs.tail]]
  files = ["{directory}/source.log"]
  initial_read_offset = "beginning"
  data_format = "value"
  data_type = "string"
[[outputs.kafka]]
  brokers = [{brokers}]
  topic = "lines"
  version = "2.8.0"
  routing_key = "random"
  compression_codec = 3
  required_acks = -1
  idempotent_writes = true
  # When sarama gives up, Telegraf sends the whole batch again, as another one.
  max_retry = 600
  metadata_retry_max = 600
  data_format = "template"
  template = '{{{{ .Field "value" }}}}'
"""
RECEIVER: Final = """
[[inputs.kafka_consumer]]
  brokers = [{brokers}]
  topics = ["lines"]
  kafka_version = "2.8.0"
  consumer_group = "telegraf"
  offset = "oldest"
  data_format = "value"
  data_type = "string"
[[outputs.file]]
  files = ["{directory}/found.log"]
  data_format = "template"
  template = "{{{{ .Field \\"value\\" }}}}\\n"
"""


class Agents:
    """One that sends the lines of a file, one that writes what comes into another."""

    def __init__(self, broker: Brokers) -> None:
        self._broker = broker
        self._source, self._found = broker.directory / "source.log", broker.directory / "found.log"
        self._source.touch()
        self._starts = 0
        self.sent = 0

    def write(self) -> None:
        """Lines more."""
        with self._source.open("a") as file:
            file.writelines(f"line {self.sent + number}\n" for number in range(LINES))
        self.sent += LINES

    def start(self, text: str) -> AppProcess:
        """An agent with this configuration."""
        self._starts += 1
        brokers = ",".join(f'"{address}"' for address in self._broker.bootstrap.split(","))
        config = self._broker.directory / f"telegraf-{self._starts}.conf"
        config.write_text(AGENT + text.format(brokers=brokers, directory=self._broker.directory))
        command = [str(telegraf()), "--config", str(config)]
        return AppProcess(command, self._broker.directory / f"telegraf-{self._starts}.log")

    def found(self) -> list[str]:
        """The lines in the other file, but for one that is being written."""
        return self._found.read_text().split("\n")[:-1] if self._found.exists() else []

    def wait(self, lines: int, words: Callable[[], str]) -> None:
        """Until so many different ones are there."""
        wait_until(
            lambda: len(set(self.found())) >= lines,
            lambda: f"{lines - len(set(self.found()))} missing of {lines} lines\n{words()}",
            seconds=120,
            pause=0.2,
        )


def ship(broker: Brokers, tally: Tally) -> None:
    """kill -9 of a broker and of the receiving agent while lines are on their way."""
    broker.create("lines", PARTITIONS)
    agents = Agents(broker)
    agents.write()
    with agents.start(SENDER) as sender:
        with agents.start(RECEIVER) as receiver:
            agents.wait(LINES // 2, lambda: sender.text[-2000:] + receiver.text[-2000:])
            broker.kill()
            agents.write()
            broker.start()
            agents.wait(agents.sent, lambda: sender.text[-2000:] + receiver.text[-2000:])
            agents.write()
            agents.wait(agents.sent - LINES // 2, lambda: sender.text[-2000:] + receiver.text[-2000:])
            receiver.kill()
        with agents.start(RECEIVER) as receiver:
            agents.wait(agents.sent, lambda: sender.text[-2000:] + receiver.text[-2000:])
            receiver.terminate()
        sender.terminate()
    lines = [f"line {number}" for number in range(agents.sent)]
    check_once(tally, f"Telegraf {TELEGRAF}, output", lines, broker.values("lines", PARTITIONS))
    # What the killed agent has not committed yet comes again.
    check_at_least_once(tally, f"Telegraf {TELEGRAF}, input", lines, agents.found())


@ONE_AND_THREE
def test_each_line_comes(tmp_path: Path, tally: Tally, brokers: type[Brokers]) -> None:
    with brokers(tmp_path) as broker:
        ship(broker, tally)


@ONE_AND_THREE
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Brokers]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        ship(broker, untold)
    assert re.search(SAID[careless], str(failure.value)), failure.value
