"""A topic's configuration: its overrides over the broker's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, TypedDict

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.definitions.own import DURABILITY
from fastlog.config.layers import Layers
from fastlog.config.topic_defaults import UNBOUNDED, topic_default
from fastlog.config.types import Value
from fastlog.errors import ConfigError, ErrorCode, KafkaError

__all__ = ["LogConfigArguments", "TopicConfig"]


class LogConfigArguments(TypedDict):
    """Keyword arguments of `fastlog.native.LogConfig`."""

    segment_bytes: int
    segment_ms: int
    segment_jitter_ms: int
    index_interval_bytes: int
    index_max_bytes: int
    flush_messages: int
    flush_ms: int
    retention_ms: int
    retention_bytes: int
    file_delete_delay_ms: int
    max_message_bytes: int
    timestamp_type: str
    timestamp_before_max_ms: int
    timestamp_after_max_ms: int
    compact: bool
    delete: bool
    compression: str
    compression_level: int | None
    preallocate: bool
    producer_id_expiration_ms: int


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """All topic-level values in force. `overrides` are the topic's own, as text."""

    overrides: Mapping[str, str]
    values: Mapping[str, Value]
    problems: tuple[str, ...] = ()
    """Why some of what is stored is not in force as it stands (see `in_force`)."""

    @staticmethod
    def validate(overrides: Mapping[str, str | None], layers: Layers) -> None:
        """Checks a topic's overrides. Raises KafkaError(INVALID_CONFIG) with a text for the client."""
        TopicConfig.effective(overrides, layers)

    @classmethod
    def effective(cls, overrides: Mapping[str, str | None], layers: Layers) -> Self:
        """The values that `overrides` and the broker's defaults add up to. Raises as `validate`."""
        question = (cls.effective, frozenset(overrides.items()))
        return layers.derived(question, lambda: cls._effective(overrides, layers))

    @classmethod
    def _effective(cls, overrides: Mapping[str, str | None], layers: Layers) -> Self:
        own: dict[str, str] = {}
        try:
            values = {name: topic_default(name, layers) for name in TOPIC_KEYS}
            for name, text in overrides.items():
                if name not in TOPIC_KEYS:
                    raise _unknown(name)
                if text is None:
                    raise ConfigError(name, "has no value")
                values[name] = TOPIC_KEYS[name].key.parse(text)
                own[name] = text
            _check_together(values)
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from None
        return cls(own, values)

    @classmethod
    def in_force(cls, overrides: Mapping[str, str], layers: Layers) -> Self:
        """The same for overrides that were accepted once: raises nothing, and notes `problems`.

        A default of the broker that was changed since may contradict them, and another version may have
        stored keys or values that this one does not know: those count for nothing here, and stay stored.
        """
        question = (cls.in_force, frozenset(overrides.items()))
        return layers.derived(question, lambda: cls._in_force(overrides, layers))

    @classmethod
    def _in_force(cls, overrides: Mapping[str, str], layers: Layers) -> Self:
        own: dict[str, str] = {}
        values = {name: topic_default(name, layers) for name in TOPIC_KEYS}
        problems = []
        for name, text in overrides.items():
            try:
                if name not in TOPIC_KEYS:
                    raise _unknown(name)
                values[name] = TOPIC_KEYS[name].key.parse(text)
                own[name] = text
            except ConfigError as error:
                problems.append(str(error))
        try:
            _check_together(values)
        except ConfigError as error:
            problems.append(str(error))
        return cls(own, values, tuple(problems))

    @property
    def fsync(self) -> bool:
        """Whether writes are acknowledged only once they are on the disk."""
        return self.values[DURABILITY] == "fsync"

    @property
    def min_insync_replicas(self) -> int:
        """In-sync replicas that acks=all needs."""
        return self._int("min.insync.replicas")

    @property
    def min_cleanable_dirty_ratio(self) -> float:
        """Share of a log's bytes that must be uncompacted to make it worth compacting."""
        value = self.values["min.cleanable.dirty.ratio"]
        return float(value) if isinstance(value, (int, float)) else 0.5

    @property
    def min_compaction_lag_ms(self) -> int:
        """Age before which a record is not compacted."""
        return self._int("min.compaction.lag.ms")

    @property
    def max_compaction_lag_ms(self) -> int:
        """Age at which a record must have been compacted; never below `min_compaction_lag_ms`, which wins."""
        return max(self._int("max.compaction.lag.ms"), self.min_compaction_lag_ms)

    @property
    def delete_retention_ms(self) -> int:
        """How long tombstones, and markers of transactions, outlive the compaction that meets them."""
        return self._int("delete.retention.ms")

    def log_config(self, *, producer_id_expiration_ms: int) -> LogConfigArguments:
        """The same as keyword arguments of `fastlog.native.LogConfig`."""
        policy = self.values["cleanup.policy"]
        policies = policy if isinstance(policy, tuple) else ()
        before, after = (self._timestamp_bound(side) for side in ("before", "after"))
        codec = self._text("compression.type")
        level = self.values.get(f"compression.{codec}.level")
        return LogConfigArguments(
            segment_bytes=self._int("segment.bytes"),
            segment_ms=self._segment_ms("compact" in policies),
            segment_jitter_ms=self._int("segment.jitter.ms"),
            index_interval_bytes=self._int("index.interval.bytes"),
            index_max_bytes=self._int("segment.index.bytes"),
            flush_messages=self._int("flush.messages"),
            flush_ms=self._int("flush.ms"),
            retention_ms=self._int("retention.ms"),
            retention_bytes=self._int("retention.bytes"),
            file_delete_delay_ms=self._int("file.delete.delay.ms"),
            max_message_bytes=self._int("max.message.bytes"),
            timestamp_type=self._text("message.timestamp.type"),
            timestamp_before_max_ms=before,
            timestamp_after_max_ms=after,
            compact="compact" in policies,
            delete="delete" in policies,
            compression=codec,
            # -1 is Kafka's word for "the default of the codec".
            compression_level=level if isinstance(level, int) and level != -1 else None,
            preallocate=self.values["preallocate"] is True,
            producer_id_expiration_ms=producer_id_expiration_ms,
        )

    def _segment_ms(self, compact: bool) -> int:
        """What is in the active segment is never compacted, so max.compaction.lag.ms closes it in time."""
        configured = self._int("segment.ms")
        return min(configured, self.max_compaction_lag_ms) if compact else configured

    def _timestamp_bound(self, side: str) -> int:
        """The newer key, unless it is at its default: then the older one speaks for both sides (KIP-937)."""
        bound = self._int(f"message.timestamp.{side}.max.ms")
        return self._int("message.timestamp.difference.max.ms") if bound == UNBOUNDED else bound

    def _int(self, name: str) -> int:
        value = self.values[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is not a number: {value!r}")
        return value

    def _text(self, name: str) -> str:
        return str(self.values[name])


def _unknown(name: str) -> ConfigError:
    import difflib  # only needed on the way to an error

    candidates = {synonym: key for key, entry in TOPIC_KEYS.items() for synonym in entry.synonyms}
    near = candidates.get(name)
    if near is None:
        found = difflib.get_close_matches(name, TOPIC_KEYS, n=1, cutoff=0.7)
        near = found[0] if found else None
    return ConfigError(name, "unknown topic config" + (f"; did you mean {near}?" if near else ""))


def _check_together(values: Mapping[str, Value]) -> None:
    """Rules that involve more than one key (`LogConfig.validateValues` and its tiered storage checks)."""
    low, high = values["min.compaction.lag.ms"], values["max.compaction.lag.ms"]
    if isinstance(low, int) and isinstance(high, int) and low > high:
        raise ConfigError("min.compaction.lag.ms", f"{low} is above max.compaction.lag.ms of {high}")
    for name in ("remote.storage.enable", "remote.log.copy.disable", "remote.log.delete.on.disable"):
        if values[name] is True:
            raise ConfigError(name, "cannot be true: tiered storage is not supported")
