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
    ("node_id", "configs"),
    [
        (None, {"num.io.threads": "16", "num.network.threads": "2"}),
        (1, {"log.cleaner.io.buffer.size": "5"}),
        (None, {"leader.replication.throttled.rate": "0"}),
        (1, {"follower.replication.throttled.rate": "9223372036854775807"}),
        (1, {"replica.alter.log.dirs.io.max.bytes.per.second": "1"}),
        (1, {"ssl.protocol": "TLSv1.3", "sasl.jaas.config": "x"}),
        (1, {"listener.name.a.ssl.keystore.location": "x"}),
        (None, {"listener.name.a.max.connections": "5"}),
        (None, {"cruise.control.metrics.topic": "x", "super.users": "User:a", "confluent.x": "y"}),
        (1, {"metric.reporters": "com.linkedin.kafka.Reporter,org.x.Y"}),
        (1, {"log.local.retention.ms": "3600000", "log.local.retention.bytes": "-1"}),
    ],
)
def test_what_has_no_effect_is_kept(
    rules: ConfigurationRules, node_id: int | None, configs: dict[str, str]
) -> None:
    rules.check_broker(node_id, configs)


@pytest.mark.parametrize(
    ("node_id", "configs", "message"),
    [
        (None, {"log.retention.hour": "1"}, "unknown key; did you mean log.retention.hours?"),
        (1, {"fastlog.no.such.key": "1"}, "unknown key"),
        (1, {"port": "1"}, "not a key any more"),
        (1, {"listener.name.a.max.connection": "1"}, "did you mean listener.name.a.max.connections?"),
        (1, {"ssl.keystore.location": "x"}, "for one listener only"),
        (None, {"ssl.protocol": "TLSv1.3"}, "for all brokers at once: name a broker id"),
        (None, {"listener.name.a.ssl.keystore.location": "x"}, "for all brokers at once"),
        (1, {"leader.replication.throttled.rate": "-1"}, "must be at least 0"),
        (1, {"num.io.threads": "17"}, "17 is less than half, or more than double, of the 8 in force"),
        (1, {"num.io.threads": "3"}, "less than half"),
        (1, {"listener.name.a.num.network.threads": "7"}, "more than double, of the 3 in force"),
        (1, {"max.connections": "0"}, "nobody could connect"),
        (1, {"listener.name.a.max.connections": "0"}, "nobody could connect"),
        (1, {"metric.reporters": "x"}, "not the name of a Java class"),
        (1, {"principal.builder.class": "x"}, "not the name of a Java class"),
        (1, {"log.local.retention.ms": "-1"}, "is more than log.retention.ms, which is 3600000"),
        (1, {"log.local.retention.ms": "3600001"}, "is more than log.retention.ms, which is 3600000"),
        (1, {"log.local.retention.bytes": "7", "log.retention.bytes": "6"}, "more than log.retention.bytes"),
        (1, {"num.partitions": "5"}, "cannot be changed while the broker runs: set it in"),
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
