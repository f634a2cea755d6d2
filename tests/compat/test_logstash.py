"""What Logstash's Kafka output and input do: a stand-in with its client and settings.

Logstash with logstash-integration-kafka 12.1 comes as an archive of its own, not through Maven Central.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.tool_broker import Tally, check_at_least_once, check_once, untold
from tests.compat.tool_places import ONE_AND_THREE, Brokers
from tests.harness.app_process import AppProcess, java_command
from tests.harness.waiting import wait_until
from tests.peers.log_tools import logstash_class_path
from tests.peers.maven import compiled, java

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

EVENTS: Final = 50_000
BY_DEFAULT: Final = 5000
"""Events of the output as it is without settings: acks=1, not idempotent."""
PARTITIONS: Final = 3
SOURCE: Final = Path(__file__).parent / "clients" / "LogstashPlugin.java"
IDEMPOTENT: Final = ("acks=all", "compression.type=zstd")
"""Else a broker that dies between a record and its answer is given it again."""


def start(broker: Brokers, name: str, plugin: str, topic: str, count: int, *settings: str) -> AppProcess:
    """The output or the input, with these settings in place of what it has."""
    command = java_command(
        java(),
        compiled(SOURCE, logstash_class_path()),
        SOURCE.stem,
        *(plugin, broker.bootstrap, topic, str(count), *settings),
    )
    return AppProcess(command, broker.directory / f"{name}.log")


def events(count: int) -> list[str]:
    """What the output makes of so many."""
    return [f'{{"message":"event {number}"}}' for number in range(count)]


def pass_on(broker: Brokers, tally: Tally) -> None:
    """kill -9 of the broker and of the input in the middle; the input's group goes on with the next one."""
    for topic in ("default", "events"):
        broker.create(topic, PARTITIONS)
    with start(broker, "default", "output", "default", BY_DEFAULT) as output:
        output.wait_for("^done, 0 given up", seconds=60)
    tool = "Logstash's output (stand-in)"
    check_once(tally, f"{tool}, acks=1", events(BY_DEFAULT), broker.values("default", PARTITIONS))

    with (
        start(broker, "input-1", "input", "events", EVENTS) as first,
        start(broker, "output", "output", "events", EVENTS, *IDEMPOTENT) as output,
    ):
        output.wait_for("^half")
        broker.kill()
        first.kill()
        broker.start()
        with start(broker, "input-2", "input", "events", EVENTS) as second:
            output.wait_for("^done, 0 given up", seconds=90)
            check_once(tally, tool, events(EVENTS), broker.values("events", PARTITIONS))
            wait_for_all(first, second)
    assert second.lines("event ")
    # The last word may have been cut short.
    found = [event for event in first.lines("event ") if event.endswith("}")] + second.lines("event ")
    check_at_least_once(tally, "Logstash's input (stand-in)", events(EVENTS), found)


def wait_for_all(*inputs: AppProcess) -> None:
    """Until each event has been given to one of them."""

    def missing() -> int:
        return EVENTS - len({event for process in inputs for event in process.lines("event ")})

    wait_until(lambda: missing() <= 0, lambda: f"{missing()} missing of {EVENTS}", seconds=90, pause=0.5)


@ONE_AND_THREE
def test_each_event_comes(tmp_path: Path, tally: Tally, brokers: type[Brokers]) -> None:
    with brokers(tmp_path) as broker:
        pass_on(broker, tally)


@pytest.mark.whole
@ONE_AND_THREE
@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(
    tmp_path: Path, careless: str, brokers: type[Brokers]
) -> None:
    with brokers(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        pass_on(broker, untold)
    assert re.search(SAID[careless], str(failure.value)), failure.value
