"""Flume's Kafka sink, source and channel: each line of a spool directory reaches a file, over kill -9."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.tool_broker import Tally, check_at_least_once, check_once, untold
from tests.compat.tool_places import ONE_AND_THREE, Brokers
from tests.harness.app_process import AppProcess, java_command
from tests.harness.waiting import wait_until
from tests.peers.maven import java
from tests.peers.zookeeper_apps import flume_class_path

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

BLOCK: Final = 4000
"""Lines of one file."""
TOPICS: Final = {"lines": 3, "channel": 2}
"""With their partitions."""
SENDER: Final = """
out.sources = spool
out.channels = memory
out.sinks = kafka
out.sources.spool.type = spooldir
out.sources.spool.spoolDir = {spool}
out.sources.spool.pollDelay = 100
out.sources.spool.channels = memory
out.channels.memory.type = memory
out.channels.memory.capacity = 20000
out.channels.memory.transactionCapacity = 1000
out.sinks.kafka.type = org.apache.flume.sink.kafka.KafkaSink
out.sinks.kafka.channel = memory
out.sinks.kafka.kafka.bootstrap.servers = {bootstrap}
out.sinks.kafka.kafka.topic = lines
out.sinks.kafka.flumeBatchSize = 100
out.sinks.kafka.kafka.producer.acks = all
out.sinks.kafka.kafka.producer.enable.idempotence = true
out.sinks.kafka.kafka.producer.compression.type = snappy
"""
RECEIVER: Final = """
in.sources = kafka
in.channels = kafka
in.sinks = files
in.sources.kafka.type = org.apache.flume.source.kafka.KafkaSource
in.sources.kafka.kafka.bootstrap.servers = {bootstrap}
in.sources.kafka.kafka.topics = lines
in.sources.kafka.kafka.consumer.group.id = flume
in.sources.kafka.kafka.consumer.auto.offset.reset = earliest
in.sources.kafka.batchSize = 200
in.sources.kafka.channels = kafka
in.channels.kafka.type = org.apache.flume.channel.kafka.KafkaChannel
in.channels.kafka.kafka.bootstrap.servers = {bootstrap}
in.channels.kafka.kafka.topic = channel
in.channels.kafka.kafka.consumer.group.id = channel
in.channels.kafka.kafka.consumer.auto.offset.reset = earliest
in.channels.kafka.kafka.producer.enable.idempotence = true
in.channels.kafka.parseAsFlumeEvent = false
in.sinks.files.type = file_roll
in.sinks.files.channel = kafka
in.sinks.files.sink.directory = {files}
in.sinks.files.sink.rollInterval = 0
in.sinks.files.sink.batchSize = 100
"""


class Agents:
    """One that sends the lines of files, one that writes what comes into others."""

    def __init__(self, broker: Brokers) -> None:
        self._broker = broker
        self._spool, self._files = broker.directory / "spool", broker.directory / "files"
        self._spool.mkdir()
        self._files.mkdir()
        self._starts = 0
        self.sent = 0

    def spool(self) -> None:
        """A file more, there at once."""
        file = self._spool.parent / f"block-{self.sent}"
        file.write_text("".join(f"line {self.sent + number}\n" for number in range(BLOCK)))
        file.rename(self._spool / file.name)
        self.sent += BLOCK

    def start(self, name: str) -> AppProcess:
        """The agent "out", which sends, or "in"."""
        self._starts += 1
        template = {"out": SENDER, "in": RECEIVER}[name]
        config = self._broker.directory / f"{name}.conf"
        config.write_text(
            template.format(bootstrap=self._broker.bootstrap, spool=self._spool, files=self._files)
        )
        main = "org.apache.flume.node.Application"
        options = ("--name", name, "--conf-file", str(config), "--no-reload-conf")
        command = java_command(java(), flume_class_path(), main, *options)
        return AppProcess(command, self._broker.directory / f"{name}-{self._starts}.log")

    def written(self) -> list[str]:
        """The lines in the files, but for one that is being written."""
        return [line for file in self._files.iterdir() for line in file.read_text().split("\n")[:-1] if line]

    def wait(self, lines: int, words: Callable[[], str]) -> None:
        """Until so many are in the files."""
        wait_until(
            lambda: len(self.written()) >= lines,
            lambda: f"{lines - len(self.written())} missing of {lines} lines\n{words()}",
            seconds=90,
        )


def ship(broker: Brokers, tally: Tally) -> None:
    """kill -9 of the broker and of the receiving agent while lines are on their way."""
    for topic, partitions in TOPICS.items():
        broker.create(topic, partitions)
    agents = Agents(broker)
    agents.spool()
    with agents.start("out") as sender:
        with agents.start("in") as receiver:
            agents.wait(BLOCK // 4, lambda: sender.text[-2000:] + receiver.text[-2000:])
            broker.kill()
            agents.spool()
            broker.start()
            agents.wait(agents.sent, lambda: sender.text[-2000:] + receiver.text[-2000:])
            agents.spool()
            agents.wait(agents.sent - BLOCK // 2, lambda: sender.text[-2000:] + receiver.text[-2000:])
            receiver.kill()
        with agents.start("in") as receiver:
            agents.wait(agents.sent, lambda: sender.text[-2000:] + receiver.text[-2000:])
            receiver.terminate()
        sender.terminate()
    lines = [f"line {number}" for number in range(agents.sent)]
    check_once(tally, "Flume, sink", lines, broker.values("lines", TOPICS["lines"]))
    # What the killed agent has not committed yet comes again.
    check_at_least_once(tally, "Flume, source to channel", lines, broker.values("channel", TOPICS["channel"]))
    check_at_least_once(tally, "Flume, channel to files", lines, agents.written())


@ONE_AND_THREE
def test_each_line_comes(tmp_path: Path, tally: Tally, brokers: type[Brokers]) -> None:
    with brokers(tmp_path) as broker:
        ship(broker, tally)


@pytest.mark.whole
@ONE_AND_THREE
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Brokers]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        ship(broker, untold)
    assert re.search(SAID[careless], str(failure.value)), failure.value
