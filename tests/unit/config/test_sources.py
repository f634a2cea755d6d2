"""Files, environment and flags: what is read, and which one wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.config import BrokerConfig, Flag, Source, load_settings
from fastlog.config.describe import describe_broker
from fastlog.config.sources import ConfigProblems
from fastlog.errors import ConfigError
from tests.unit.config.helpers import write


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    file = write(tmp_path / "s.properties", "num.partitions=1\nlog.segment.bytes=100\nbroker.rack=a")
    environment = {"KAFKA_NUM_PARTITIONS": "2", "KAFKA_LOG_SEGMENT_BYTES": "200"}
    settings = load_settings(file=file, environment=environment, flags=[Flag("num.partitions", "3")])
    found = {name: (item.text, item.source, item.origin) for name, item in settings.values.items()}
    assert found == {
        "num.partitions": ("3", Source.FLAG, "--set"),
        "log.segment.bytes": ("200", Source.ENVIRONMENT, "KAFKA_LOG_SEGMENT_BYTES"),
        "broker.rack": ("a", Source.FILE, f"{file}:3"),
    }
    assert settings.notes == ()


def test_without_a_file_the_broker_stays_on_loopback(tmp_path: Path) -> None:
    assert load_settings().default("listeners") == "PLAINTEXT://127.0.0.1:9092"
    assert load_settings(file=write(tmp_path / "s", "")).default("listeners") == "PLAINTEXT://:9092"


def test_all_problems_are_reported_with_their_place(tmp_path: Path) -> None:
    file = write(tmp_path / "s.properties", "log.retention.hour=1\nnum.partitions=many\n")
    with pytest.raises(ConfigProblems) as caught:
        load_settings(file=file, environment={"KAFKA_LOG_SEGMENT_BYTES": "3"}, flags=[Flag("foo.bar", "1")])
    assert str(caught.value).splitlines() == [
        f"log.retention.hour: unknown key; did you mean log.retention.hours? [{file}:1]",
        f"num.partitions: 'many' is not a whole number (INT expected) [{file}:2]",
        "log.segment.bytes: '3' is not allowed: it must be at least 14 [KAFKA_LOG_SEGMENT_BYTES]",
        "foo.bar: unknown key [--set]",
    ]
    assert len(caught.value.problems) == 4


def test_one_problem_is_a_plain_config_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags=[Flag("num.partitions", "x")])
    assert not isinstance(caught.value, ConfigProblems)
    assert caught.value.key == "num.partitions"


def test_a_wrong_password_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags=[Flag("zookeeper.ssl.keystore.passwort", "hunter2")])
    assert "hunter2" not in str(caught.value)


def test_keys_of_plugins_in_a_file_are_kept_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text("opa.authorizer.url=http://x\nleader.replication.throttled.rate=5\n")
    settings = load_settings(file=file)
    assert settings.text("opa.authorizer.url") == "http://x"
    assert settings.text("leader.replication.throttled.rate") == "5"
    (note,) = settings.notes
    assert note.startswith("opa.authorizer.url: has no effect: ")
    assert note.endswith(f"[{file}:1]")
    config = BrokerConfig.from_settings(settings)
    entries = {entry.name: entry for entry in describe_broker(config)}
    assert (entries["opa.authorizer.url"].value, entries["opa.authorizer.url"].key.sensitive) == (None, True)
    assert entries["leader.replication.throttled.rate"].value == "5"
    assert entries["leader.replication.throttled.rate"].read_only


def test_unknown_keys_may_be_let_pass() -> None:
    settings = load_settings(flags=[Flag("fastlog.unknown.keys", "warn"), Flag("my.own.key", "1")])
    assert "my.own.key" not in settings.values
    assert settings.notes == ("my.own.key: unknown key [--set]",)


def test_a_key_set_twice_in_a_file_is_noted(tmp_path: Path) -> None:
    file = write(tmp_path / "s", "num.partitions=1\nnum.partitions=2")
    settings = load_settings(file=file)
    assert settings.text("num.partitions") == "2"
    assert settings.notes == (f"{file}:2: num.partitions is set again and replaces the value of {file}:1",)


def test_an_empty_value_is_as_if_left_out_where_there_is_no_default(tmp_path: Path) -> None:
    file = write(tmp_path / "s", "advertised.listeners=\nlog.retention.ms=\nprocess.roles=\n")
    assert set(load_settings(file=file).values) == {"process.roles"}
    with pytest.raises(ConfigError, match=r"num\.partitions: '' is not a whole number"):
        load_settings(flags=[Flag("num.partitions", "")])


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("KAFKA_LOG_RETENTION_HOURS", "log.retention.hours"),
        ("KAFKA_CFG_LOG_RETENTION_HOURS", "log.retention.hours"),
        ("KAFKA_ZOOKEEPER_CLIENTCNXNSOCKET", "zookeeper.clientCnxnSocket"),
        ("FASTLOG_IO_THREADS", "fastlog.io.threads"),
        ("KAFKA_LISTENER_NAME_INTERNAL_SCRAM___SHA___256_SASL_JAAS_CONFIG", None),
    ],
)
def test_environment_names(variable: str, key: str | None) -> None:
    settings = load_settings(environment={variable: "5", "PATH": "/bin"})
    expected = key or "listener.name.internal.scram-sha-256.sasl.jaas.config"
    assert list(settings.values) == [expected]


def test_strange_variables_only_warn() -> None:
    environment = {
        "KAFKA_HEAP_OPTS": "-Xmx1g",
        "KAFKA_OPTS": "",
        "KAFKA_JMX_PORT": "9999",
        "KAFKA_LOG4J_LOGGERS": "x",
        "KAFKA_LOG4J_ROOT_LOGLEVEL": "WARN",
        "KAFKA_PORT": "tcp://10.0.0.1:9092",
        "KAFKA_PORT_9092_TCP_ADDR": "10.0.0.1",
        "KAFKA_SERVICE_HOST": "10.0.0.1",
        "FASTLOG_SERVICE_PORT_KAFKA": "9092",
        # A service that happens to be called fastlog-http.
        "FASTLOG_HTTP_PORT": "tcp://10.0.0.1:9464",
        "KAFKA_LOG_RETENTION_HOUR": "1",
        "FASTLOG_DURABILTY": "fsync",
        "KAFKA_XYZZY": "1",
    }
    settings = load_settings(environment=environment)
    assert settings.values == {}
    assert settings.notes == (
        "FASTLOG_DURABILTY is ignored: there is no such key; did you mean fastlog.durability?",
        "KAFKA_LOG_RETENTION_HOUR is ignored: there is no such key; did you mean log.retention.hours?",
        "KAFKA_XYZZY is ignored: there is no such key",
    )


def test_ill_typed_variable_of_a_key_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"\[KAFKA_NUM_PARTITIONS\]"):
        load_settings(environment={"KAFKA_NUM_PARTITIONS": "many"})


def test_the_port_of_metrics_by_variable() -> None:
    assert load_settings(environment={"FASTLOG_HTTP_PORT": "9999"}).text("fastlog.http.port") == "9999"
    with pytest.raises(ConfigError, match=r"\[FASTLOG_HTTP_PORT\]"):
        load_settings(environment={"FASTLOG_HTTP_PORT": "http"})
