"""Types, checks and single keys."""

from __future__ import annotations

import pytest

from fastlog.config.checks import (
    GZIP_LEVEL,
    KAFKA_VERSION,
    THROTTLED_REPLICAS,
    AtLeast,
    Between,
    ItemsOf,
    OneOf,
)
from fastlog.config.definitions import BROKER_KEYS, find_key
from fastlog.config.types import MASK, ConfigType, Value, format_value, parse_value
from fastlog.errors import ConfigError

LONG_MAX = (1 << 63) - 1

GOOD: list[tuple[ConfigType, str, Value]] = [
    (ConfigType.BOOLEAN, " True ", True),
    (ConfigType.BOOLEAN, "false", False),
    (ConfigType.SHORT, "32767", 32767),
    (ConfigType.INT, " -2147483648 ", -(1 << 31)),
    (ConfigType.INT, "+5", 5),
    (ConfigType.INT, "007", 7),
    (ConfigType.LONG, str(LONG_MAX), LONG_MAX),
    (ConfigType.DOUBLE, "0.5", 0.5),
    (ConfigType.DOUBLE, "1e3", 1000.0),
    (ConfigType.DOUBLE, "1.7976931348623157E308", 1.7976931348623157e308),
    (ConfigType.LIST, "", ()),
    (ConfigType.LIST, " a , b,c ", ("a", "b", "c")),
    (ConfigType.STRING, " x ", "x"),
]
BAD = [
    (ConfigType.BOOLEAN, "yes"),
    (ConfigType.INT, "1_000"),
    (ConfigType.INT, "2147483648"),
    (ConfigType.INT, "1.0"),
    (ConfigType.INT, ""),
    (ConfigType.INT, "٣"),
    (ConfigType.SHORT, "40000"),
    (ConfigType.LONG, str(LONG_MAX + 1)),
    (ConfigType.LONG, "9" * 5000),
    (ConfigType.DOUBLE, "half"),
    (ConfigType.DOUBLE, "inf"),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_parses(kind: ConfigType, text: str, value: Value) -> None:
    assert parse_value(kind, text) == value
    assert type(parse_value(kind, text)) is type(value)


@pytest.mark.parametrize(("kind", "text"), BAD)
def test_refuses(kind: ConfigType, text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|does)"):
        parse_value(kind, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (1.0, "1.0"),
        (0.0, "0.0"),
        (1e7, "1.0E7"),
        (1234567.0, "1234567.0"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (0.0001, "1.0E-4"),
        (-2.5e10, "-2.5E10"),
    ],
)
def test_doubles_read_as_java_prints_them(value: float, text: str) -> None:
    assert format_value(ConfigType.DOUBLE, value) == text


def test_formats() -> None:
    assert format_value(ConfigType.LIST, ("a", "b")) == "a,b"
    assert format_value(ConfigType.BOOLEAN, True) == "true"
    assert format_value(ConfigType.INT, 5) == "5"
    assert format_value(ConfigType.STRING, None) is None


def test_checks() -> None:
    assert AtLeast(1).problem(0) == "must be at least 1"
    assert AtLeast(1).problem(1) is None
    assert Between(1, 17).problem(18) == "must be from 1 to 17"
    assert GZIP_LEVEL.problem(-1) is None
    assert GZIP_LEVEL.problem(0) == "must be from 1 to 9, or -1"
    assert OneOf(("a", "b")).problem("A") == "must be one of a, b"
    assert OneOf(("a", "b"), ignore_case=True).problem("A") is None
    assert ItemsOf(("compact", "delete")).problem(("delete", "compact")) is None
    assert ItemsOf(("compact", "delete")).problem(("deleet",)) == "must hold only compact, delete"
    assert KAFKA_VERSION.problem("3.9-IV0") is None
    assert KAFKA_VERSION.problem("0.10.0") is None
    assert KAFKA_VERSION.problem("latest") is not None
    assert THROTTLED_REPLICAS.problem(("0:1", "1:2")) is None
    assert THROTTLED_REPLICAS.problem(("*",)) is None
    assert THROTTLED_REPLICAS.problem(("0-1",)) is not None


def test_errors_of_a_key_name_it_and_the_value() -> None:
    with pytest.raises(ConfigError, match=r"^num\.partitions: 'x' is not a whole number \(INT expected\)$"):
        BROKER_KEYS["num.partitions"].parse("x")
    with pytest.raises(ConfigError, match=r"^num\.partitions: '0' is not allowed: it must be at least 1$"):
        BROKER_KEYS["num.partitions"].parse("0")


def test_passwords_are_masked() -> None:
    key = BROKER_KEYS["ssl.key.password"]
    assert key.sensitive
    assert key.format("secret") == MASK
    assert key.format(None) is None
    listener_key = find_key("listener.name.internal.scram-sha-256.sasl.jaas.config")
    assert listener_key is not None
    assert listener_key.sensitive
    plugin_key = find_key("rsm.config.aws.secret.access.key")
    assert plugin_key is not None
    assert plugin_key.sensitive
