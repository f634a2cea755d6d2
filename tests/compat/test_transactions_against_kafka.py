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


@pytest.fixture(scope="module", params=[KAFKA_3, KAFKA_4])
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """(Release, port) of one broker at a time."""
    directory: Path = tmp_path_factory.mktemp(f"kafka-{request.param}")
    broker = ApacheKafka(
        directory / "kafka", version=request.param, settings=SETTINGS, heap="384m", quick=True
    )
    broker.start()
    try:
        with RawClient(broker.port, timeout=60) as client:
            prepare(client)
        yield request.param, broker.port
    finally:
        broker.kill()


@pytest.mark.parametrize("name", OF_KAFKA_4)
def test_same_answers(kafka: tuple[str, int], fastlog: int, name: str) -> None:
    release, port = kafka
    if name in OF_KAFKA_3_ALONE if release == KAFKA_4 else name not in SCENARIOS:
        pytest.skip("of the other release")
    told = []
    for number in (port, fastlog):
        with RawClient(number, timeout=60) as client:
            play = Play(client, f"{name}-{release}")
            OF_KAFKA_4[name](play)
            told.append(play.notes)
    theirs, ours = told
    different = [
        f"{at} {what}{difference}"
        for at, ((what, one), (_, other)) in enumerate(zip(theirs, ours, strict=True))
        for difference in differences(one, other)
    ]
    assert not different, "\n".join(different)
