"""Settings of single groups: what may be set, and what is in force."""

from __future__ import annotations

import pytest

from fastlog.config import ConfigSource, ConfigurationRules, GroupConfig
from fastlog.config.describe import describe_group
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.config.helpers import config_of

SESSION, HEARTBEAT = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
CONFIG = config_of(
    {
        "group.consumer.session.timeout.ms": "40000",
        "group.consumer.min.session.timeout.ms": "20000",
        "group.consumer.max.session.timeout.ms": "60000",
        "group.consumer.min.heartbeat.interval.ms": "3000",
        "group.consumer.max.heartbeat.interval.ms": "30000",
    }
)


@pytest.mark.parametrize(
    ("overrides", "values"),
    [
        ({}, (40_000, 5000)),
        ({SESSION: "20000"}, (20_000, 5000)),
        ({HEARTBEAT: " 30000 ", SESSION: "60000"}, (60_000, 30_000)),
        ({HEARTBEAT: "3000"}, (40_000, 3000)),
    ],
)
def test_what_is_in_force(overrides: dict[str, str], values: tuple[int, int]) -> None:
    found = GroupConfig.effective(overrides, CONFIG.layers)
    assert (found.session_timeout_ms, found.heartbeat_interval_ms) == values


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({SESSION: "19999"}, "min.session.timeout.ms"),
        ({SESSION: "60001"}, "max.session.timeout.ms"),
        ({HEARTBEAT: "2999"}, "min.heartbeat.interval.ms"),
        ({HEARTBEAT: "30001"}, "max.heartbeat.interval.ms"),
        ({SESSION: "20000", HEARTBEAT: "20000"}, "not above"),
        ({SESSION: "x"}, "INT expected"),
        ({SESSION: ""}, "INT expected"),
        ({SESSION: "-1"}, "at least 1"),
        ({"consumer.session.timeout": "1"}, f"did you mean {SESSION}"),
        ({"group.consumer.session.timeout.ms": "1"}, f"for a group it is {SESSION}"),
        ({"share.session.timeout.ms": "45000"}, "unknown group config"),
    ],
)
def test_what_may_not_be_set(overrides: dict[str, str], words: str) -> None:
    with pytest.raises(KafkaError, match=words) as caught:
        ConfigurationRules(lambda: CONFIG).check_group(overrides)
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_how_it_is_described() -> None:
    heartbeat, session = describe_group({SESSION: "30000"}, CONFIG)
    assert (session.name, session.value, session.source, session.read_only) == (
        SESSION,
        "30000",
        ConfigSource.GROUP,
        False,
    )
    assert [(item.name, item.value, int(item.source)) for item in session.synonyms] == [
        (SESSION, "30000", 8),
        (f"group.{SESSION}", "40000", 4),
        (f"group.{SESSION}", "45000", 5),
    ]
    assert (heartbeat.name, heartbeat.value, heartbeat.source) == (HEARTBEAT, "5000", ConfigSource.DEFAULT)
