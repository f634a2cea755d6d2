"""What the metric families are read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.server.context import BrokerServices
    from fastlog.server.flow_control import RequestMemory
    from fastlog.server.observability.disk_space import DiskSpace
    from fastlog.server.observability.exposition import Family, Renderer
    from fastlog.server.observability.health import Health
    from fastlog.server.observability.loop_lag import LoopLag

__all__ = ["STRIDE", "Sources"]

STRIDE: Final = 64
"""How many partitions or groups are gone through between two looks at the time."""


@dataclass(slots=True)
class Sources:
    """Filled while the broker starts: what is None is not there yet.

    `more` are families of parts that not every broker has; each is asked at each scrape.
    """

    health: Health
    loop_lag: LoopLag
    renderer: Renderer
    services: BrokerServices | None = None
    request_memory: RequestMemory | None = None
    disks: DiskSpace | None = None
    more: list[Callable[[], list[Family]]] = field(default_factory=list)
