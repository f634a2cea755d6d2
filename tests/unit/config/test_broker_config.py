"""The typed view of a broker's configuration."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from fastlog.config import LiveConfig
from fastlog.errors import ConfigError
from fastlog.server.derived_settings import connection_limits
from fastlog.server.quotas.connection_quotas import ConnectionLimits
from tests.unit.config.helpers import config_of, write

DAY_MS = 86_400_000


def test_limits_of_listeners_and_addresses() -> None:
    config = config_of(
        {
            "listeners": "PLAINTEXT://:1,OUT://:2",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT",
            "max.connections": "100",
            "max.connection.creation.rate": "50",
            "listener.name.out.max.connections": "7",
            "listener.name.plaintext.max.connection.creation.rate": "3",
            "max.connections.per.ip.overrides": "[0:0:0:0:0:0:0:1]:5,10.0.0.1:6",
        }
    )
    assert connection_limits(config) == ConnectionLimits(
        most=100, rate=50, most_of={"OUT": 7}, rate_of={"PLAINTEXT": 3}, protected="PLAINTEXT"
    )
    assert config.max_connections_per_ip_overrides == {"::1": 5, "10.0.0.1": 6}
    assert connection_limits(config_of({})) == ConnectionLimits()


def test_defaults() -> None:
    config = config_of()
    assert (config.node_id, config.node_id_is_set) == (1, False)
    assert config.log_dirs == (Path("fastlog-data"),)
    assert config.socket_request_max_bytes == 104_857_600
    assert config.log_retention_ms == 7 * DAY_MS
    assert config.auto_create_topics_enable is True
    assert config.durability == "pagecache"
    assert 2 <= config.io_threads <= 8
    assert config.max_connections_per_ip_overrides == {}
    assert config.broker_rack is None
    assert config.allow_data_loss is False


def test_is_frozen() -> None:
    config = config_of()
    with pytest.raises(FrozenInstanceError):
        config.num_partitions = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "node_id"),
    [
        ({"broker.id": "3"}, 3),
        ({"node.id": "0"}, 0),
        ({"node.id": "4", "broker.id": "4"}, 4),
        ({"broker.id": "-1"}, None),
    ],
)
def test_node_id(values: dict[str, str], node_id: int | None) -> None:
    config = config_of(values)
    assert (config.node_id, config.node_id_is_set) == (1 if node_id is None else node_id, node_id is not None)
    assert config.with_node_id(9).node_id == 9


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"log.retention.hours": "2"}, 7_200_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "1"}, 60_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "1", "log.retention.ms": "5"}, 5),
        ({"log.retention.ms": "-1"}, -1),
        ({"log.retention.hours": "-1"}, -1),
    ],
)
def test_retention_precedence(values: dict[str, str], expected: int) -> None:
    assert config_of(values).log_retention_ms == expected


@pytest.mark.parametrize(
    ("values", "directories"),
    [
        ({"log.dirs": "/a, /b"}, ["/a", "/b"]),
        ({"log.dir": "/a"}, ["/a"]),
        ({"log.dir": "/a", "log.dirs": "/b"}, ["/b"]),
    ],
)
def test_log_dirs(values: dict[str, str], directories: list[str]) -> None:
    assert [str(path) for path in config_of(values).log_dirs] == directories


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"node.id": "1", "broker.id": "2"}, r"node\.id: is 1, but broker\.id is 2"),
        ({"broker.id": "-5"}, r"node\.id: -5 is negative"),
        ({"log.dirs": ","}, r"log\.dirs: must name at least one"),
        ({"log.dirs": "/a,/b/../a"}, r"log\.dirs: names a directory more than once"),
        ({"max.connections.per.ip": "0"}, r"max\.connections\.per\.ip: may be 0 only"),
        ({"max.connections.per.ip.overrides": "10.0.0.1"}, "is not of the form address:limit"),
        ({"process.roles": "controller", "node.id": "1"}, "does not name the role broker"),
        ({"process.roles": "broker,controller"}, r"node\.id: must be set"),
        ({"log.cleaner.min.compaction.lag.ms": "5", "log.cleaner.max.compaction.lag.ms": "4"}, "is above"),
        ({"log.cleaner.io.buffer.load.factor": "1.5"}, "1.5 is not above 0 and at most 1"),
        ({"log.cleaner.io.max.bytes.per.second": "0"}, "0.0 is not above 0"),
        ({"log.cleaner.threads": "0"}, "log.cleaner.enable=false turns it off"),
        (
            {"log.cleaner.threads": "4", "log.cleaner.dedupe.buffer.size": "4194304"},
            "more than 1 MiB for each",
        ),
        ({"log.retention.minutes": "0"}, r"log\.retention\.ms: '0' is not allowed"),
        ({"log.roll.ms": "0"}, r"log\.roll\.ms: '0' is not allowed"),
        ({"group.consumer.session.timeout.ms": "44999"}, r"44999 is not between .*\(45000\)"),
        ({"group.consumer.heartbeat.interval.ms": "15001"}, r"15001 is not between .*\(15000\)"),
        ({"group.consumer.max.session.timeout.ms": "9"}, r"max\.session\.timeout\.ms: 9 is below"),
        (
            {
                "group.consumer.session.timeout.ms": "5000",
                "group.consumer.min.session.timeout.ms": "5000",
            },
            "5000 is not below the session timeout",
        ),
    ],
)
def test_contradictions(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(values)


def test_group_protocols_of_kafka_4_are_taken() -> None:
    config = config_of({"group.coordinator.rebalance.protocols": "classic,consumer,streams"})
    assert "consumer" in config.group_coordinator_rebalance_protocols


def test_a_cleaner_that_is_off_may_be_told_anything() -> None:
    config = config_of({"log.cleaner.enable": "false", "log.cleaner.threads": "0"})
    assert (config.log_cleaner_enable, config.log_cleaner_threads) == (False, 0)
    assert config.log_cleaner_io_max_bytes_per_second == 1.7976931348623157e308


def test_limits_per_address() -> None:
    config = config_of({"max.connections.per.ip.overrides": "10.0.0.1:5, [::1]:7, host:0"})
    assert config.max_connections_per_ip_overrides == {"10.0.0.1": 5, "::1": 7, "host": 0}


def test_runtime_overrides_have_the_last_word(tmp_path: Path) -> None:
    file = write(tmp_path / "s", "message.max.bytes=100\nlog.retention.hours=1")
    config = config_of(file=file)
    wide = config.with_overrides(cluster={"message.max.bytes": "200", "log.retention.ms": "7"})
    assert (wide.message_max_bytes, wide.log_retention_ms) == (200, 7)
    own = wide.with_overrides(broker={"message.max.bytes": "300"})
    assert (own.message_max_bytes, own.log_retention_ms) == (300, 7)
    assert own.with_overrides(cluster={}, broker={}).message_max_bytes == 100
    assert config.message_max_bytes == 100


def test_live_config_tells_of_changes() -> None:
    live = LiveConfig(config_of())
    seen: list[tuple[int, int]] = []
    live.on_change(lambda before, after: seen.append((before.message_max_bytes, after.message_max_bytes)))
    for _ in range(2):
        assert live.adopt(cluster={"message.max.bytes": "5"}, broker={}) == []
        assert live.current.message_max_bytes == 5
    assert live.adopt(cluster={"message.max.bytes": "5"}, broker={"message.max.bytes": "x"})
    assert live.current.message_max_bytes == 5
    assert seen == [(1_048_588, 5)]


@pytest.mark.parametrize(
    ("values", "port", "is_set"), [({}, 9464, False), ({"fastlog.http.port": "9464"}, 9464, True)]
)
def test_it_is_known_whether_the_port_of_metrics_was_chosen(
    values: dict[str, str], port: int, is_set: bool
) -> None:
    config = config_of(values)
    assert (config.http_host, config.http_port, config.http_port_is_set) == ("127.0.0.1", port, is_set)
    assert config.metrics_kafka_exporter_names
    assert config.metrics_per_partition
