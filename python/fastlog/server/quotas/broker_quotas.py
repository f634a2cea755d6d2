"""All quotas of one broker: made of its configuration and of what is stored, and kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from fastlog.server.derived_settings import connection_limits, mutation_windows, quota_windows
from fastlog.server.quotas.client_quotas import ClientQuotas, Entity
from fastlog.server.quotas.connection_quotas import ConnectionQuotas

if TYPE_CHECKING:
    from fastlog.config import LiveConfig
    from fastlog.server.network.connection_table import ConnectionTable
    from fastlog.server.network.listener import BoundListener
    from fastlog.server.observability.metrics import BrokerMetrics

__all__ = ["BrokerQuotas"]


class BrokerQuotas:
    """Used on the event loop."""

    def __init__(self, live: LiveConfig, monotonic: Callable[[], float], metrics: BrokerMetrics) -> None:
        config = live.current
        windows = quota_windows(config)
        self.clients: Final = ClientQuotas(monotonic, windows, mutation_windows(config))
        self.connections: Final = ConnectionQuotas(
            monotonic, windows, connection_limits(config), metrics.connections_of
        )
        live.on_change(lambda _, after: self.connections.set_limits(connection_limits(after)))

    def put(self, entity: Entity, values: Mapping[str, float]) -> None:
        """What is stored of an entity is this from now on."""
        self.clients.put(entity, values)
        self.connections.put(entity, values)

    def watch(self, table: ConnectionTable, listeners: Sequence[BoundListener]) -> None:
        """Has connections that wait let in when others end, or limits change."""

        def go_on() -> None:
            for listener in listeners:
                listener.go_on()

        table.on_room = self.connections.on_change = go_on

    def sweep(self) -> None:
        """Forgets who has not been here for long. To be called now and then."""
        self.clients.sweep()
        self.connections.sweep()
