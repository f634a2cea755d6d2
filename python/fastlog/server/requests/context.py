"""What a handler gets to see: the broker's services and the circumstances of its request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastlog.base.quick_dataclass import dataclass

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.config import BrokerConfig, LiveConfig
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.coordination.groups.service import GroupService
    from fastlog.coordination.member.delegation_tokens import DelegationTokens
    from fastlog.coordination.member.member import Member
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.coordination.topic_admin import TopicAdmin
    from fastlog.net.dialer import Dialer
    from fastlog.replication.appender import Appender
    from fastlog.replication.isr_manager import IsrManager
    from fastlog.replication.purgatory import Purgatory
    from fastlog.replication.replica_manager import ReplicaManager
    from fastlog.server.access.asking import Access, Ask
    from fastlog.server.fetch.sessions import FetchSessionCache
    from fastlog.server.memory.response_memory import ResponseMemory
    from fastlog.server.network.session import Session
    from fastlog.server.observability.metrics import BrokerMetrics
    from fastlog.server.produce.settled import SettledWrites
    from fastlog.server.quotas.broker_quotas import BrokerQuotas
    from fastlog.server.requests.metadata_cache import MetadataCache
    from fastlog.server.requests.registry import Registry
    from fastlog.server.requests.searches import Searches
    from fastlog.server.requests.turns import Pace, Turns
    from fastlog.server.transactions import Transactions
    from fastlog.storage.io import IoLoop
    from fastlog.storage.log_manager import LogManager
    from fastlog.wire import RequestHeader


@dataclass(slots=True)
class BrokerServices:
    """Everything that handlers may use. Filled in one place: `fastlog.server.broker`."""

    live_config: LiveConfig
    clock: Clock
    loop: asyncio.AbstractEventLoop
    cluster: ClusterView
    topics: TopicAdmin
    producer_ids: ProducerIds
    groups: GroupService
    logs: LogManager
    io: IoLoop
    replicas: ReplicaManager
    in_sync_sets: IsrManager
    purgatory: Purgatory
    appender: Appender
    fetch_sessions: FetchSessionCache
    response_memory: ResponseMemory
    metadata_cache: MetadataCache
    metrics: BrokerMetrics
    registry: Registry
    turns: Turns
    searches: Searches
    member: Member
    quotas: BrokerQuotas
    dialer: Dialer
    """How other brokers are reached."""
    settled: SettledWrites
    """Produce requests about which nothing is to be decided."""
    transactions: Transactions | None = None
    """None: they are not offered."""
    access: Access | None = None
    """None: whoever is in may do everything."""
    tokens: DelegationTokens | None = None
    """Delegation tokens; None: there are none."""

    @property
    def config(self) -> BrokerConfig:
        """The configuration in force now; it may be another one at the next request."""
        return self.live_config.current


@dataclass(slots=True)
class RequestContext:
    """One decoded request: who asked, and the services to answer with.

    Work that grows with the request goes through `pace`.
    """

    broker: BrokerServices
    header: RequestHeader
    session: Session
    pace: Pace
    ask: Ask | None = None
    """What the client may do; None where everybody may do everything."""
