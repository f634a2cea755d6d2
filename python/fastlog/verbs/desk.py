"""Where verbs work: a cluster, whether it may be changed, and what is shown of its records."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Protocol, Self

from fastlog.client.cluster import Cluster
from fastlog.client.metadata import ClusterMetadata
from fastlog.client.security import PLAINTEXT, Security
from fastlog.verbs.decoders import Decoders
from fastlog.verbs.masks import Masks
from fastlog.verbs.problems import ReadOnly
from fastlog.verbs.read_only import ReadOnlyCluster

__all__ = ["Connection", "Desk", "History", "Note"]

_METADATA_SECONDS: Final = 2.0
"""How old the list of topics may be that several pages of a list are cut from."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How a cluster is reached. `timeout_ms` is the limit of each verb's requests."""

    bootstrap: str | Sequence[str]
    client_id: str = "fastlog-console"
    timeout_ms: int = 30_000
    security: Security = PLAINTEXT

    def cluster(self, *, allow_writes: bool) -> Cluster:
        """To be opened. Without `allow_writes` only questions leave it."""
        kind = Cluster if allow_writes else ReadOnlyCluster
        return kind(
            self.bootstrap,
            client_id=self.client_id,
            timeout_ms=self.timeout_ms,
            security=self.security,
        )


class History(Protocol):
    """What was measured of the cluster while a console ran. None: nothing is known (yet)."""

    def records_per_second(self, topic: str) -> float | None:
        """Of the last interval."""

    def size_bytes(self, topic: str) -> int | None:
        """Of the leaders' replicas, as of the last look."""

    def group_lag(self, group: str) -> int | None:
        """Records, over all partitions."""

    def topic_groups(self, topic: str) -> Sequence[str]:
        """Groups that have committed offsets of the topic."""

    def topic_lag(self, topic: str) -> int | None:
        """Records that these groups have not read yet, together."""

    def lag_seconds(self, topic: str, partition: int, offset: int) -> float | None:
        """How long ago the log's end was at this offset."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the audit log: who did what, and what came of it. `outcome` is done, failed or refused."""

    at_ms: int
    who: str
    verb: str
    arguments: dict[str, Any]
    outcome: str
    error: str | None = None


@dataclass(slots=True)
class _Metadata:
    at: float = 0.0
    found: ClusterMetadata | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """An open cluster for one event loop, and the limits of whoever works there."""

    connection: Connection
    cluster: Cluster
    allow_writes: bool = False
    who: str = "local"
    audit: Callable[[Note], None] | None = None
    masks: Masks = field(default_factory=Masks)
    decoders: Decoders = field(default_factory=Decoders)
    history: History | None = None
    _metadata: _Metadata = field(default_factory=_Metadata)

    @classmethod
    async def open(cls, connection: Connection, *, allow_writes: bool = False, **more: Any) -> Self:
        """Opens the cluster. Raises ClientError, Unreachable among them; ConfigError."""
        cluster = connection.cluster(allow_writes=allow_writes)
        try:
            await cluster.open()
        except BaseException:
            await cluster.close()
            raise
        return cls(connection, cluster, allow_writes, **more)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self.cluster.close()

    def of(self, who: str) -> Desk:
        """The same desk in the name of somebody, for the audit log."""
        return replace(self, who=who)

    def check_may_write(self, verb: str) -> None:
        """Raises ReadOnly."""
        if not self.allow_writes:
            raise ReadOnly(
                f"{verb} changes something, and this desk may only look: start with --allow-writes"
            )

    def note(self, verb: str, arguments: dict[str, Any], outcome: str, error: str | None = None) -> None:
        """Adds a line to the audit log, where there is one."""
        if self.audit is not None:
            self.audit(Note(time.time_ns() // 1_000_000, self.who, verb, arguments, outcome, error))

    async def metadata(self, *, fresh: bool = False) -> ClusterMetadata:
        """All topics, not older than two seconds: who turns pages does not have them all sent each time."""
        kept, now = self._metadata, time.monotonic()
        if fresh or kept.found is None or now - kept.at > _METADATA_SECONDS:
            kept.found, kept.at = await self.cluster.metadata(), now
        return kept.found
