"""`fastlog-broker` up to the point where a broker would start."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastlog.cli.broker.main import main
from fastlog.cli.broker.options import flags_of
from fastlog.cli.exit_codes import ExitCode
from fastlog.config import Flag
from fastlog.errors import ConfigError


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    exit_code: int
    stdout: str
    stderr: str


Invoke = Callable[..., Ended]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    def run(*arguments: str, **environment: str) -> Ended:
        with monkeypatch.context() as around, pytest.raises(SystemExit) as end:
            for name, value in environment.items():
                around.setenv(name, value)
            main(arguments)
        said = capsys.readouterr()
        return Ended(int(end.value.code or 0), said.out, said.err)

    yield run
    gc.enable()


@pytest.fixture
def properties(tmp_path: Path) -> Path:
    path = tmp_path / "server.properties"
    path.write_text("broker.id=3\nnum.network.threads=3\nlog.dirs=/data\nssl.key.password=hunter2\n")
    return path


def flags(**changes: object) -> list[Flag]:
    options: dict[str, object] = {
        "assignments": [],
        "listen": [],
        "advertise": [],
        "data_dir": None,
        "log_level": None,
        "log_format": None,
        "allow_data_loss": False,
    }
    return flags_of(**(options | changes))  # type: ignore[arg-type]


def test_options_become_settings() -> None:
    assert flags() == []
    assert flags(
        assignments=["a.b=c=d", " num.partitions =3"],
        listen=["127.0.0.1:9092", "INSIDE://[::1]:9093"],
        advertise=["example.org:9092"],
        data_dir="/data",
        log_level="debug",
        log_format="JSON",
        allow_data_loss=True,
    ) == [
        Flag("a.b", "c=d", "--set"),
        Flag("num.partitions", "3", "--set"),
        Flag("listeners", "PLAINTEXT://127.0.0.1:9092,INSIDE://[::1]:9093", "--listen"),
        Flag("advertised.listeners", "PLAINTEXT://example.org:9092", "--advertise"),
        Flag("log.dirs", "/data", "--data-dir"),
        Flag("fastlog.log.level", "DEBUG", "--log-level"),
        Flag("fastlog.log.format", "json", "--log-format"),
        Flag("fastlog.allow.data.loss", "true", "--allow-data-loss"),
    ]


@pytest.mark.parametrize("text", ["novalue", "=x", " =x"])
def test_set_needs_a_name_and_a_value(text: str) -> None:
    with pytest.raises(ConfigError, match="must be of the form name=value"):
        flags(assignments=[text])


def test_one_key_by_two_options_is_refused() -> None:
    with pytest.raises(ConfigError, match="listeners: is set by --listen and by --set"):
        flags(assignments=["listeners=PLAINTEXT://:1"], listen=[":2"])


def test_help(invoke: Invoke) -> None:
    result = invoke("-h")
    assert result.exit_code == 0
    assert result.stdout.startswith("usage: fastlog-broker [-h] [--listen HOST:PORT]")
    assert "server.properties" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_an_option_is_not_guessed(invoke: Invoke) -> None:
    assert invoke("--print").exit_code == ExitCode.BAD_CONFIGURATION


def test_version(invoke: Invoke) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout.split()[0]) == (0, "fastlog-broker")


def test_check_config(properties: Path, invoke: Invoke) -> None:
    result = invoke(str(properties), "--check-config")
    assert result.exit_code == 0
    assert result.stdout == "the configuration is valid; 1 key has no effect\n"
    result = invoke("--check-config", KAFKA_LOG_RETENTION_HOUR="1")
    assert result.exit_code == 0
    assert "warning: KAFKA_LOG_RETENTION_HOUR is ignored" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "log.retention.hour=1"],
            "log.retention.hour: unknown key; did you mean log.retention.hours?",
        ),
        (["--set", "num.partitions=x"], "num.partitions: 'x' is not a whole number (INT expected) [--set]"),
        (["--listen", "nowhere"], "listeners: 'PLAINTEXT://nowhere' is not of the form NAME://host:port"),
        (["--listen", "SASL_SSL://:9092"], "ssl.keystore.location: is not set"),
        (["--listen", "SASL_PLAINTEXT://:9092"], "GSSAPI (Kerberos) is not supported"),
        (["no-such.properties"], "no-such.properties: cannot be read: No such file or directory"),
        (["--print-config", "-o", "yaml"], "--output yaml: must be text or json"),
        (["--log-level", "loud"], "fastlog.log.level: 'LOUD' is not allowed: it must be one of DEBUG"),
    ],
)
@pytest.mark.parametrize("mode", [["--check-config"], []])
def test_wrong_configuration_ends_with_one_line(
    arguments: list[str], message: str, mode: list[str], invoke: Invoke
) -> None:
    result = invoke(*arguments, *mode)
    assert result.exit_code == ExitCode.BAD_CONFIGURATION
    assert result.stderr.startswith("fastlog-broker: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def test_unknown_option_is_the_same_exit_code(invoke: Invoke) -> None:
    assert invoke("--no-such-option").exit_code == ExitCode.BAD_CONFIGURATION


def test_print_config_names_every_source(properties: Path, invoke: Invoke) -> None:
    result = invoke(
        str(properties),
        "--print-config",
        "--set",
        "num.partitions=5",
        "--data-dir",
        "/elsewhere",
        KAFKA_MESSAGE_MAX_BYTES="1000",
    )
    assert result.exit_code == 0
    lines = dict(line.split("  # ", 1) for line in result.stdout.splitlines())
    lines = {text.strip(): remark for text, remark in lines.items()}
    assert lines["num.partitions=5"] == "flag --set"
    assert lines["log.dirs=/elsewhere"] == "flag --data-dir"
    assert lines["message.max.bytes=1000"] == "environment KAFKA_MESSAGE_MAX_BYTES"
    assert lines["broker.id=3"] == f"file {properties}:1"
    assert lines["num.network.threads=3"] == (f"file {properties}:2; no effect: fastlog is built differently")
    assert lines["listeners=PLAINTEXT://:9092"] == "default"
    assert lines["fastlog.durability=pagecache"] == "default"
    assert lines["ssl.key.password=********"] == f"file {properties}:4"
    assert "hunter2" not in result.stdout
    assert not [text for text in lines if text.startswith("zookeeper.ssl.protocol")]


def test_print_config_as_json(properties: Path, invoke: Invoke) -> None:
    result = invoke(str(properties), "--print-config", "-o", "json", KAFKA_XYZZY="1")
    document = json.loads(result.stdout)
    keys = {entry["name"]: entry for entry in document["keys"]}
    assert len(keys) > 300
    assert keys["broker.id"] == {
        "name": "broker.id",
        "value": "3",
        "source": "file",
        "origin": f"{properties}:1",
        "has_effect": True,
        "no_effect_because": None,
    }
    assert keys["zookeeper.clientCnxnSocket"]["value"] is None
    reason = "fastlog has a ZooKeeper client of its own"
    assert keys["zookeeper.clientCnxnSocket"]["no_effect_because"] == reason
    assert keys["ssl.key.password"]["value"] == "********"
    assert document["warnings"] == ["KAFKA_XYZZY is ignored: there is no such key"]
