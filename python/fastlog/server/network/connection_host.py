"""What the connections of one listener share: limits, budgets, and whom they hand their requests to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from fastlog.base.quick_dataclass import dataclass

if TYPE_CHECKING:
    from fastlog.native import Frame
    from fastlog.replication.purgatory import Purgatory
    from fastlog.server.memory.answer_memory import AnswerMemory
    from fastlog.server.memory.work_memory import WorkMemory
    from fastlog.server.network.connection import Connection
    from fastlog.server.network.connection_table import ConnectionTable
    from fastlog.server.network.encrypted_sender import Copy
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.network.file_sender import Send
    from fastlog.server.network.flow_control import FlowLimits, RequestMemory
    from fastlog.server.network.receiving import Receiving
    from fastlog.server.network.session import ListenerIdentity
    from fastlog.server.network.tls_layer import TlsListener
    from fastlog.server.observability.metrics import BrokerMetrics
    from fastlog.server.produce.settled import SettledWrites


class ClosedConnectionLog(Protocol):
    """Told why the broker itself closes a connection."""

    def __call__(self, connection: Connection, reason: str, detail: object) -> None:
        """`reason` is one of a few words, `detail` is for people."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionHost:
    """What the connections of one listener share."""

    listener: ListenerIdentity
    monotonic: Callable[[], float]
    limits: FlowLimits
    memory: RequestMemory
    work: WorkMemory
    answers: AnswerMemory
    table: ConnectionTable
    purgatory: Purgatory
    metrics: BrokerMetrics
    dispatch: Callable[[Frame, Exchange], None]
    log_closed: ClosedConnectionLog
    send: Send
    copy: Copy
    tls: TlsListener | None = None
    receiving: Receiving | None = None
    """What reads from the sockets; None where asyncio does."""
    settled: SettledWrites | None = None
    """What executes requests about which nothing is to be decided; None where it is asked who is there."""
