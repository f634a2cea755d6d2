"""The same group requests to Apache Kafka and to us, in every version: the answers must be the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.compat.group_scenarios import SCENARIOS, SETTINGS, TOPIC, Talk
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.peers.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """(Kafka's, ours): both with the topic and ready to coordinate."""
    directory = tmp_path_factory.mktemp("groups")
    with (
        ApacheKafka(directory / "kafka", settings=SETTINGS, heap="384m", quick=True) as kafka,
        BrokerProcess(directory / "fastlog", settings={**SETTINGS, "node.id": "1"}) as fastlog,
    ):
        for port in (kafka.port, fastlog.port):
            ready_to_coordinate(port)
        yield kafka.port, fastlog.port
        assert "Traceback" not in fastlog.log_text, fastlog.log_text[-4000:]


def ready_to_coordinate(port: int) -> None:
    """Sees to it that the topic is there, and groups are served."""
    with Link(port, timeout=60) as link:
        topics = CreateTopicsRequest(topics=[CreatableTopic(TOPIC, 2, 1)], timeout_ms=30_000)
        exists = int(ErrorCode.TOPIC_ALREADY_EXISTS)
        assert link.call(topics, 5).topics[0].error_code in (0, exists)  # type: ignore[attr-defined]
        find = FindCoordinatorRequest(key="x")
        while link.call(find, 0).error_code:  # type: ignore[attr-defined]
            pass
        talk = Talk(port, "ready")
        while link.call(talk.commit(), 2).topics[0].partitions[0].error_code:  # type: ignore[attr-defined]
            pass


@pytest.mark.parametrize(
    ("name", "version"),
    [(name, version) for name, (_, versions) in SCENARIOS.items() for version in versions],
)
def test_same_answers(ports: tuple[int, int], name: str, version: int) -> None:
    play, _ = SCENARIOS[name]
    notes = []
    for port in ports:
        talk = Talk(port, f"{name.replace(' ', '-')}-{version}")
        try:
            play(talk, version)
        finally:
            talk.close()
        notes.append(talk.notes)
    kafka, fastlog = notes
    different = [
        f"{what}{difference}"
        for (what, theirs), (_, ours) in zip(kafka, fastlog, strict=True)
        for difference in differences(theirs, ours)
    ]
    assert not different, "\n".join(different)


def differences(kafka: Any, fastlog: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ, and how."""
    if isinstance(kafka, dict) and isinstance(fastlog, dict):
        for name in kafka:
            yield from differences(kafka[name], fastlog[name], f"{path}.{name}")
    elif isinstance(kafka, list) and isinstance(fastlog, list) and len(kafka) == len(fastlog):
        for index, pair in enumerate(zip(kafka, fastlog, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif kafka != fastlog:
        yield f" {path}: Kafka {kafka!r}, fastlog {fastlog!r}"
