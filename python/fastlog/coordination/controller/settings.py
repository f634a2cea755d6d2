"""What an operator can set about the controller."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """By Kafka's names, with its defaults; `fast_failover` is `fastlog.controller.fast.failover`.

    `default_transaction_version` is `fastlog.default.transaction.version`, and `keeps_tree` says whether the
    tree is that of a keeper in the controller's process.

    `inter_broker_listener` is where brokers reach each other, `control_listener` where the controller reaches
    them (`control.plane.listener.name`; None: at the former). A broker that does not have the latter yet, as
    while the brokers of a cluster are given it one after the other, is reached at the former, too.
    """

    inter_broker_listener: str = "PLAINTEXT"
    control_listener: str | None = None
    auto_leader_rebalance_enable: bool = True
    leader_imbalance_check_interval_seconds: int = 300
    leader_imbalance_per_broker_percentage: int = 10
    unclean_leader_election_enable: bool = False
    delete_topic_enable: bool = True
    fast_failover: bool = True
    default_transaction_version: int = 2
    keeps_tree: bool = False

    @property
    def listeners(self) -> tuple[str, ...]:
        """Where the controller reaches brokers: the first that a broker has."""
        if self.control_listener is None:
            return (self.inter_broker_listener,)
        return (self.control_listener, self.inter_broker_listener)
