"""Topic-level configuration over the broker's defaults."""

from __future__ import annotations

import pytest

from fastlog.config import TopicConfig
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.config.helpers import config_of

FOREVER = (1 << 63) - 1


def test_defaults_are_kafkas() -> None:
    log_config = TopicConfig.effective({}, config_of().layers).log_config(producer_id_expiration_ms=5)
    assert log_config == {
        "segment_bytes": 1 << 30,
        "segment_ms": 604_800_000,
        "segment_jitter_ms": 0,
        "index_interval_bytes": 4096,
        "index_max_bytes": 10_485_760,
        "flush_messages": FOREVER,
        "flush_ms": FOREVER,
        "retention_ms": 604_800_000,
        "retention_bytes": -1,
        "file_delete_delay_ms": 60_000,
        "max_message_bytes": 1_048_588,
        "timestamp_type": "CreateTime",
        "timestamp_before_max_ms": FOREVER,
        "timestamp_after_max_ms": FOREVER,
        "compact": False,
        "delete": True,
        "compression": "producer",
        "compression_level": None,
        "preallocate": False,
        "producer_id_expiration_ms": 5,
    }


def test_broker_settings_are_the_defaults_and_overrides_win() -> None:
    layers = config_of(
        {
            "log.roll.hours": "1",
            "log.flush.scheduler.interval.ms": "3000",
            "log.retention.minutes": "2",
            "message.max.bytes": "1000",
            "log.cleanup.policy": "compact, delete",
            "fastlog.durability": "fsync",
        }
    ).layers
    config = TopicConfig.effective({"max.message.bytes": "2000", "segment.ms": "7"}, layers)
    log_config = config.log_config(producer_id_expiration_ms=1)
    assert (log_config["segment_ms"], log_config["max_message_bytes"]) == (7, 2000)
    assert (log_config["flush_ms"], log_config["retention_ms"]) == (3000, 120_000)
    assert (log_config["compact"], log_config["delete"]) == (True, True)
    assert config.fsync
    assert not TopicConfig.effective({"fastlog.durability": "pagecache"}, layers).fsync
    assert config.overrides == {"max.message.bytes": "2000", "segment.ms": "7"}
    assert config.min_insync_replicas == 1


def test_compaction() -> None:
    layers = config_of(
        {"log.cleaner.min.cleanable.ratio": "0.25", "log.cleaner.delete.retention.ms": "7"}
    ).layers
    lag = {"max.compaction.lag.ms": "1000", "min.compaction.lag.ms": "3"}
    config = TopicConfig.effective({**lag, "cleanup.policy": "compact"}, layers)
    assert (config.min_cleanable_dirty_ratio, config.delete_retention_ms) == (0.25, 7)
    assert (config.min_compaction_lag_ms, config.max_compaction_lag_ms) == (3, 1000)
    # A record in the active segment would never be compacted.
    assert config.log_config(producer_id_expiration_ms=1)["segment_ms"] == 1000
    deleted = TopicConfig.effective(lag, layers)
    assert deleted.log_config(producer_id_expiration_ms=1)["segment_ms"] == 604_800_000


@pytest.mark.parametrize(
    ("overrides", "bounds"),
    [
        ({"message.timestamp.difference.max.ms": "5"}, (5, 5)),
        ({"message.timestamp.difference.max.ms": "5", "message.timestamp.after.max.ms": "9"}, (5, 9)),
        ({"message.timestamp.before.max.ms": "3"}, (3, FOREVER)),
    ],
)
def test_timestamp_bounds(overrides: dict[str, str], bounds: tuple[int, int]) -> None:
    log_config = TopicConfig.effective(overrides, config_of().layers).log_config(producer_id_expiration_ms=1)
    assert (log_config["timestamp_before_max_ms"], log_config["timestamp_after_max_ms"]) == bounds


@pytest.mark.parametrize(
    ("defaults", "overrides", "bounds"),
    [
        ({"difference": "7"}, {}, (7, 7)),
        ({"difference": "7", "after": "9"}, {}, (7, 9)),
        ({"difference": "7"}, {"difference": "5"}, (7, 7)),
        ({"difference": "7"}, {"difference": "5", "before": "8"}, (8, 7)),
        ({"after": "9"}, {"difference": "5"}, (5, 9)),
    ],
)
def test_timestamp_bounds_of_the_broker(
    defaults: dict[str, str], overrides: dict[str, str], bounds: tuple[int, int]
) -> None:
    """The broker's older key sets both of its newer ones, and those count before the topic's older key."""
    layers = config_of(
        {f"log.message.timestamp.{side}.max.ms": text for side, text in defaults.items()}
    ).layers
    own = {f"message.timestamp.{side}.max.ms": text for side, text in overrides.items()}
    log_config = TopicConfig.effective(own, layers).log_config(producer_id_expiration_ms=1)
    assert (log_config["timestamp_before_max_ms"], log_config["timestamp_after_max_ms"]) == bounds


@pytest.mark.parametrize(
    ("overrides", "compression"),
    [
        ({"compression.type": "gzip"}, ("gzip", None)),
        ({"compression.type": "gzip", "compression.gzip.level": "4"}, ("gzip", 4)),
        ({"compression.type": "zstd"}, ("zstd", 3)),
        ({"compression.type": "lz4", "compression.lz4.level": "17"}, ("lz4", 17)),
        ({"compression.type": "snappy"}, ("snappy", None)),
        ({"compression.type": "uncompressed"}, ("uncompressed", None)),
    ],
)
def test_compression(overrides: dict[str, str], compression: tuple[str, int | None]) -> None:
    log_config = TopicConfig.effective(overrides, config_of().layers).log_config(producer_id_expiration_ms=1)
    assert (log_config["compression"], log_config["compression_level"]) == compression


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"retention.msec": "1"}, "retention.msec: unknown topic config; did you mean retention.ms?"),
        ({"log.retention.ms": "1"}, "log.retention.ms: unknown topic config; did you mean retention.ms?"),
        ({"zzz": "1"}, "zzz: unknown topic config"),
        ({"retention.ms": None}, "retention.ms: has no value"),
        ({"retention.ms": "-2"}, "retention.ms: '-2' is not allowed: it must be at least -1"),
        ({"retention.ms": "x"}, "retention.ms: 'x' is not a whole number (LONG expected)"),
        (
            {"cleanup.policy": "shred"},
            "cleanup.policy: 'shred' is not allowed: it must hold only compact, delete",
        ),
        ({"compression.type": "brotli"}, "compression.type: 'brotli' is not allowed: it must be one of"),
        ({"min.compaction.lag.ms": "9", "max.compaction.lag.ms": "8"}, "min.compaction.lag.ms: 9 is above"),
        ({"remote.storage.enable": "true"}, "remote.storage.enable: cannot be true"),
        ({"fastlog.durability": "maybe"}, "fastlog.durability: 'maybe' is not allowed"),
    ],
)
def test_refuses(overrides: dict[str, str | None], message: str) -> None:
    with pytest.raises(KafkaError) as caught:
        TopicConfig.validate(overrides, config_of().layers)
    assert caught.value.code is ErrorCode.INVALID_CONFIG
    assert caught.value.message.startswith(message)
