"""`fastlog doctor` on transactions that a real Apache Kafka has left: states, and what hangs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.cli import fastlog as command
from tests.integration.doctor.asked import fastlog
from tests.integration.transaction_situations import SETTINGS, make_situations
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]


@pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])
def test_ids_and_what_hangs_in_a_directory_of_kafka(tmp_path: Path, version: str) -> None:
    kafka = ApacheKafka(tmp_path / "kafka", version=version, settings=SETTINGS, heap="384m", quick=True)
    with kafka:
        made = make_situations(kafka.port)
        asked = command("transaction", "list", "-o", "json", bootstrap=kafka.bootstrap)
        told = {row["transactional_id"]: row["state"] for row in json.loads(asked.stdout)}
    done = fastlog("doctor", kafka.data_dir, "--transactions", "-o", "json")
    answer = json.loads(done.stdout)
    assert {row["transactional_id"]: row["state"] for row in answer["transactional_ids"]} == told
    assert set(told) == {*made.identities} - {"nobody"}
    fates = {
        made.named(row["producer_id"]): (row["topic"], row["partition"], row["fate"])
        for row in answer["open_transactions"]
    }
    assert fates == {
        "<open>": ("a", 0, "coordinated"),
        "<late>": ("a", 1, "hanging"),
        "<nobody>": ("b", 0, "hanging"),
        "<other>": ("b", 1, "hanging"),
    }
