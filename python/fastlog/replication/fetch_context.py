"""What the fetchers of a broker share: who it is, its logs and threads, its settings, and what they count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from fastlog.base.quick_dataclass import dataclass
from fastlog.replication.partition import PartitionKey

if TYPE_CHECKING:
    from fastlog.native import FetchReply, Frame, Log
    from fastlog.native.shapes import ReplicateResult, ReplicateRow
    from fastlog.storage.truncation import Truncations
    from fastlog.wire import Request, Response

Address = tuple[str, int]
"""(host, port)."""


class Appends(Protocol):
    """The part of `IoLoop` that fetchers use."""

    def replicate(self, reply: FetchReply, rows: list[ReplicateRow]) -> asyncio.Future[list[ReplicateResult]]:
        """Appends rows of a leader's answer."""
        ...

    def commit(self, log: Log) -> asyncio.Future[int]:
        """Makes what was appended durable; the result is the end offset of that."""
        ...


class LeaderConnection(Protocol):
    """The part of a `Connection` that fetchers use. Both raise ClientError."""

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        ...

    @property
    def is_due(self) -> bool:
        """Whether another one should take its place."""
        ...

    async def ask(self, message: Request, version: int, *, timeout: float) -> Frame:  # noqa: ASYNC109
        """The frame of the answer."""
        ...

    async def call(self, message: Request, version: int, *, timeout: float) -> Response:  # noqa: ASYNC109
        """The answer."""
        ...

    async def close(self) -> None:
        """Ends it."""
        ...


class Connect(Protocol):
    """Opens a connection to a leader's listener. Raises ClientError."""

    async def __call__(self, host: str, port: int, client_id: str, seconds: float) -> LeaderConnection:
        """One request in flight; within `seconds`."""
        ...


async def connect(host: str, port: int, client_id: str, seconds: float) -> LeaderConnection:
    """`Connect` without encryption."""
    from fastlog.net.opening import open_connection

    return await open_connection(host, port, client_id=client_id, timeout=seconds, max_in_flight=1)


class Throttle(Protocol):
    """Limits what replicas that are not in sync fetch (KIP-73)."""

    def covers(self, key: PartitionKey) -> bool:
        """Whether the own replica of a partition is throttled."""
        ...

    def took(self, size: int) -> float:
        """So many bytes of such a replica have come. Seconds that it has to pause now, 0 for none."""
        ...


class FetchSettings(Protocol):
    """The part of a `BrokerConfig` that fetchers use; times in milliseconds."""

    @property
    def num_replica_fetchers(self) -> int:
        """Connections to each leader."""
        ...

    @property
    def replica_fetch_backoff_ms(self) -> int:
        """After an error."""
        ...

    @property
    def replica_fetch_max_bytes(self) -> int:
        """Of a partition."""
        ...

    @property
    def replica_fetch_min_bytes(self) -> int:
        """That an answer waits for."""
        ...

    @property
    def replica_fetch_response_max_bytes(self) -> int:
        """Of an answer."""
        ...

    @property
    def replica_fetch_wait_max_ms(self) -> int:
        """That it waits at most."""
        ...

    @property
    def replica_socket_timeout_ms(self) -> int:
        """For an answer, and for a connection."""
        ...


@dataclass(slots=True)
class FetcherStats:
    """What all fetchers of a broker have done since the start."""

    requests: int = 0
    bytes: int = 0
    """Record bytes of answers."""
    damaged: int = 0
    """Answers about a partition with a damaged batch."""
    truncations: int = 0
    connection_failures: int = 0
    failed: dict[PartitionKey, str] = field(default_factory=dict)
    """Partitions that are followed no more until another leader epoch, and why."""


async def _nothing(keys: Sequence[PartitionKey]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class FetchContext:
    """All of it. `monotonic` in seconds; `address_of` a leader's listener for brokers, None when unknown."""

    node_id: int
    broker_epoch: Callable[[], int]
    address_of: Callable[[int], Address | None]
    io: Appends
    truncations: Truncations
    monotonic: Callable[[], float]
    settings: Callable[[], FetchSettings]
    note_write: Callable[[PartitionKey], object] = lambda _: None
    """Told of each partition that was appended to."""
    keep_watermarks: Callable[[Sequence[PartitionKey]], Awaitable[object]] = _nothing
    """Writes down high watermarks of partitions that have fallen with their logs."""
    connect: Connect = connect
    throttle: Throttle | None = None
    stats: FetcherStats = field(default_factory=FetcherStats)
