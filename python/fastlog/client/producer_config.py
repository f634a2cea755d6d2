"""How a producer works. Names and meanings are those of Kafka's producer configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fastlog.errors import ConfigError

__all__ = ["CODECS", "ProducerConfig"]

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True, slots=True)
class ProducerConfig:
    """Sizes in bytes, times in milliseconds. Raises ConfigError for values that cannot work."""

    acks: Literal[-1, 0, 1] = -1
    """-1: all replicas in sync have the record; 1: the leader has it; 0: no answer at all."""
    enable_idempotence: bool | None = None
    """Whether the broker recognizes retries. None: with acks=-1. Without it, a retry may write twice."""
    compression_type: str = "none"
    compression_level: int | None = None
    batch_size: int = 64 * 1024
    """A batch is sent when it holds this much, before compression."""
    linger_ms: float = 5.0
    """A batch that is not full is sent after this time."""
    buffer_memory: int = 32 * 1024 * 1024
    """Records that are not acknowledged yet take at most this much; `send` waits for room."""
    max_request_size: int = 1024 * 1024
    """Limit of a request's records, and so of a single record, before compression."""
    max_in_flight_requests_per_connection: int = 5
    request_timeout_ms: int = 30_000
    """How long a broker may take for one answer."""
    delivery_timeout_ms: int = 120_000
    """How long a record may take from `send` to its acknowledgement, retries included."""
    retry_backoff_ms: float = 50
    """Wait after a failure; doubles with each further one, up to `retry_backoff_max_ms`."""
    retry_backoff_max_ms: float = 1000
    max_block_ms: int = 60_000
    """How long `send` may wait for a topic's metadata."""
    allow_auto_create_topics: bool = True
    """Lets the broker create topics that do not exist, where its configuration does too."""

    def __post_init__(self) -> None:
        if self.acks not in (-1, 0, 1):
            raise ConfigError("acks", f"{self.acks} is not -1 (all), 0 or 1")
        if self.enable_idempotence and self.acks != -1:
            raise ConfigError("enable.idempotence", "needs acks=all")
        if self.compression_type not in CODECS:
            raise ConfigError("compression.type", f"{self.compression_type!r} is none of {', '.join(CODECS)}")
        limits = {
            "batch.size": (self.batch_size, 1),
            "linger.ms": (self.linger_ms, 0),
            "buffer.memory": (self.buffer_memory, 1),
            "max.request.size": (self.max_request_size, 1),
            "max.in.flight.requests.per.connection": (self.max_in_flight_requests_per_connection, 1),
            "request.timeout.ms": (self.request_timeout_ms, 1),
            "delivery.timeout.ms": (self.delivery_timeout_ms, 1),
            "retry.backoff.ms": (self.retry_backoff_ms, 0),
            "retry.backoff.max.ms": (self.retry_backoff_max_ms, 0),
            "max.block.ms": (self.max_block_ms, 0),
        }
        for key, (value, lowest) in limits.items():
            if value < lowest:
                raise ConfigError(key, f"{value} is less than {lowest}")
        if self.idempotent and self.max_in_flight_requests_per_connection > 5:
            # A broker remembers the last five batches of a producer, no more.
            raise ConfigError("max.in.flight.requests.per.connection", "must be at most 5 with idempotence")

    @property
    def idempotent(self) -> bool:
        """Whether batches carry a producer id and sequence numbers."""
        return self.acks == -1 if self.enable_idempotence is None else self.enable_idempotence
