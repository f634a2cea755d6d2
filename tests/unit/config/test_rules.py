"""What AlterConfigs may change."""

from __future__ import annotations

import pytest

from fastlog.config import ConfigurationRules
from fastlog.coordination.lifecycle import ConfigRules
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.config.helpers import config_of


@pytest.fixture
def rules() -> ConfigurationRules:
    config = config_of({"log.cleanup.policy": "compact", "log.retention.hours": "1"})
    return ConfigurationRules(lambda: config)


def test_fits_what_coordination_asks(rules: ConfigurationRules) -> None:
    protocol: ConfigRules = rules
    protocol.check_topic({"retention.ms": "1"})
    assert protocol.is_list("cleanup.policy")
    assert protocol.is_list("leader.replication.throttled.replicas")
    assert protocol.is_list("ssl.cipher.suites")
    assert not protocol.is_list("retention.ms")
    assert not protocol.is_list("no.such.key")


def test_lists_start_from_the_value_in_force(rules: ConfigurationRules) -> None:
    assert rules.default("cleanup.policy") == "compact"
    assert rules.default("retention.ms") == "3600000"
    assert rules.default("log.cleanup.policy") == "compact"
    assert rules.default("min.insync.replicas") == "1"


def test_topic_overrides_are_checked(rules: ConfigurationRules) -> None:
    with pytest.raises(KafkaError, match="unknown topic config"):
        rules.check_topic({"x": "1"})


@pytest.mark.parametrize("node_id", [None, 1])
def test_dynamic_keys_that_have_an_effect(rules: ConfigurationRules, node_id: int | None) -> None:
    rules.check_broker(node_id, {})
    rules.check_broker(
        node_id,
        {"log.retention.ms": "60000", "message.max.bytes": "5", "fastlog.durability": "fsync"},
    )


@pytest.mark.parametrize(
    ("node_id", "configs", "message"),
    [
        (None, {"no.such.key": "1"}, "unknown key"),
        (1, {"num.partitions": "5"}, "cannot be changed while the broker runs: set it in"),
        (1, {"log.cleaner.io.buffer.size": "5"}, "has no effect here: fastlog is built differently"),
        (None, {"listeners": "PLAINTEXT://:1"}, "for all brokers at once: name a broker id"),
        (1, {"listeners": "PLAINTEXT://:1"}, "while the broker runs yet"),
        (1, {"log.retention.ms": "x"}, "is not a whole number"),
        (1, {"log.retention.ms": "0"}, "must be -1, or at least 1"),
        (1, {"message.max.bytes": "-1"}, "must be at least 0"),
    ],
)
def test_refuses(
    rules: ConfigurationRules, node_id: int | None, configs: dict[str, str], message: str
) -> None:
    with pytest.raises(KafkaError, match=message) as caught:
        rules.check_broker(node_id, configs)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
