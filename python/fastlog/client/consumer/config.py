"""How a consumer works; names as in Kafka's consumer configuration. Sizes in bytes, times in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fastlog.client.client_config import ClientConfig, ClientOptions, check_least
from fastlog.client.option_checks import build
from fastlog.errors import ConfigError

__all__ = ["ASSIGNOR_NAMES", "ConsumerConfig", "ConsumerOptions", "ReaderConfig"]

ASSIGNOR_NAMES: Final = ("range", "roundrobin", "sticky", "cooperative-sticky")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderConfig:
    """How assigned partitions are read. Raises ConfigError for values that cannot work."""

    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    """read_committed: only records of committed transactions, up to the first open one."""
    auto_offset_reset: Literal["earliest", "latest", "none"] = "none"
    """Where to go on when the position is not in the log (any more); "none" raises."""
    fetch_min_bytes: int = 1
    """A broker answers when it has this much, or after `fetch_max_wait_ms`."""
    fetch_max_wait_ms: int = 500
    fetch_max_bytes: int = 16 * 1024 * 1024
    """Per request, that is, per broker. A single batch may be larger."""
    max_partition_fetch_bytes: int = 1024 * 1024
    request_timeout_ms: int = 30_000
    retry_timeout_ms: int | None = 60_000
    """How long a partition may have no reachable leader before that is an error. None: for ever."""
    client_rack: str = ""
    """Where this client is: brokers may send it to a replica there (KIP-392)."""

    def __post_init__(self) -> None:
        if self.isolation_level not in ("read_uncommitted", "read_committed"):
            raise ConfigError("isolation.level", f"{self.isolation_level!r} is not known")
        if self.auto_offset_reset not in ("earliest", "latest", "none"):
            raise ConfigError("auto.offset.reset", f"{self.auto_offset_reset!r} is not known")

    @property
    def read_committed(self) -> bool:
        """Whether only committed records are wanted."""
        return self.isolation_level == "read_committed"


class ConsumerOptions(ClientOptions, total=False):
    """The keywords of `ConsumerConfig`, for type checkers and editors; a test compares the two."""

    group_id: str | None
    group_instance_id: str | None
    group_protocol: Literal["classic", "consumer"]
    group_remote_assignor: str | None
    partition_assignment_strategy: str | Sequence[str]
    session_timeout_ms: int
    heartbeat_interval_ms: int
    max_poll_interval_ms: int
    max_poll_records: int
    enable_auto_commit: bool
    auto_commit_interval_ms: int
    auto_offset_reset: Literal["earliest", "latest", "none"]
    isolation_level: Literal["read_uncommitted", "read_committed"]
    fetch_min_bytes: int
    fetch_max_wait_ms: int
    fetch_max_bytes: int
    max_partition_fetch_bytes: int
    client_rack: str
    metadata_max_age_ms: int
    default_api_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerConfig(ClientConfig):
    """Sizes in bytes, times in milliseconds. Raises ConfigError for values that cannot work."""

    group_id: str | None = None
    """The group whose offsets are committed, and in which partitions are shared out."""
    group_instance_id: str | None = None
    """Makes the member a static one, whose partitions wait for it while it restarts (KIP-345)."""
    group_protocol: Literal["classic", "consumer"] = "classic"
    """consumer: the protocol of KIP-848, in which the coordinator assigns."""
    group_remote_assignor: str | None = None
    """The coordinator's assignor with group_protocol=consumer; None: the coordinator's choice."""
    partition_assignment_strategy: str | Sequence[str] = ("range", "cooperative-sticky")
    """Assignors in order of preference: range, roundrobin, sticky, cooperative-sticky."""
    session_timeout_ms: int = 45_000
    """After which a member that shows no sign of life is out of the group."""
    heartbeat_interval_ms: int = 3000
    """Between signs of life; with group_protocol=consumer the coordinator says how long."""
    max_poll_interval_ms: int = 300_000
    """How long the caller may take between two polls before the member leaves the group."""
    max_poll_records: int = 500
    """Most records of one poll that brings no limit of its own."""
    enable_auto_commit: bool = True
    """Commits what earlier polls have handed out, in polls, before partitions go, and at the end."""
    auto_commit_interval_ms: int = 5000
    """Between two of these."""
    auto_offset_reset: Literal["earliest", "latest", "none"] = "latest"
    """Where to start without a committed offset, or when it is not in the log; none: raises."""
    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    """read_committed: only records of committed transactions, up to the first open one."""
    fetch_min_bytes: int = 1
    """A broker answers when it has this much, or after `fetch_max_wait_ms`."""
    fetch_max_wait_ms: int = 500
    """How long a broker may wait for `fetch_min_bytes`."""
    fetch_max_bytes: int = 50 * 1024 * 1024
    """Per request, that is, per broker. A single batch may be larger."""
    max_partition_fetch_bytes: int = 1024 * 1024
    """Per partition in a request."""
    client_rack: str = ""
    """Where this client is: brokers may send it to a replica there (KIP-392)."""
    metadata_max_age_ms: int = 300_000
    """After which topics are looked at again, to see new ones and new partitions."""
    default_api_timeout_ms: int = 60_000
    """How long a call may take that has no time-out of its own."""

    def __post_init__(self) -> None:
        ClientConfig.__post_init__(self)
        self.reader()
        for name in self.assignors:
            if name not in ASSIGNOR_NAMES:
                text = f"{name!r} is none of {', '.join(ASSIGNOR_NAMES)}"
                raise ConfigError("partition.assignment.strategy", text)
        if not self.assignors:
            raise ConfigError("partition.assignment.strategy", "names no assignor")
        if self.group_protocol not in ("classic", "consumer"):
            raise ConfigError("group.protocol", f"{self.group_protocol!r} is not classic or consumer")
        if self.group_id == "":
            raise ConfigError("group.id", "is empty")
        if self.group_instance_id is not None and self.group_id is None:
            raise ConfigError("group.instance.id", "needs a group.id")
        check_least(
            {
                "session.timeout.ms": (self.session_timeout_ms, 1),
                "heartbeat.interval.ms": (self.heartbeat_interval_ms, 1),
                "max.poll.interval.ms": (self.max_poll_interval_ms, 1),
                "max.poll.records": (self.max_poll_records, 1),
                "auto.commit.interval.ms": (self.auto_commit_interval_ms, 0),
                "fetch.min.bytes": (self.fetch_min_bytes, 0),
                "fetch.max.wait.ms": (self.fetch_max_wait_ms, 0),
                "fetch.max.bytes": (self.fetch_max_bytes, 1),
                "max.partition.fetch.bytes": (self.max_partition_fetch_bytes, 1),
                "metadata.max.age.ms": (self.metadata_max_age_ms, 1),
                "default.api.timeout.ms": (self.default_api_timeout_ms, 1),
            }
        )
        if self.group_protocol == "classic" and self.heartbeat_interval_ms >= self.session_timeout_ms:
            raise ConfigError("heartbeat.interval.ms", "must be less than session.timeout.ms")

    @property
    def assignors(self) -> tuple[str, ...]:
        """The names of `partition_assignment_strategy`."""
        given = self.partition_assignment_strategy
        names = given.split(",") if isinstance(given, str) else given
        return tuple(name.strip() for name in names if name.strip())

    def reader(self) -> ReaderConfig:
        """How assigned partitions are read."""
        return ReaderConfig(
            isolation_level=self.isolation_level,
            auto_offset_reset=self.auto_offset_reset,
            fetch_min_bytes=self.fetch_min_bytes,
            fetch_max_wait_ms=self.fetch_max_wait_ms,
            fetch_max_bytes=self.fetch_max_bytes,
            max_partition_fetch_bytes=self.max_partition_fetch_bytes,
            request_timeout_ms=self.request_timeout_ms,
            retry_timeout_ms=None,
            client_rack=self.client_rack,
        )

    @classmethod
    def of(cls, options: Mapping[str, object], config: Mapping[str, object] | None) -> ConsumerConfig:
        """Out of keywords and dotted names. Raises ConfigError."""
        return build(cls, options, config)
