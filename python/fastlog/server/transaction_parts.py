"""The coordinator of transactions of a broker, tied to the other parts.

It is there if there is a writer of markers: without one no transaction would ever end, so none are offered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fastlog.coordination.features import TRANSACTION_VERSION
from fastlog.coordination.transactions.completions import MarkerTarget, MarkerWriter
from fastlog.coordination.transactions.marker_targets import LocalTarget, RemoteTarget
from fastlog.coordination.transactions.markers import MissingTopics
from fastlog.coordination.transactions.service import TransactionService
from fastlog.coordination.transactions.verification import CoordinatorVerifier
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.replication.partition import PartitionKey

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Supervisor
    from fastlog.config import LiveConfig
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.coordination.topic_admin import TopicAdmin
    from fastlog.replication.appender import Appender
    from fastlog.replication.replica_manager import ReplicaManager
    from fastlog.server.requests.context import BrokerServices

MakeMarkerWriter: TypeAlias = "Callable[[BrokerServices], MarkerWriter]"
"""Makes the leader's side of markers, out of the parts of a broker."""


@dataclass(slots=True)
class TransactionParts:
    """What is made of it."""

    service: TransactionService
    verifier: CoordinatorVerifier
    writer: MarkerWriter | None = None
    """Made last: it needs all other parts."""

    def take_offline(self, _: Path, __: str, partitions: Sequence[PartitionKey]) -> None:
        """Partitions of a directory that has failed are not served any more."""
        for topic, partition in partitions:
            self.service.on_partition_resigned(topic, partition)

    async def close(self) -> None:
        """Ends all of it."""
        await self.service.close()
        await self.verifier.close()


def transaction_parts(
    *,
    node_id: int,
    live: LiveConfig,
    view: ClusterView,
    topics: TopicAdmin,
    replicas: ReplicaManager,
    appender: Appender,
    producer_ids: ProducerIds,
    clock: Clock,
    tasks: Supervisor,
    missing_topics: MissingTopics | None,
) -> TransactionParts:
    """Makes coordinator and verifier; the writer of markers comes later."""

    def address(broker: int) -> tuple[str, int]:
        listener = live.current.listeners.inter_broker
        for info in view.snapshot.brokers:
            if info.id == broker and listener in info.endpoints:
                return info.endpoints[listener]
        raise KafkaError(ErrorCode.BROKER_NOT_AVAILABLE, f"broker {broker} is not reached over {listener}")

    def target_of(broker: int) -> MarkerTarget:
        if broker != node_id:
            return RemoteTarget(lambda: address(broker), client_id=f"broker-{node_id}-txn-marker-sender")
        if parts.writer is None:
            raise FastlogError("markers are written when the broker has started")
        return LocalTarget(parts.writer)

    service = TransactionService(
        view=view,
        topics=topics,
        replicas=replicas,
        appender=appender,
        producer_ids=producer_ids,
        clock=clock,
        config=lambda: live.current,
        tasks=tasks,
        target_of=target_of,
        missing_topics=missing_topics,
        level=lambda: view.features.get(TRANSACTION_VERSION.name, 0),
    )
    verifier = CoordinatorVerifier(node_id=node_id, view=view, service=service, address=address)
    parts = TransactionParts(service, verifier)
    return parts
