"""The tables as a whole, and finding keys by name."""

from __future__ import annotations

import pytest

from fastlog.config.definitions import BROKER_KEYS, SYNONYMS, find_key, nearest_key, synonyms_of, unknown_key
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.keys import Unused, UpdateMode
from fastlog.config.types import ConfigType

KAFKA_KEYS = [name for name in BROKER_KEYS if not name.startswith("fastlog.")]


def test_the_table_holds_all_of_kafka() -> None:
    # tests/compat compares every row with Apache Kafka itself; this is the count of 3.9.
    assert len(KAFKA_KEYS) == 328
    assert len([name for name in TOPIC_KEYS if not name.startswith("fastlog.")]) == 36


@pytest.mark.parametrize("name", BROKER_KEYS)
def test_every_default_is_legal(name: str) -> None:
    key = BROKER_KEYS[name]
    if key.default is not None:
        key.parse(key.default)
    assert key.doc.endswith(".")


@pytest.mark.parametrize("name", TOPIC_KEYS)
def test_topic_keys_agree_with_their_broker_keys(name: str) -> None:
    entry = TOPIC_KEYS[name]
    entry.key.parse(entry.key.default or "")
    for synonym in entry.synonyms:
        assert synonym in BROKER_KEYS


def test_fastlog_has_an_effect_for_each_of_its_own_keys() -> None:
    assert all(BROKER_KEYS[name].unused is None for name in BROKER_KEYS if name.startswith("fastlog."))


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("log.retention.hour", "log.retention.hours"),
        ("log_retention_hours", "log.retention.hours"),
        ("retention.ms", "log.retention.ms"),
        ("segment.bytes", "log.segment.bytes"),
        ("listener", "listeners"),
        ("num.partition", "num.partitions"),
        ("fastlog.durabilty", "fastlog.durability"),
        ("auto.create.topic.enable", "auto.create.topics.enable"),
        ("xyzzy", None),
    ],
)
def test_nearest_key(wrong: str, nearest: str | None) -> None:
    assert nearest_key(wrong) == nearest
    assert find_key(wrong) is None
    assert str(unknown_key(wrong)).endswith(f"did you mean {nearest}?" if nearest else "unknown key")


def test_keys_of_old_releases_say_what_to_do() -> None:
    assert str(unknown_key("port")) == "port: is not a key any more: set listeners"


def test_families() -> None:
    key = find_key("listener.name.external.ssl.keystore.password")
    assert key is not None
    assert (key.type, key.unused, key.default) == (ConfigType.PASSWORD, None, None)
    assert key.update is UpdateMode.PER_BROKER
    other = find_key("listener.name.external.socket.listen.backlog.size")
    assert other is not None
    assert other.unused is Unused.PER_LISTENER
    limit = find_key("listener.name.external.max.connections")
    assert limit is not None
    assert (limit.unused, limit.update) == (None, UpdateMode.CLUSTER_WIDE)
    assert find_key("listener.name.external.no.such.key") is None
    assert find_key("group.share.assignors") is not None
    assert find_key("super.users") is not None
    assert find_key("rlmm.config.anything") is not None


def test_synonyms() -> None:
    retention = ("log.retention.ms", "log.retention.minutes", "log.retention.hours")
    assert all(synonyms_of(name) == retention for name in retention)
    assert retention in SYNONYMS
    assert synonyms_of("log.flush.interval.ms") == (
        "log.flush.interval.ms",
        "log.flush.scheduler.interval.ms",
    )
    assert synonyms_of("log.flush.scheduler.interval.ms") == ("log.flush.scheduler.interval.ms",)
    assert synonyms_of("listener.name.external.sasl.jaas.config") == (
        "listener.name.external.sasl.jaas.config",
        "sasl.jaas.config",
    )
    assert synonyms_of("num.partitions") == ("num.partitions",)
