"""What topics are made of: the parts of a broker that whoever changes its topics works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.features import KNOWN
from fastlog.coordination.znodes import feature_node
from fastlog.coordination.znodes.node_json import encode_broker

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.config import LiveConfig
    from fastlog.coordination.cluster_view import BrokerInfo, ClusterView
    from fastlog.replication.local_partitions import LocalPartitions
    from fastlog.replication.replica_manager import ReplicaManager
    from fastlog.server.configs_in_force import ConfigsInForce
    from fastlog.storage.log_manager import LogManager


@dataclass(frozen=True, slots=True)
class TopicParts:
    """Filled in one place: `fastlog.server.broker`."""

    live: LiveConfig
    info: BrokerInfo
    view: ClusterView
    logs: LogManager
    replicas: ReplicaManager
    partitions: LocalPartitions
    configs: ConfigsInForce


def registration_data(parts: TopicParts, clock: Clock) -> bytes:
    """What /brokers/ids/N says: the addresses that clients are told."""
    info, advertised = parts.info, parts.live.current.listeners.advertised
    protocols = {endpoint.name: endpoint.protocol.value for endpoint in advertised}
    endpoints = [(name, host, port, protocols[name]) for name, (host, port) in info.endpoints.items()]
    return encode_broker(endpoints, info.rack, clock.now_ms(), feature_node.registered(KNOWN))
