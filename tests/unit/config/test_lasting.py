"""Overrides that were accepted once hold as far as they can, and never raise."""

from __future__ import annotations

import itertools

import pytest

from fastlog.config import TOPIC_KEYS, LiveConfig, TopicConfig
from fastlog.config.lasting import lasting_overrides
from fastlog.errors import KafkaError
from fastlog.native import LogConfig
from tests.unit.config.helpers import config_of

VALUES = ("-1", "0", "1", "14", "1000", "1048576", "2147483647", "9223372036854775807")
WORDS = ("true", "false", "delete", "compact", "gzip", "zstd", "LogAppendTime", "0.5", "", "fsync")


def accepted() -> list[tuple[str, str]]:
    """Every topic-level key with every value of some that it may have."""
    layers = config_of().layers
    found = []
    for item in itertools.product(TOPIC_KEYS, (*VALUES, *WORDS)):
        try:
            TopicConfig.validate(dict([item]), layers)
        except KafkaError:
            continue
        found.append(item)
    return found


def test_any_default_goes_with_any_override_in_the_end() -> None:
    """Whatever a topic was given, and whatever the defaults are then: its logs have settings."""
    config = config_of()
    overrides = accepted()
    assert len(overrides) > 150
    for name, text in overrides:
        synonyms = TOPIC_KEYS[name].synonyms
        changed, _ = lasting_overrides(config, cluster=dict.fromkeys(synonyms, text), broker={})
        related = [item for item in overrides if item[0].split(".")[1:] == name.split(".")[1:]]
        for own in [*related, *overrides[::40]]:
            topic = TopicConfig.in_force(dict([own]), changed.layers)
            LogConfig(**topic.log_config(producer_id_expiration_ms=1))
            assert topic.min_compaction_lag_ms <= topic.max_compaction_lag_ms


def test_what_cannot_be_read_is_left_out() -> None:
    stored = {"of.the.future": "1", "retention.ms": "soon", "segment.bytes": "2000"}
    topic = TopicConfig.in_force(stored, config_of({"log.retention.ms": "7"}).layers)
    assert topic.overrides == {"segment.bytes": "2000"}
    assert (topic.values["retention.ms"], topic.values["segment.bytes"]) == (7, 2000)
    assert len(topic.problems) == 2


def test_the_own_setting_wins_over_a_default_that_contradicts() -> None:
    layers = config_of({"log.cleaner.max.compaction.lag.ms": "5"}).layers
    topic = TopicConfig.in_force({"min.compaction.lag.ms": "9"}, layers)
    assert (topic.min_compaction_lag_ms, topic.max_compaction_lag_ms) == (9, 9)
    assert len(topic.problems) == 1


SESSION, HEARTBEAT = "group.consumer.session.timeout.ms", "group.consumer.heartbeat.interval.ms"


@pytest.mark.parametrize(
    ("settings", "cluster", "broker", "in_force"),
    [
        pytest.param({}, {"of.a.plugin": "1"}, {}, {"of.a.plugin": "1"}, id="a plugin's"),
        pytest.param({}, {"fastlog.of.the.future": "1"}, {}, {}, id="unknown"),
        pytest.param({}, {"log.retention.ms": "soon"}, {}, {}, id="unreadable"),
        pytest.param(
            {"log.cleaner.min.compaction.lag.ms": "9"},
            {"log.cleaner.max.compaction.lag.ms": "5", "log.retention.ms": "3"},
            {},
            {"log.retention.ms": "3"},
            id="against the file",
        ),
        pytest.param(
            {},
            {"log.cleaner.max.compaction.lag.ms": "5"},
            {"log.cleaner.min.compaction.lag.ms": "4"},
            {"log.cleaner.max.compaction.lag.ms": "5", "log.cleaner.min.compaction.lag.ms": "4"},
            id="together",
        ),
        pytest.param(
            {"log.cleaner.threads": "1"},
            {"log.cleaner.dedupe.buffer.size": "5000000", "log.cleaner.threads": "1000"},
            {},
            {"log.cleaner.dedupe.buffer.size": "5000000"},
            id="one of two",
        ),
    ],
)
def test_stored_settings_hold_as_far_as_they_go_together(
    settings: dict[str, str], cluster: dict[str, str], broker: dict[str, str], in_force: dict[str, str]
) -> None:
    live = LiveConfig(config_of(settings))
    problems = live.adopt(cluster=cluster, broker=broker)
    assert {**live.current.layers.cluster, **live.current.layers.broker} == in_force
    assert len(problems) == len(cluster) + len(broker) - len(in_force)
