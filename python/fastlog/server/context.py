"""What a handler gets to see: the broker's services and the circumstances of its request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastlog.clock import Clock
    from fastlog.config import BrokerConfig, LiveConfig
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.coordination.groups.service import GroupService
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.coordination.topics import TopicService
    from fastlog.replication.committer import GroupCommitter
    from fastlog.replication.manager import ReplicaManager
    from fastlog.replication.purgatory import Purgatory
    from fastlog.server.fetch_sessions import FetchSessionCache
    from fastlog.server.metadata_cache import MetadataCache
    from fastlog.server.metrics import BrokerMetrics
    from fastlog.server.registry import Registry
    from fastlog.server.response_memory import ResponseMemory
    from fastlog.storage.io import IoLoop
    from fastlog.storage.manager import LogManager
    from fastlog.wire import RequestHeader

ANONYMOUS = "User:ANONYMOUS"
"""The principal of a connection that did not authenticate, as Kafka writes it."""


@dataclass(slots=True)
class BrokerServices:
    """Everything that handlers may use. Filled in one place: `fastlog.server.broker`."""

    live_config: LiveConfig
    clock: Clock
    loop: asyncio.AbstractEventLoop
    cluster: ClusterView
    topics: TopicService
    producer_ids: ProducerIds
    groups: GroupService
    logs: LogManager
    io: IoLoop
    replicas: ReplicaManager
    purgatory: Purgatory
    committer: GroupCommitter
    fetch_sessions: FetchSessionCache
    response_memory: ResponseMemory
    metadata_cache: MetadataCache
    metrics: BrokerMetrics
    registry: Registry

    @property
    def config(self) -> BrokerConfig:
        """The configuration in force now; it may be another one at the next request."""
        return self.live_config.current


@dataclass(slots=True)
class RequestContext:
    """One decoded request: who asked, on which listener, and the services to answer with."""

    broker: BrokerServices
    header: RequestHeader
    listener: str
    peer: str
    principal: str = ANONYMOUS
