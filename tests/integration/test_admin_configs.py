"""DescribeConfigs, AlterConfigs and IncrementalAlterConfigs over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.config import BROKER_KEYS, TOPIC_KEYS
from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.messages import alter_configs as legacy
from fastlog.wire.messages import incremental_alter_configs as incremental
from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from tests.harness.batches import batch
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import make_topic, produce
from tests.integration.running import RawClient

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
FROM_TOPIC, FROM_BROKER, FROM_CLUSTER, STATIC, DEFAULT, FROM_LOGGER, FROM_GROUP = 1, 2, 3, 4, 5, 6, 8
Change = tuple[str, int, str | None]


def describe(client: RawClient, kind: int, name: str, *keys: str, version: int = 4) -> Any:
    """The one result of DescribeConfigs."""
    request = DescribeConfigsRequest(
        resources=[DescribeConfigsResource(kind, name, list(keys) or None)],
        include_synonyms=version >= 1,
        include_documentation=version >= 3,
    )
    (result,) = client.ask(request, version).results
    assert (result.resource_type, result.resource_name) == (kind, name)
    return result


def value(client: RawClient, kind: int, name: str, key: str) -> tuple[str | None, int]:
    """(value, source) of one key."""
    (entry,) = describe(client, kind, name, key).configs
    return entry.value, entry.config_source


def alter(
    client: RawClient, kind: int, name: str, *changes: Change, version: int = 1, check: bool = False
) -> tuple[ErrorCode, str | None]:
    """(code, message) of IncrementalAlterConfigs on one resource."""
    configs = [incremental.AlterableConfig(key, operation, text) for key, operation, text in changes]
    request = incremental.IncrementalAlterConfigsRequest(
        resources=[incremental.AlterConfigsResource(kind, name, configs)], validate_only=check
    )
    (response,) = client.ask(request, version).responses
    return ErrorCode(response.error_code), response.error_message


def replace(
    client: RawClient, kind: int, name: str, configs: dict[str, str | None], version: int = 2
) -> ErrorCode:
    """The code of AlterConfigs on one resource."""
    entries = [legacy.AlterableConfig(key, text) for key, text in configs.items()]
    request = legacy.AlterConfigsRequest(resources=[legacy.AlterConfigsResource(kind, name, entries)])
    (response,) = client.ask(request, version).responses
    return ErrorCode(response.error_code)


@pytest.mark.parametrize("version", range(API_VERSIONS[ApiKey.DESCRIBE_CONFIGS][1] + 1))
def test_describe_topic(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    assert alter(client, TOPIC, "t", ("retention.ms", SET, "5000"))[0] is ErrorCode.NONE
    entries = {entry.name: entry for entry in describe(client, TOPIC, "t", version=version).configs}
    assert set(entries) == set(TOPIC_KEYS)
    retention = entries["retention.ms"]
    assert (retention.value, retention.read_only, retention.is_sensitive) == ("5000", False, False)
    if version == 0:
        assert not any(entry.is_default for entry in entries.values())
        return
    assert (retention.config_source, entries["segment.bytes"].config_source) == (FROM_TOPIC, DEFAULT)
    assert [(item.name, item.source) for item in retention.synonyms] == [("retention.ms", FROM_TOPIC)]
    if version >= 3:
        assert retention.config_type == 5
        assert "deleted" in retention.documentation
        assert entries["cleanup.policy"].config_type == 7


def test_describe_only_what_is_asked_for(client: RawClient) -> None:
    make_topic(client, "t")
    names = [entry.name for entry in describe(client, TOPIC, "t", "retention.ms", "no.such").configs]
    assert names == ["retention.ms"]


def test_describe_broker(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"num.partitions": "3", "ssl.key.password": "hunter2"})
    node_id = str(broker.broker.config.node_id)
    with broker.connect() as client:
        entries = {entry.name: entry for entry in describe(client, BROKER, node_id).configs}
        assert set(entries) == {name for name, key in BROKER_KEYS.items() if not key.internal}
        assert (entries["num.partitions"].value, entries["num.partitions"].config_source) == ("3", STATIC)
        assert (entries["num.partitions"].read_only, entries["log.retention.ms"].read_only) == (True, False)
        password = entries["ssl.key.password"]
        assert (password.value, password.is_sensitive) == (None, True)
        assert [item.value for item in password.synonyms] == [None]
        assert describe(client, BROKER, "").configs == []


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "never", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a/b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "99", ErrorCode.INVALID_REQUEST),
        (BROKER, "me", ErrorCode.INVALID_REQUEST),
        (LOGGER, "", ErrorCode.INVALID_REQUEST),
        (GROUP, "", ErrorCode.INVALID_REQUEST),
        (77, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_resources_that_cannot_be_described(client: RawClient, kind: int, name: str, code: ErrorCode) -> None:
    result = describe(client, kind, name)
    assert ErrorCode(result.error_code) is code
    assert result.configs == []


def test_describe_loggers(client: RawClient) -> None:
    entries = {entry.name: entry for entry in describe(client, LOGGER, "1").configs}
    assert entries["fastlog.storage.log_manager"].config_source == FROM_LOGGER
    assert entries["fastlog.storage.log_manager"].value in ("DEBUG", "INFO", "WARNING")


@pytest.mark.parametrize("version", [0, 1])
def test_alter_topic_step_by_step(client: RawClient, version: int) -> None:
    make_topic(client, "t")

    def change(*changes: Change) -> ErrorCode:
        return alter(client, TOPIC, "t", *changes, version=version)[0]

    assert change(("cleanup.policy", APPEND, "compact")) is ErrorCode.NONE
    assert value(client, TOPIC, "t", "cleanup.policy") == ("delete,compact", FROM_TOPIC)
    assert change(("cleanup.policy", SUBTRACT, "delete"), ("retention.ms", SET, "9")) is ErrorCode.NONE
    assert value(client, TOPIC, "t", "cleanup.policy") == ("compact", FROM_TOPIC)
    assert change(("cleanup.policy", DELETE, None)) is ErrorCode.NONE
    assert value(client, TOPIC, "t", "cleanup.policy") == ("delete", DEFAULT)
    assert value(client, TOPIC, "t", "retention.ms") == ("9", FROM_TOPIC)


@pytest.mark.parametrize(
    ("kind", "name", "changes", "code"),
    [
        (TOPIC, "t", [("retention.ms", SET, "x")], ErrorCode.INVALID_CONFIG),
        (TOPIC, "t", [("no.such.key", SET, "1")], ErrorCode.INVALID_CONFIG),
        (TOPIC, "t", [("retention.ms", APPEND, "1")], ErrorCode.INVALID_CONFIG),
        (TOPIC, "t", [("retention.ms", SET, None)], ErrorCode.INVALID_REQUEST),
        (TOPIC, "t", [("retention.ms", 9, "1")], ErrorCode.INVALID_REQUEST),
        (
            TOPIC,
            "t",
            [("retention.ms", SET, "1"), ("retention.ms", DELETE, None)],
            ErrorCode.INVALID_REQUEST,
        ),
        (TOPIC, "never", [("retention.ms", SET, "1")], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (BROKER, "99", [("message.max.bytes", SET, "1")], ErrorCode.INVALID_REQUEST),
        (BROKER, "1", [("num.partitions", SET, "5")], ErrorCode.INVALID_REQUEST),
        (BROKER, "1", [("message.max.bytes", SET, "many")], ErrorCode.INVALID_REQUEST),
        (BROKER, "", [("listeners", SET, "PLAINTEXT://:1")], ErrorCode.INVALID_REQUEST),
        (METRICS, "x", [("metrics", SET, "1")], ErrorCode.INVALID_REQUEST),
        (GROUP, "", [("consumer.session.timeout.ms", SET, "50000")], ErrorCode.INVALID_REQUEST),
        (GROUP, "g", [("consumer.session.timeout.ms", SET, "10")], ErrorCode.INVALID_CONFIG),
        (GROUP, "g", [("consumer.session.timeout.ms", APPEND, "50000")], ErrorCode.INVALID_CONFIG),
        (GROUP, "g", [("consumer.session.timeout.ms", SET, None)], ErrorCode.INVALID_REQUEST),
        (GROUP, "g", [("retention.ms", SET, "50000")], ErrorCode.INVALID_CONFIG),
    ],
)
def test_changes_that_are_refused(
    client: RawClient, kind: int, name: str, changes: list[Change], code: ErrorCode
) -> None:
    make_topic(client, "t")
    found, message = alter(client, kind, name, *changes)
    assert found is code
    assert message
    assert value(client, TOPIC, "t", "retention.ms") == ("604800000", DEFAULT)


def test_validate_only_changes_nothing(client: RawClient) -> None:
    make_topic(client, "t")
    assert alter(client, TOPIC, "t", ("retention.ms", SET, "5"), check=True)[0] is ErrorCode.NONE
    assert alter(client, TOPIC, "t", ("retention.ms", SET, "x"), check=True)[0] is ErrorCode.INVALID_CONFIG
    assert value(client, TOPIC, "t", "retention.ms") == ("604800000", DEFAULT)


def test_a_resource_that_stands_twice(client: RawClient) -> None:
    make_topic(client, "t")
    item = incremental.AlterConfigsResource(
        TOPIC, "t", [incremental.AlterableConfig("retention.ms", SET, "5")]
    )
    request = incremental.IncrementalAlterConfigsRequest(resources=[item, item])
    codes = {response.error_code for response in client.ask(request, 1).responses}
    assert codes == {ErrorCode.INVALID_REQUEST}
    assert value(client, TOPIC, "t", "retention.ms") == ("604800000", DEFAULT)


@pytest.mark.parametrize("version", range(API_VERSIONS[ApiKey.ALTER_CONFIGS][1] + 1))
def test_legacy_alter_replaces_all(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    assert (
        replace(client, TOPIC, "t", {"retention.ms": "5", "segment.bytes": "5000"}, version) is ErrorCode.NONE
    )
    assert replace(client, TOPIC, "t", {"retention.ms": "6"}, version) is ErrorCode.NONE
    assert value(client, TOPIC, "t", "retention.ms") == ("6", FROM_TOPIC)
    assert value(client, TOPIC, "t", "segment.bytes") == ("1073741824", DEFAULT)
    assert replace(client, TOPIC, "t", {"retention.ms": None}, version) is ErrorCode.INVALID_REQUEST
    assert replace(client, TOPIC, "t", {"retention.ms": "x"}, version) is ErrorCode.INVALID_CONFIG
    assert replace(client, TOPIC, "never", {}, version) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert replace(client, TOPIC, "t", {}, version) is ErrorCode.NONE
    assert value(client, TOPIC, "t", "retention.ms") == ("604800000", DEFAULT)


def test_broker_changes_take_effect_and_survive_a_restart(start_broker: BrokerFactory) -> None:
    broker = start_broker()

    def put(client: RawClient, size: int) -> ErrorCode:
        answer = client.ask(produce("t", batch(b"x" * size)), 9)
        return ErrorCode(answer.responses[0].partition_responses[0].error_code)

    with broker.connect() as client:
        make_topic(client, "t")
        assert put(client, 5000) is ErrorCode.NONE
        assert alter(client, BROKER, "", ("message.max.bytes", SET, "1000"))[0] is ErrorCode.NONE
        assert put(client, 5000) is ErrorCode.MESSAGE_TOO_LARGE
        assert value(client, TOPIC, "t", "max.message.bytes") == ("1000", FROM_CLUSTER)
        assert alter(client, BROKER, "1", ("message.max.bytes", SET, "2000"))[0] is ErrorCode.NONE
        assert value(client, BROKER, "1", "message.max.bytes") == ("2000", FROM_BROKER)
        (entry,) = describe(client, BROKER, "", "message.max.bytes").configs
        assert (entry.value, entry.config_source) == ("1000", FROM_CLUSTER)
    broker.stop()
    broker.start()
    with broker.connect() as client:
        assert value(client, BROKER, "1", "message.max.bytes") == ("2000", FROM_BROKER)
        assert put(client, 5000) is ErrorCode.MESSAGE_TOO_LARGE
        assert alter(client, BROKER, "1", ("message.max.bytes", DELETE, None))[0] is ErrorCode.NONE
        assert alter(client, BROKER, "", ("message.max.bytes", DELETE, None))[0] is ErrorCode.NONE
        assert put(client, 5000) is ErrorCode.NONE
        assert value(client, BROKER, "1", "message.max.bytes") == ("1048588", DEFAULT)


def test_topic_changes_survive_a_restart(start_broker: BrokerFactory) -> None:
    broker = start_broker()
    with broker.connect() as client:
        make_topic(client, "t")
        assert alter(client, TOPIC, "t", ("fastlog.durability", SET, "fsync"))[0] is ErrorCode.NONE
    broker.stop()
    broker.start()
    with broker.connect() as client:
        assert value(client, TOPIC, "t", "fastlog.durability") == ("fsync", FROM_TOPIC)


def test_settings_of_groups(start_broker: BrokerFactory) -> None:
    """They take effect with the next heartbeat, last, and fall away when the broker's bounds change."""
    key, bound = "consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"
    settings = {"offsets.topic.num.partitions": "1", bound: "100"}
    broker = start_broker(**settings)

    def interval(client: RawClient, epoch: int = 0) -> int:
        joins = {"rebalance_timeout_ms": 5000, "subscribed_topic_names": ["t"], "topic_partitions": []}
        request = ConsumerGroupHeartbeatRequest("g", "m", epoch, **(joins if epoch == 0 else {}))
        while (answer := client.ask(request, 1)).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            pass
        assert answer.error_code == 0
        return int(answer.heartbeat_interval_ms)

    with broker.connect() as client:
        client.ask(FindCoordinatorRequest(key="g"), 0)
        assert value(client, GROUP, "g", key) == ("5000", DEFAULT)
        assert interval(client) == 5000
        assert alter(client, GROUP, "g", (key, SET, "150"), check=True)[0] is ErrorCode.NONE
        assert interval(client, 1) == 5000
        assert alter(client, GROUP, "g", (key, SET, "150"))[0] is ErrorCode.NONE
        assert interval(client, 1) == 150
        assert value(client, GROUP, "g", key) == ("150", FROM_GROUP)
        assert value(client, GROUP, "other", key) == ("5000", DEFAULT)
    broker.stop()
    broker.start()
    with broker.connect() as client:
        assert interval(client, 1) == 150
        assert replace(client, GROUP, "g", {}) is ErrorCode.NONE
        assert interval(client, 1) == 5000
        assert replace(client, GROUP, "g", {key: "200"}) is ErrorCode.NONE
        assert interval(client, 1) == 200
    broker.stop()
    broker.settings[bound] = "201"
    broker.start()
    with broker.connect() as client:
        assert interval(client, 1) == 5000


def test_what_has_no_effect_is_kept_and_warned_of(
    start_broker: BrokerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Of one broker and of all, over a restart; a plugin's own value may be a secret."""
    keys = {
        "replica.alter.log.dirs.io.max.bytes.per.second": "5",
        "num.io.threads": "9",
        "opa.authorizer.url": "http://x",
    }
    running = start_broker()
    with running.connect() as client:
        make_topic(client, "t")
        for node in ("1", ""):
            changes = [(key, SET, value) for key, value in keys.items()]
            assert alter(client, BROKER, node, *changes)[0] is ErrorCode.NONE
    for key in keys:
        assert sum(f"{key} is kept and has no effect" in line for line in caplog.messages) == 1
    running.stop()
    running.start()
    with running.connect() as client:
        for node, source in (("1", FROM_BROKER), ("", FROM_CLUSTER)):
            entries = {entry.name: entry for entry in describe(client, BROKER, node).configs}
            told = {key: (entries[key].value, entries[key].config_source) for key in keys}
            assert told == {
                key: (None if key.startswith("opa") else value, source) for key, value in keys.items()
            }
