"""Reported values, sources and synonyms, as kafka.server.ConfigHelper gives them."""

from __future__ import annotations

from pathlib import Path

from fastlog.config import BROKER_KEYS, TOPIC_KEYS
from fastlog.config.describe import ConfigEntry, describe_broker, describe_cluster_defaults, describe_topic
from fastlog.config.layers import ConfigSource
from tests.unit.config.helpers import config_of, write

TOPIC, OWN, WIDE = ConfigSource.TOPIC, ConfigSource.DYNAMIC_BROKER, ConfigSource.DYNAMIC_DEFAULT_BROKER
STATIC, DEFAULT = ConfigSource.STATIC_BROKER, ConfigSource.DEFAULT


def pick(entries: list[ConfigEntry], name: str) -> ConfigEntry:
    return next(entry for entry in entries if entry.name == name)


def synonyms(entry: ConfigEntry) -> list[tuple[str, str | None, ConfigSource]]:
    return [(synonym.name, synonym.value, synonym.source) for synonym in entry.synonyms]


def test_topic_entries_show_every_layer() -> None:
    config = config_of(
        {"message.max.bytes": "10"}, cluster={"message.max.bytes": "20"}, broker={"message.max.bytes": "30"}
    )
    entries = describe_topic({"max.message.bytes": "40"}, config)
    assert [entry.name for entry in entries] == sorted(TOPIC_KEYS)
    entry = pick(entries, "max.message.bytes")
    assert (entry.value, entry.source, entry.read_only) == ("40", TOPIC, False)
    assert synonyms(entry) == [
        ("max.message.bytes", "40", TOPIC),
        ("message.max.bytes", "30", OWN),
        ("message.max.bytes", "20", WIDE),
        ("message.max.bytes", "10", STATIC),
        ("message.max.bytes", "1048588", DEFAULT),
    ]
    untouched = pick(describe_topic({}, config), "max.message.bytes")
    assert (untouched.value, untouched.source) == ("30", OWN)


def test_hours_give_the_value_but_not_the_source() -> None:
    """A quirk of Kafka's: only the strongest broker name counts as a source."""
    config = config_of({"log.retention.hours": "2"})
    entry = pick(describe_topic({}, config), "retention.ms")
    assert (entry.value, entry.source, synonyms(entry)) == ("7200000", DEFAULT, [])
    config = config_of({"log.retention.hours": "2", "log.retention.ms": "5"})
    entry = pick(describe_topic({}, config), "retention.ms")
    assert (entry.value, entry.source) == ("5", STATIC)
    assert synonyms(entry) == [
        ("log.retention.ms", "5", STATIC),
        ("log.retention.hours", "2", STATIC),
        ("log.retention.hours", "168", DEFAULT),
    ]


def test_topic_key_without_a_broker_key() -> None:
    entry = pick(describe_topic({}, config_of()), "leader.replication.throttled.replicas")
    assert (entry.value, entry.source, synonyms(entry)) == ("", DEFAULT, [])
    entry = pick(
        describe_topic({"leader.replication.throttled.replicas": "*"}, config_of()),
        "leader.replication.throttled.replicas",
    )
    assert synonyms(entry) == [("leader.replication.throttled.replicas", "*", TOPIC)]


def test_lists_and_doubles_are_printed_as_kafka_does() -> None:
    entries = describe_topic({"cleanup.policy": "compact , delete"}, config_of())
    assert pick(entries, "cleanup.policy").value == "compact,delete"
    assert pick(entries, "min.cleanable.dirty.ratio").value == "0.5"
    broker = describe_broker(config_of())
    assert pick(broker, "log.cleaner.io.max.bytes.per.second").value == "1.7976931348623157E308"
    assert pick(broker, "ssl.enabled.protocols").value == "TLSv1.2,TLSv1.3"


def test_broker_entries(tmp_path: Path) -> None:
    file = write(
        tmp_path / "s",
        "num.partitions=4\nssl.key.password=hunter2\nlistener.name.a.ssl.key.password=hunter3\nsuper.users=User:a\n",
    )
    entries = describe_broker(config_of(file=file, cluster={"log.retention.ms": "9"}))
    names = [entry.name for entry in entries]
    assert names == sorted(names)
    public = {name for name, key in BROKER_KEYS.items() if not key.internal}
    assert set(names) == public | {"listener.name.a.ssl.key.password", "super.users"}
    partitions = pick(entries, "num.partitions")
    assert (partitions.value, partitions.source, partitions.read_only) == ("4", STATIC, True)
    assert synonyms(partitions) == [("num.partitions", "4", STATIC), ("num.partitions", "1", DEFAULT)]
    retention = pick(entries, "log.retention.ms")
    assert (retention.value, retention.source, retention.read_only) == ("9", WIDE, False)
    assert pick(entries, "log.retention.minutes").value is None
    hours = pick(entries, "log.retention.hours")
    assert (hours.value, hours.source) == ("168", DEFAULT)
    for name in ("ssl.key.password", "listener.name.a.ssl.key.password"):
        assert pick(entries, name).value is None
        assert all(synonym.value is None for synonym in pick(entries, name).synonyms)
        assert pick(entries, name).source is STATIC
    assert "hunter" not in repr(entries)


def test_cluster_defaults() -> None:
    config = config_of({"num.partitions": "4"}, cluster={"log.retention.ms": "9", "message.max.bytes": "7"})
    entries = describe_cluster_defaults(config)
    assert [(entry.name, entry.value, entry.source) for entry in entries] == [
        ("log.retention.ms", "9", WIDE),
        ("message.max.bytes", "7", WIDE),
    ]
    assert synonyms(entries[0]) == [("log.retention.ms", "9", WIDE)]
