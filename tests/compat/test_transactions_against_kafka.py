"""The same requests about transactional ids to Apache Kafka and to us: the answers must be the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.test_groups_against_kafka import differences
from tests.compat.transaction_scenarios import (
    OF_KAFKA_3_ALONE,
    OF_KAFKA_4,
    SCENARIOS,
    SETTINGS,
    Play,
    prepare,
)
from tests.integration.running import RawClient
from tests.integration.transaction_broker import TransactionBroker
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def fastlog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Our port."""
    running = TransactionBroker(tmp_path_factory.mktemp("fastlog"), dict(SETTINGS))
    running.start()
    with running.connect(timeout=60) as client:
        prepare(client)
    yield running.port
    running.close()


@pytest.fixture(scope="class")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the release that a class of tests names."""
    release: str = request.cls.release
    directory: Path = tmp_path_factory.mktemp(f"kafka-{release}")
    broker = ApacheKafka(directory / "kafka", version=release, settings=SETTINGS, heap="384m", quick=True)
    broker.start()
    try:
        with RawClient(broker.port, timeout=60) as client:
            prepare(client)
        yield broker.port
    finally:
        broker.kill()


class TestKafka3:
    release = KAFKA_3

    @pytest.mark.parametrize("name", SCENARIOS)
    def test_same_answers(self, kafka: int, fastlog: int, name: str) -> None:
        play(kafka, fastlog, name, self.release)


class TestKafka4:
    release = KAFKA_4

    @pytest.mark.parametrize("name", [name for name in OF_KAFKA_4 if name not in OF_KAFKA_3_ALONE])
    def test_same_answers(self, kafka: int, fastlog: int, name: str) -> None:
        play(kafka, fastlog, name, self.release)


def play(kafka: int, fastlog: int, name: str, release: str) -> None:
    """Plays one scenario with both."""
    told = []
    for port in (kafka, fastlog):
        with RawClient(port, timeout=60) as client:
            one = Play(client, f"{name}-{release}")
            OF_KAFKA_4[name](one)
            told.append(one.notes)
    theirs, ours = told
    different = [
        f"{at} {what}{difference}"
        for at, ((what, one_answer), (_, other)) in enumerate(zip(theirs, ours, strict=True))
        for difference in differences(one_answer, other)
    ]
    assert not different, "\n".join(different)
