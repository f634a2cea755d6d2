"""What compaction is told of the configuration, and when that is worked out anew."""

from __future__ import annotations

import math
from types import MappingProxyType

from fastlog.config import LiveConfig
from fastlog.coordination.cluster_view import ClusterView, TopicState
from fastlog.server.derived_settings import CompactionPolicies, cleaner_settings, storage_settings
from fastlog.storage.cleaner_settings import CleanerSettings, CompactionPolicy
from tests.unit.config.helpers import config_of


def topic(**configs: str) -> TopicState:
    """A topic `t`; config names with underscores for dots."""
    named = {name.replace("_", "."): value for name, value in configs.items()}
    return TopicState(name="t", topic_id=bytes(16), partitions=(), configs=MappingProxyType(named))


def test_broker_settings() -> None:
    config = config_of(
        {
            "log.cleaner.enable": "false",
            "log.cleaner.threads": "3",
            "log.cleaner.backoff.ms": "7",
            "log.cleaner.dedupe.buffer.size": "9000000",
            "log.cleaner.io.buffer.load.factor": "0.5",
            "log.cleaner.io.max.bytes.per.second": "2e6",
        }
    )
    expected = CleanerSettings(
        enabled=False,
        threads=3,
        backoff_ms=7,
        dedupe_buffer_bytes=9_000_000,
        load_factor=0.5,
        bytes_per_second=2e6,
    )
    assert cleaner_settings(config) == storage_settings(config).cleaner == expected
    defaults = cleaner_settings(config_of())
    assert defaults.rate is None
    assert defaults == CleanerSettings(bytes_per_second=defaults.bytes_per_second)
    assert not math.isinf(defaults.bytes_per_second)


def test_topic_settings_follow_topic_and_broker() -> None:
    live, view = LiveConfig(config_of({"log.cleaner.delete.retention.ms": "5"})), ClusterView()
    policies = CompactionPolicies(live, view)
    assert policies("t") is None
    view.set_topics({"t": topic(min_compaction_lag_ms="3", max_compaction_lag_ms="9")})
    first = policies("t")
    assert first == CompactionPolicy(min_dirty_ratio=0.5, min_lag_ms=3, max_lag_ms=9, delete_retention_ms=5)
    assert policies("t") is first
    live.adopt(cluster={"log.cleaner.min.cleanable.ratio": "0.2"}, broker={})
    second = policies("t")
    assert second is not None and second.min_dirty_ratio == 0.2
    view.set_topics({"t": topic(min_cleanable_dirty_ratio="0.9", min_compaction_lag_ms="3")})
    third = policies("t")
    assert third is not None and third.min_dirty_ratio == 0.9
    # A default that does not go with the topic's own setting gives way to it.
    live.adopt(cluster={"log.cleaner.max.compaction.lag.ms": "2"}, broker={})
    fourth = policies("t")
    assert fourth is not None and (fourth.min_lag_ms, fourth.max_lag_ms) == (3, 3)
    view.set_topics({})
    assert policies("t") is None
