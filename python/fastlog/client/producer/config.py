"""How a producer works. Names and meanings are those of Kafka's producer configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from fastlog.client.client_config import ClientConfig, ClientOptions, check_least
from fastlog.client.option_checks import build
from fastlog.errors import ConfigError

__all__ = ["CODECS", "ProducerConfig", "ProducerOptions"]

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")


class ProducerOptions(ClientOptions, total=False):
    """The keywords of `ProducerConfig`, for type checkers and editors; a test compares the two."""

    acks: Literal[-1, 0, 1, "all"]
    enable_idempotence: bool | None
    compression_type: str
    compression_level: int | None
    batch_size: int
    linger_ms: float
    buffer_memory: int
    max_request_size: int
    max_in_flight_requests_per_connection: int
    delivery_timeout_ms: int
    retry_backoff_ms: float
    retry_backoff_max_ms: float
    max_block_ms: int
    allow_auto_create_topics: bool
    transactional_id: str | None
    transaction_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerConfig(ClientConfig):
    """Sizes in bytes, times in milliseconds. Raises ConfigError for values that cannot work."""

    acks: Literal[-1, 0, 1, "all"] = -1
    """-1 or "all": all replicas in sync have the record; 1: the leader has it; 0: no answer at all."""
    enable_idempotence: bool | None = None
    """Whether the broker recognizes retries. None: with acks=-1. Without it, a retry may write twice."""
    compression_type: str = "none"
    """none, gzip, snappy, lz4 or zstd."""
    compression_level: int | None = None
    """On the codec's own scale; None: its default."""
    batch_size: int = 256 * 1024
    """A batch is sent when it holds this much, before compression."""
    linger_ms: float = 5.0
    """A batch that is not full is sent after this time."""
    buffer_memory: int = 32 * 1024 * 1024
    """Records that are not acknowledged yet take at most this much; `send` waits for room."""
    max_request_size: int = 1024 * 1024
    """Limit of a request's records, and so of a single record, before compression."""
    max_in_flight_requests_per_connection: int = 5
    """Requests to one broker without an answer; at most 5 with idempotence."""
    delivery_timeout_ms: int = 120_000
    """How long a record may take from `send` to its acknowledgement, retries included."""
    retry_backoff_ms: float = 50
    """Wait after a failure; doubles with each further one, up to `retry_backoff_max_ms`."""
    retry_backoff_max_ms: float = 1000
    """The longest wait after a failure."""
    max_block_ms: int = 60_000
    """How long a record may wait for a topic's metadata or for room in the buffer before it is refused."""
    allow_auto_create_topics: bool = True
    """Lets the broker create topics that do not exist, where its configuration does too."""
    transactional_id: str | None = None
    """The name under which transactions outlive the process; None: no transactions."""
    transaction_timeout_ms: int = 60_000
    """How long a transaction may be open before its coordinator aborts it."""

    def __post_init__(self) -> None:
        ClientConfig.__post_init__(self)
        if self.acks == "all":
            object.__setattr__(self, "acks", -1)
        if self.acks not in (-1, 0, 1):
            raise ConfigError("acks", f"{self.acks} is not all (-1), 0 or 1")
        if self.enable_idempotence and self.acks != -1:
            raise ConfigError("enable.idempotence", "needs acks=all")
        if self.compression_type not in CODECS:
            raise ConfigError("compression.type", f"{self.compression_type!r} is none of {', '.join(CODECS)}")
        check_least(
            {
                "batch.size": (self.batch_size, 1),
                "linger.ms": (self.linger_ms, 0),
                "buffer.memory": (self.buffer_memory, 1),
                "max.request.size": (self.max_request_size, 1),
                "max.in.flight.requests.per.connection": (self.max_in_flight_requests_per_connection, 1),
                "delivery.timeout.ms": (self.delivery_timeout_ms, 1),
                "retry.backoff.ms": (self.retry_backoff_ms, 0),
                "retry.backoff.max.ms": (self.retry_backoff_max_ms, 0),
                "max.block.ms": (self.max_block_ms, 0),
                "transaction.timeout.ms": (self.transaction_timeout_ms, 1),
            }
        )
        if self.idempotent and self.max_in_flight_requests_per_connection > 5:
            # A broker remembers the last five batches of a producer, no more.
            raise ConfigError("max.in.flight.requests.per.connection", "must be at most 5 with idempotence")
        if self.transactional_id is not None and not self.idempotent:
            raise ConfigError("transactional.id", "needs acks=all and idempotence")

    @property
    def idempotent(self) -> bool:
        """Whether batches carry a producer id and sequence numbers."""
        return self.acks == -1 if self.enable_idempotence is None else self.enable_idempotence

    @property
    def acks_number(self) -> int:
        """-1, 0 or 1."""
        return int(self.acks)

    @classmethod
    def of(cls, options: Mapping[str, object], config: Mapping[str, object] | None) -> ProducerConfig:
        """Out of keywords and dotted names. Raises ConfigError."""
        return build(cls, options, config)
