"""A broker's place in its cluster: its session with the keeper of the tree, and its part as a member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig, ConfigurationRules, LiveConfig
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.embedded import EmbeddedKeeper
from fastlog.coordination.groups.leadership import MissingTopics
from fastlog.coordination.member.controller_asked import (
    ControllersProducerIds,
    ask_here,
    place_of_controller,
    shut_down_in_order,
)
from fastlog.coordination.member.member import Broker, Member
from fastlog.coordination.member.own_tree import OwnTree
from fastlog.coordination.member.topics import MemberTopics
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.net.dialer import Dialer
from fastlog.replication.controller_link import ControllerLink, ControllerPlace
from fastlog.server.derived_settings import LiveTopicDefaults
from fastlog.server.topic_parts import TopicParts, registration_data
from fastlog.storage.starting import Preparation
from fastlog.wire import Request, Response

if TYPE_CHECKING:
    import ssl

    from fastlog.coordination.member.delegation_tokens import DelegationTokens
    from fastlog.server.access.asking import Access

_SETTLE_SECONDS: Final = 10.0
"""How long clients wait for a controller's word when its predecessor's session has ended."""


class Membership:
    """`topics` and `producer_ids`, then `start` when all parts are there, `announce` when connections are
    about to be accepted, `settle` before clients are served, `leave` before connections are closed, `close`
    before logs are. Each raises FastlogError.

    `dialer` reaches other brokers. `keeper` is the one in this process, if the tree is its; `own` has looked
    at that.
    """

    def __init__(
        self,
        config: BrokerConfig,
        tree: MemberTree,
        cluster_id: str,
        preparation: Preparation,
        clock: Clock,
        tasks: Supervisor,
        dialer: Dialer,
        keeper: EmbeddedKeeper | None = None,
        own: OwnTree | None = None,
    ) -> None:
        self.config = config
        self.link = ControllerLink(config.node_id, self._controller, local=self._ask_here, dialer=dialer)
        self._dialer = dialer
        self.producer_ids = ControllersProducerIds(self.link, config.node_id, self.broker_epoch)
        self._tree = tree
        self._cluster_id = cluster_id
        self._preparation = preparation
        self._clock = clock
        self._tasks = tasks
        self._keeper = keeper
        self._own = own
        self._made: tuple[TopicParts, Member] | None = None

    @property
    def missing_topics(self) -> MissingTopics | None:
        """Who tells which topics there are not, where the view does not show all of them from the start."""
        return self.member.topics.missing if self._own is None else None

    @property
    def member(self) -> Member:
        """What other brokers ask."""
        return self._parts()[1]

    def broker_epoch(self) -> int:
        """That of this broker's registration, -1 without one."""
        return -1 if self._made is None else self._made[1].registration.broker_epoch

    def topics(self, parts: TopicParts) -> MemberTopics:
        """Who changes topics."""
        broker = Broker(
            node_id=self.config.node_id,
            view=parts.view,
            logs=parts.logs,
            replicas=parts.replicas,
            partitions=parts.partitions,
            broker_configs=parts.configs,
            defaults=LiveTopicDefaults(parts.live),
            rules=ConfigurationRules(lambda: parts.live.current, parts.live.examine),
            registration=lambda: registration_data(parts, self._clock),
            controller=lambda: controller_settings(parts.live),
            has_room=lambda: self._keeper is None or self._keeper.has_room,
            clock=self._clock,
            tasks=self._tasks,
            dialer=self._dialer,
        )
        member = Member(broker, self._tree)
        self._made = parts, member

        def reconfigured(before: BrokerConfig, after: BrokerConfig) -> None:
            if after.unclean_leader_election_enable and not before.unclean_leader_election_enable:
                member.controller.unclean_enabled(None)

        parts.live.on_change(reconfigured)
        return member.topics

    def renew_keeper(self, tls: ssl.SSLContext) -> None:
        """Has the keeper in this process, if there is one, begin handshakes with that from now on."""
        if self._keeper is not None:
            self._keeper.renew(tls)

    async def start(self, producer_ids: ProducerIds) -> None:
        """From prepared log directories to open logs. Raises FastlogError."""
        parts, member = self._parts()
        await parts.logs.confirm_identity(self._cluster_id, self.config.node_id)
        parts.view.set_identity(self._cluster_id, -1)
        opened = await member.open(self._preparation, parts.configs.log_config_for, self._own)
        producer_ids.keep_above(opened.highest_producer_id)

    async def access(self, config: BrokerConfig) -> Access | None:
        """The authorizer that is configured, with its rules. Raises StoreError."""
        if config.access is None:
            return None
        from fastlog.server.access.starting import load_access  # loaded for an authorizer alone

        return await load_access(config, config.access, self.member)

    async def tokens(self, config: BrokerConfig, clock: Clock) -> DelegationTokens | None:
        """The delegation tokens, if there are any, by the time of `clock`. Raises StoreError."""
        return None if config.tokens is None else await self.member.delegation_tokens(config.tokens, clock)

    async def announce(self) -> None:
        """Makes this broker known. Raises StoreError."""
        parts, member = self._parts()
        await member.announce(frozenset(parts.info.endpoints.values()))

    async def settle(self) -> None:
        """Waits, within bounds, until the cluster is known here."""
        parts, member = self._parts()
        await member.settle(parts.live.current.zookeeper_session_timeout_ms / 1000 + _SETTLE_SECONDS)

    async def leave(self) -> None:
        """Hands over what others can do: they lead afterwards what they can lead."""
        if self._is_alone():
            # It goes on to be the controller for those whose requests are under way.
            return
        config = self.config if self._made is None else self._made[0].live.current
        # Who has not been told anything by any controller leads nothing, and would not know whom to ask.
        is_known = self._made is not None and self._made[1].receiver.fence.epoch > 0
        if config.controlled_shutdown_enable and is_known and self.broker_epoch() >= 0:
            await shut_down_in_order(
                self.link,
                config.node_id,
                self.broker_epoch(),
                tries=config.controlled_shutdown_max_retries,
                pause_seconds=config.controlled_shutdown_retry_backoff_ms / 1000,
            )
        if self._made is not None:
            # Another one is elected while this broker ends.
            await self._made[1].resign()

    async def close(self) -> None:
        """Leaves the cluster, and ends the keeper of this process."""
        await self.link.close()
        try:
            if self._made is None:
                await self._tree.client.session.close()
            else:
                await self._made[1].close()
        finally:
            if self._keeper is not None:
                await self._keeper.close()

    def _parts(self) -> tuple[TopicParts, Member]:
        if self._made is None:
            raise RuntimeError("topics come first")
        return self._made

    def _is_alone(self) -> bool:
        return self._made is not None and len(self._made[0].view.brokers()) <= 1

    def _controller(self) -> ControllerPlace | None:
        parts, _ = self._parts()
        return place_of_controller(parts.view, *reversed(self.config.listeners.among_brokers))

    async def _ask_here(self, request: Request) -> Response:
        return await ask_here(self.member.controller, request)


def controller_settings(live: LiveConfig) -> ControllerSettings:
    """What the controller goes by now."""
    config = live.current
    return ControllerSettings(
        inter_broker_listener=config.listeners.inter_broker,
        control_listener=config.listeners.control_plane,
        auto_leader_rebalance_enable=config.auto_leader_rebalance_enable,
        leader_imbalance_check_interval_seconds=config.leader_imbalance_check_interval_seconds,
        leader_imbalance_per_broker_percentage=config.leader_imbalance_per_broker_percentage,
        unclean_leader_election_enable=config.unclean_leader_election_enable,
        delete_topic_enable=config.delete_topic_enable,
        fast_failover=config.controller_fast_failover,
        default_transaction_version=config.default_transaction_version,
        keeps_tree=config.zookeeper_connect is None,
    )
