"""The coordinator of transactions of a broker, tied to the other parts.

Whoever imports it imports all that transactions take: that is for a thread (`server/transactions`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastlog.coordination.features import TRANSACTION_VERSION
from fastlog.coordination.transactions.completions import MarkerTarget, MarkerWriter
from fastlog.coordination.transactions.marker_targets import LocalTarget, RemoteTarget
from fastlog.coordination.transactions.markers import MissingTopics
from fastlog.coordination.transactions.service import TransactionService
from fastlog.coordination.transactions.verification import CoordinatorVerifier
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.produce.markers import LeaderMarkers

if TYPE_CHECKING:
    from fastlog.base.tasks import Supervisor
    from fastlog.net.link import Link
    from fastlog.server.requests.context import BrokerServices
    from fastlog.server.transactions import MakeMarkerWriter

PATIENCE_SECONDS: Final = 0.02
"""Clients that are told CONCURRENT_TRANSACTIONS come again after so long."""

__all__ = ["LeaderMarkers", "TransactionParts", "transaction_parts"]


@dataclass(slots=True)
class TransactionParts:
    """What is made of it."""

    service: TransactionService
    verifier: CoordinatorVerifier
    """What Produce and TxnOffsetCommit ask before they take what is transactional."""
    writer: MarkerWriter
    """Who writes markers to the partitions that this broker leads."""
    refusals: Counter[ErrorCode] = field(default_factory=Counter)
    """Partitions that were found to be in no transaction, or could not be asked for, by code."""

    async def close(self) -> None:
        """Ends all of it."""
        await self.service.close()
        await self.verifier.close()


def transaction_parts(
    broker: BrokerServices,
    *,
    tasks: Supervisor,
    missing_topics: MissingTopics | None,
    marker_writer: MakeMarkerWriter,
) -> TransactionParts:
    """Makes coordinator, verifier and writer of markers. `broker` is complete but for them."""
    view, live, node_id = broker.cluster, broker.live_config, broker.replicas.node_id

    def address(broker_id: int) -> tuple[str, int]:
        listener = live.current.listeners.inter_broker
        for info in view.snapshot.brokers:
            if info.id == broker_id and listener in info.endpoints:
                return info.endpoints[listener]
        raise KafkaError(ErrorCode.BROKER_NOT_AVAILABLE, f"broker {broker_id} is not reached over {listener}")

    def target_of(broker_id: int) -> MarkerTarget:
        if broker_id != node_id:
            client_id = f"broker-{node_id}-txn-marker-sender"
            return RemoteTarget(lambda: address(broker_id), client_id=client_id, open_link=open_link)
        return LocalTarget(writer)

    async def open_link(host: str, port: int, *, client_id: str, timeout: float) -> Link:  # noqa: ASYNC109
        listener = live.current.listeners.inter_broker
        return await broker.dialer.link(listener, host, port, client_id=client_id, timeout=timeout)

    writer = marker_writer(broker)
    service = TransactionService(
        view=view,
        topics=broker.topics,
        replicas=broker.replicas,
        appender=broker.appender,
        producer_ids=broker.producer_ids,
        clock=broker.clock,
        config=lambda: live.current,
        tasks=tasks,
        target_of=target_of,
        missing_topics=missing_topics,
        patience=PATIENCE_SECONDS,
        level=lambda: view.features.get(TRANSACTION_VERSION.name, 0),
    )
    verifier = CoordinatorVerifier(
        node_id=node_id, view=view, service=service, address=address, open_link=open_link
    )
    return TransactionParts(service, verifier, writer)
