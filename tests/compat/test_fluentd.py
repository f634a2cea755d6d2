"""What Fluentd's Kafka output and input do: a stand-in with ruby-kafka's requests (see `ruby_kafka`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.client_programs import CODECS
from tests.compat.ruby_kafka import Member, Output
from tests.compat.tool_broker import Tally, check_at_least_once, check_once, untold
from tests.compat.tool_places import ONE_AND_THREE, Brokers
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.counted, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS: Final = 4
EVENTS: Final = 20_000
OF_A_CODEC: Final = 2000


def lines(count: int, codec: str = "") -> list[bytes]:
    """Events as the formatter writes them."""
    return [b'{"log":"line %d of %s"}' % (number, codec.encode()) for number in range(count)]


def words(events: list[bytes]) -> list[str]:
    return [event.decode() for event in events]


def ship(broker: Brokers, tally: Tally) -> None:
    """All codecs; two members of a group; kill -9 of the broker in the middle."""
    for topic in ("codecs", "logs"):
        broker.create(topic, PARTITIONS)
    for codec in CODECS:
        Output(broker.ports, "codecs", codec).send(lines(OF_A_CODEC, codec))
    expected = [event for codec in CODECS for event in lines(OF_A_CODEC, codec)]
    tool = "Fluentd's output (stand-in)"
    check_once(tally, f"{tool}, five codecs", words(expected), broker.values("codecs", PARTITIONS))

    with Member(broker.ports, "fluentd", "logs") as first, Member(broker.ports, "fluentd", "logs") as second:
        # Without the option a broker that dies between a chunk and its answer is given it again.
        output = Output(broker.ports, "logs", "gzip", idempotent=True)
        output.send(lines(EVENTS), broker.restart)
        check_once(tally, tool, words(lines(EVENTS)), broker.values("logs", PARTITIONS))

        def missing() -> int:
            return EVENTS - len({*first.found, *second.found})

        wait_until(lambda: missing() <= 0, lambda: f"{missing()} missing of {EVENTS}", seconds=60)
    assert first.found, "the second member has done all"
    assert second.found, "the first member has done all"
    found = words(first.found + second.found)
    check_at_least_once(tally, "Fluentd's input (stand-in)", words(lines(EVENTS)), found)


@ONE_AND_THREE
def test_each_event_comes(tmp_path: Path, tally: Tally, brokers: type[Brokers]) -> None:
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
