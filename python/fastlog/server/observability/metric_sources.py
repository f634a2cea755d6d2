"""What the metric families are read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass

if TYPE_CHECKING:
    from fastlog.base.tasks import Supervisor
    from fastlog.replication.fetchers import FetcherManager
    from fastlog.server.network.flow_control import RequestMemory
    from fastlog.server.observability.disk_space import DiskSpace
    from fastlog.server.observability.exposition import Renderer
    from fastlog.server.observability.health import Health
    from fastlog.server.observability.loop_lag import LoopLag
    from fastlog.server.requests.context import BrokerServices

__all__ = ["STRIDE", "Sources"]

STRIDE: Final = 64
"""How many partitions or groups are gone through between two looks at the time."""


@dataclass(slots=True)
class Sources:
    """Filled while the broker starts: what is None is not there yet."""

    health: Health
    loop_lag: LoopLag
    renderer: Renderer
    tasks: Supervisor
    services: BrokerServices | None = None
    request_memory: RequestMemory | None = None
    disks: DiskSpace | None = None
    fetchers: FetcherManager | None = None
    """None on a broker that is alone."""
