"""What an operator can set about the controller."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """By Kafka's names, with its defaults; `fast_failover` is `fastlog.controller.fast.failover`.

    `inter_broker_listener` is where brokers reach each other, `control_listener` where the controller reaches
    them (`control.plane.listener.name`; None: at the former).
    """

    inter_broker_listener: str = "PLAINTEXT"
    control_listener: str | None = None
    auto_leader_rebalance_enable: bool = True
    leader_imbalance_check_interval_seconds: int = 300
    leader_imbalance_per_broker_percentage: int = 10
    unclean_leader_election_enable: bool = False
    delete_topic_enable: bool = True
    fast_failover: bool = True

    @property
    def listener(self) -> str:
        """Where the controller reaches brokers."""
        return self.control_listener or self.inter_broker_listener
