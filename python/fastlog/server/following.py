"""What a broker needs to follow others: fetchers, and the high watermarks that it keeps on its disks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.replication.fetchers import make_fetchers
from fastlog.replication.follower_throttle import FollowerThrottle
from fastlog.replication.leader_throttle import LeaderThrottle, ThrottleLimits
from fastlog.replication.watermarks import HighWatermarks

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Supervisor
    from fastlog.config import BrokerConfig, LiveConfig
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.net.dialer import Dialer
    from fastlog.replication.fetch_context import LeaderConnection
    from fastlog.replication.partition import Partition, PartitionKey
    from fastlog.replication.replica_manager import ReplicaManager
    from fastlog.storage.io import IoLoop
    from fastlog.storage.log_manager import LogManager


_THROTTLED_REPLICAS: Final = "follower.replication.throttled.replicas"
_THROTTLED_RATE: Final = "follower.replication.throttled.rate"
_LEADER_REPLICAS: Final = "leader.replication.throttled.replicas"
_LEADER_RATE: Final = "leader.replication.throttled.rate"


class Following:
    """`watermarks.load` before there are partitions, `replicas` when they are made, `start` with open logs.

    `broker_epoch` gives that of this broker's registration. Other brokers are reached over the listener that
    is theirs.
    """

    def __init__(
        self,
        live: LiveConfig,
        view: ClusterView,
        logs: LogManager,
        io: IoLoop,
        broker_epoch: Callable[[], int],
        clock: Clock,
        tasks: Supervisor,
        dialer: Dialer,
    ) -> None:
        self.replicas: ReplicaManager | None = None
        self._live = live
        self._view = view
        self._tasks = tasks
        self._dialer = dialer
        self.watermarks: Final = HighWatermarks(
            logs.directories,
            logs.table,
            logs.failures,
            self._find,
            lambda: 0 if self.replicas is None else self.replicas.advances,
            lambda: live.current.replica_high_watermark_checkpoint_interval_ms / 1000,
        )
        self.fetchers: Final = make_fetchers(
            live.current.node_id,
            broker_epoch=broker_epoch,
            address_of=self._address_of,
            io=io,
            logs=logs,
            watermarks=self.watermarks,
            clock=clock,
            tasks=tasks,
            settings=lambda: live.current,
            connect=self._connect,
            throttle=FollowerThrottle(
                live.current.node_id, self._throttled_replicas, self._throttled_rate, clock.monotonic
            ),
        )
        self._leader_limits = _leader_limits(live.current)
        self.leader_throttle: Final = LeaderThrottle(
            live.current.node_id,
            lambda topic: self._setting_of(topic, _LEADER_REPLICAS),
            lambda: self._leader_limits,
            clock.monotonic,
        )
        live.on_change(self._reconfigure)

    def start(self) -> None:
        """Begins to write high watermarks down."""
        self.watermarks.start(self._tasks)

    def _find(self, key: PartitionKey) -> Partition | None:
        return None if self.replicas is None else self.replicas.find(key)

    def _address_of(self, node_id: int) -> tuple[str, int] | None:
        listener = self._live.current.listeners.inter_broker
        for broker in self._view.snapshot.brokers:
            if broker.id == node_id:
                return broker.endpoints.get(listener)
        return None

    async def _connect(self, host: str, port: int, client_id: str, seconds: float) -> LeaderConnection:
        listener = self._live.current.listeners.inter_broker
        return await self._dialer.connection(listener, host, port, client_id=client_id, timeout=seconds)

    def _setting_of(self, topic: str, name: str) -> str:
        state = self._view.topics.get(topic)
        return "" if state is None else state.configs.get(name, "")

    def _throttled_replicas(self, topic: str) -> str:
        return self._setting_of(topic, _THROTTLED_REPLICAS)

    def _throttled_rate(self) -> int | None:
        rate = self._live.current.layers.value(_THROTTLED_RATE)
        return rate if isinstance(rate, int) else None

    def _reconfigure(self, before: BrokerConfig, after: BrokerConfig) -> None:
        self._leader_limits = _leader_limits(after)
        if before.num_replica_fetchers != after.num_replica_fetchers:
            self._tasks.run("resized-fetchers", self._resize)

    async def _resize(self) -> None:
        await self.fetchers.resize()


def _leader_limits(config: BrokerConfig) -> ThrottleLimits:
    rate = config.layers.value(_LEADER_RATE)
    return ThrottleLimits(
        rate if isinstance(rate, int) else None,
        config.replication_quota_window_num,
        config.replication_quota_window_size_seconds,
    )
