"""`fastlog` against a broker: what it shows of topics and groups when there are few or none."""

from __future__ import annotations

import json

from tests.harness.cli import fastlog
from tests.integration.running import RunningBroker


def test_an_empty_broker_is_not_answered_with_silence(broker: RunningBroker) -> None:
    for words, remark in (
        (("topic", "describe"), b"there are no topics"),
        (("group", "describe"), b"there are no groups"),
    ):
        done = fastlog(*words, bootstrap=broker.bootstrap)
        assert (done.stdout, done.stderr) == (b"", b"fastlog: %s\n" % remark)
        done = fastlog(*words, "-o", "json", bootstrap=broker.bootstrap)
        assert (json.loads(done.stdout), done.stderr) == ([], b"")


def test_internal_topics_are_described_when_they_are_asked_for(broker: RunningBroker) -> None:
    def described(*words: str) -> list[str]:
        done = fastlog("topic", "describe", *words, "-o", "json", bootstrap=broker.bootstrap)
        return [topic["topic"] for topic in json.loads(done.stdout)]

    fastlog("topic", "create", "orders", bootstrap=broker.bootstrap)
    plan = ("group", "reset-offsets", "g", "--topic", "orders", "--to-latest", "--execute")
    fastlog(*plan, bootstrap=broker.bootstrap)
    assert described() == ["orders"]
    assert described("--internal") == ["__consumer_offsets", "orders"]
    assert described("__consumer_offsets") == ["__consumer_offsets"]
    # No partition of any topic is without a leader, and that is said.
    done = fastlog("topic", "describe", "--unavailable", bootstrap=broker.bootstrap)
    assert (done.stdout, done.stderr) == (b"", b"fastlog: no topic has such partitions\n")


def test_one_is_written_as_one(broker: RunningBroker) -> None:
    done = fastlog("topic", "create", "t", "-r", "2", code=1, bootstrap=broker.bootstrap)
    assert b"replication factor 2 cannot be met: 1 broker alive (" in done.stderr
