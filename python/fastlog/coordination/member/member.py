"""A broker as a member of a cluster: its parts, made and tied together, started and stopped in order.

Start: the session and whose directories these are (`joining`); configs; logs; then `announce`: no other
broker may have this one's addresses, it registers, and the controller finds it. What it leads and follows it
is told afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.cluster_view import ClusterView, TopicState
from fastlog.coordination.controller import feature_updates
from fastlog.coordination.controller.controller import Controller
from fastlog.coordination.controller.data import Endpoint, Leadership, LiveBroker
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.controller.socket_link import SocketLink
from fastlog.coordination.features import KNOWN
from fastlog.coordination.lifecycle import BrokerConfigs, ConfigRules
from fastlog.coordination.member import elections, joining
from fastlog.coordination.member.cluster_updates import Changed
from fastlog.coordination.member.config_notifications import ConfigNotifications, Entity
from fastlog.coordination.member.controller_fence import ControllerFence
from fastlog.coordination.member.controller_watch import ControllerWatch
from fastlog.coordination.member.feature_watch import FeatureWatch
from fastlog.coordination.member.overrides import TopicOverrides
from fastlog.coordination.member.own_tree import OwnTree
from fastlog.coordination.member.presence import LogDirEvents, Presence
from fastlog.coordination.member.receiver import ControlReceiver
from fastlog.coordination.member.scram_users import ScramUsers
from fastlog.coordination.member.stored_quotas import StoredQuotas
from fastlog.coordination.member.topic_writes import TopicWrites
from fastlog.coordination.member.topics import MemberTopics
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.topic_plan import TopicDefaults
from fastlog.coordination.znodes import node_json, paths, registration
from fastlog.coordination.znodes.controller_json import broker_id_of
from fastlog.coordination.zookeeper.client_session import SessionState
from fastlog.native import LogConfig
from fastlog.net.dialer import Dialer
from fastlog.replication.partition import PartitionKey
from fastlog.replication.reconciler import PartitionHost, Reconciler
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.storage.log_manager import LogManager
from fastlog.storage.starting import Opened, Preparation
from fastlog.wire.messages.partition_admin import ElectLeadersRequest, ElectLeadersResponse
from fastlog.wire.messages.update_features import UpdateFeaturesRequest, UpdateFeaturesResponse

if TYPE_CHECKING:
    from fastlog.config.token_settings import TokenSettings
    from fastlog.coordination.member.access_rules import AccessRules
    from fastlog.coordination.member.delegation_tokens import DelegationTokens

_LOG: Final = logging.getLogger(__name__)
_UNCLEAN: Final = "unclean.leader.election.enable"


@dataclass(frozen=True, slots=True)
class Broker:
    """What the parts of a member have in common: the broker that they are of."""

    node_id: int
    view: ClusterView
    logs: LogManager
    replicas: ReplicaManager
    partitions: PartitionHost[TopicState]
    broker_configs: BrokerConfigs
    defaults: TopicDefaults
    rules: ConfigRules
    registration: Callable[[], bytes]
    """What /brokers/ids/N says."""
    controller: Callable[[], ControllerSettings]
    has_room: Callable[[], bool]
    """Whether there is room for new metadata, as far as that is known here."""
    clock: Clock
    tasks: Supervisor
    dialer: Dialer = field(default_factory=Dialer)
    """How other brokers are reached."""


class Member:
    """`open`, `announce`, `close`. Used on the event loop."""

    def __init__(self, broker: Broker, tree: MemberTree) -> None:
        self._broker = broker
        self._tree = tree
        self.registration: Final = registration.Registration(
            tree, broker.node_id, broker.registration, broker.clock
        )
        self.overrides: Final = TopicOverrides(tree)
        self.receiver: Final = ControlReceiver(
            node_id=broker.node_id,
            view=broker.view,
            reconciler=Reconciler[TopicState](broker.node_id, broker.partitions),
            logs=broker.logs,
            replicas=broker.replicas,
            overrides=self.overrides,
            broker_epoch=lambda: self.registration.broker_epoch,
            fence=ControllerFence(lambda: self.registration.broker_epoch, tree.controller_epoch),
            on_view=self._view_changed,
            partitions_of=self._partitions_of,
            on_failure=lambda: self.topics.retry_later(self._ask_again),
            made_at=self._made_at,
            topic_id_of=self._topic_id_of,
        )
        self.controller: Final = Controller(
            tree.client,
            broker.node_id,
            self.registration,
            self.receiver,
            self._link_to,
            broker.controller,
            broker.clock,
            broker.tasks,
            on_event=lambda: self.topics.waits.changed(),
            remembered=self._remembered,
            acquainted=lambda: [known.id for known in broker.view.snapshot.brokers],
        )
        writes = TopicWrites(tree, self.controller, broker.has_room)
        self.scram_users: Final = ScramUsers(tree, writes)
        self.quotas: Final = StoredQuotas(tree, writes)
        self._access_rules: AccessRules | None = None
        self._tokens: DelegationTokens | None = None
        self.topics: Final = MemberTopics(
            broker.view,
            node_id=broker.node_id,
            writes=writes,
            controller=self.controller,
            receiver=self.receiver,
            waits=ViewWaits(),
            broker_configs=broker.broker_configs,
            defaults=broker.defaults,
            rules=broker.rules,
            guard=broker.tasks.guard("topic-changes"),
        )
        self._features = FeatureWatch(tree, broker.view, KNOWN, self.topics.waits.changed, broker.tasks)
        self._presence = Presence(tree, self.registration, broker.tasks)
        self._controller_watch = ControllerWatch(
            tree.client,
            broker.node_id,
            self.topics.waits,
            self.controller,
            broker.controller,
            broker.tasks,
            has_served=self._has_served,
            dialer=broker.dialer,
        )
        self._log_dir_events = LogDirEvents(tree, broker.node_id, broker.tasks.guard("log-dir-events"))
        self._announced = False
        self._awaits_topics = False
        """Whether the controller has topics to tell of."""
        self._notifications = [
            ConfigNotifications(tree, parent, self._take, broker.clock, broker.tasks)
            for parent in (paths.CONFIG_CHANGES, paths.GROUP_CONFIG_CHANGES)
        ]
        tree.client.session.on_state = self._on_session

    async def open(
        self,
        preparation: Preparation,
        log_config_for: Callable[[str, Mapping[str, str]], LogConfig],
        own: OwnTree | None = None,
    ) -> Opened:
        """Brings configs into force and opens the logs. `own` is the tree if it is of this process.

        Raises StoreError.
        """
        await joining.load_configs(self._tree, self._broker.view, self._broker.broker_configs)
        if own is not None:
            opened = await own.open(self._broker.logs, self.overrides, log_config_for)
            put = own.topics()
            own.forget()
            self._broker.view.put_topics(put)
            self.topics.view_changed(Changed(put, []))
            return opened
        return await joining.open_logs(
            self._tree, self._broker.logs, preparation, self.overrides, log_config_for
        )

    async def announce(self, addresses: Collection[tuple[str, int]]) -> None:
        """Registers with the (host, port) that are advertised. Raises StoreError."""
        await registration.check_addresses(self._tree, self._broker.node_id, addresses)
        self._features.start()
        await self.registration.register()
        self._awaits_topics = await joining.has_led_partitions(self._tree)
        self._announced = True
        self.controller.start()
        self._broker.logs.add_failure_callback(self._log_dir_events.callback)
        self._presence.start()
        self._controller_watch.start()
        for notifications in self._notifications:
            await notifications.start()

    async def settle(self, seconds: float) -> None:
        """Returns when the controller has told what there is, or after so long.

        One that leads the cluster itself leads its partitions already then.
        """
        if not await self.topics.waits.until(self._is_settled, seconds):
            _LOG.warning(
                "no controller has told of the cluster's topics in %.0f s: clients are served", seconds
            )

    async def resign(self) -> None:
        """Is no controller any more, for good."""
        if self._announced:
            self._announced = False
            await self._controller_watch.stop()
            await self.controller.close()

    async def access_rules(self) -> AccessRules:
        """The access rules, which are followed from now on. Raises StoreError."""
        if self._access_rules is None:
            from fastlog.coordination.member.access_rules import AccessRules  # with an authorizer alone

            broker = self._broker
            self._access_rules = AccessRules(self._tree, broker.has_room, broker.clock, broker.tasks)
            await self._access_rules.start()
        return self._access_rules

    async def delegation_tokens(self, settings: TokenSettings, clock: Clock) -> DelegationTokens:
        """The delegation tokens, which are followed from now on. Raises StoreError."""
        if self._tokens is None:
            from fastlog.coordination.member.delegation_tokens import DelegationTokens  # with a key alone

            broker = self._broker
            self._tokens = DelegationTokens(
                self._tree,
                settings,
                lambda: self.controller.is_active,
                broker.has_room,
                clock,
                broker.tasks,
            )
            await self._tokens.start()
        return self._tokens

    async def elect_leaders(self, request: ElectLeadersRequest) -> ElectLeadersResponse:
        """An operator wants leaders elected; answered when the own view shows them."""
        return await elections.elect_leaders(self.controller, self._broker.view, self.topics.waits, request)

    async def update_features(self, request: UpdateFeaturesRequest, version: int) -> UpdateFeaturesResponse:
        """An operator has features finalized; answered when the own view shows it."""
        response, epoch = await self.controller.update_features(request, version)
        view, seconds = self._broker.view, max(request.timeout_ms, 0) / 1000
        if epoch is None or await self.topics.waits.until(lambda: view.features_epoch >= epoch, seconds):
            return response
        return feature_updates.failed(request, "it is written, and not to be seen yet")

    async def close(self) -> None:
        """Ends the work, and then the session: the registration goes with it."""
        await self.resign()
        for notifications in self._notifications:
            await notifications.stop()
        await self._log_dir_events.stop()
        await self._presence.stop()
        await self._features.stop()
        if self._access_rules is not None:
            await self._access_rules.stop()
        if self._tokens is not None:
            await self._tokens.stop()
        await self._tree.client.session.close()

    def _on_session(self, state: SessionState) -> None:
        self._tree.on_state(state)
        self._presence.on_state(state)
        self._features.on_state(state)
        if self._access_rules is not None:
            self._access_rules.on_state(state)
        if self._tokens is not None:
            self._tokens.on_state(state)
        if self._announced:
            self.controller.on_session(state)

    def _link_to(
        self, broker: LiveBroker, address: Callable[[], Endpoint], on_lost: Callable[[], None]
    ) -> SocketLink:
        client_id = f"controller-{self._broker.node_id}-to-broker-{broker.id}"
        return SocketLink(address, client_id=client_id, on_lost=on_lost, dialer=self._broker.dialer)

    def _is_settled(self) -> bool:
        """Whether another broker, as controller, has told of topics, or the one here all that it knows."""
        controller, view = self.controller, self._broker.view
        if not controller.is_active:
            # The first thing that a controller tells all brokers when it has been elected is brokers alone.
            # Topics that never had a leader, or are being deleted, are not told of at all.
            return view.controller_id >= 0 and (self.receiver.has_heard_of_topics or not self._awaits_topics)
        context = controller.context
        if context is None or not controller.has_begun or view.controller_id != self._broker.node_id:
            return False
        # Who asked for a deletion before a crash may ask for a topic of that name now.
        if any(controller.is_deleting(name) for name in context.deleting):
            return False
        for (name, number), leadership in context.leaderships.items():
            topic = view.topics.get(name)
            if name not in context.deleting and (
                topic is None
                or number >= len(topic.partitions)
                or topic.partitions[number].leader_epoch < leadership.leader_epoch
            ):
                return False
        topics = (view.topics.get(name) for name in context.topics)
        return all(topic is None or self.receiver.has_taken(topic) for topic in topics)

    def _view_changed(self, changed: Changed) -> None:
        self.topics.view_changed(changed)

    async def _ask_again(self) -> None:
        """What met an obstacle is tried again: the controller says once more what this broker is to lead."""
        if self._announced and self.receiver.may_try_again:
            await self._log_dir_events.tell()

    def _remembered(self, key: PartitionKey, topic_id: bytes) -> Leadership | None:
        """What the last controller has told of a partition."""
        topic = self._broker.view.topics.get(key[0])
        if topic is None or topic.topic_id != topic_id or key[1] >= len(topic.partitions):
            return None
        known = topic.partitions[key[1]]
        if known.leader_epoch < 0:
            return None
        return Leadership(known.leader, known.leader_epoch, known.isr, partition_epoch=known.partition_epoch)

    def _has_served(self, broker_id: int) -> bool:
        """Whether a controller, another broker than this one, has told of it."""
        known = self._broker.view.snapshot
        return known.controller_id != broker_id and any(told.id == broker_id for told in known.brokers)

    async def _topic_id_of(self, topic: str) -> bytes | None:
        return await joining.topic_id(self._tree, topic)

    async def _partitions_of(self, topic: str) -> int:
        return await joining.partitions_of(self._tree, topic)

    async def _made_at(self, keys: Sequence[PartitionKey]) -> Mapping[PartitionKey, int]:
        made = await self._tree.made_at([paths.state(*key) for key in keys])
        return {key: zxid for key, zxid in zip(keys, made, strict=True) if zxid is not None}

    async def _take(self, changed: set[Entity]) -> None:
        """Reads what has changed anew, and brings it into force. Raises StoreError."""
        names = [name for kind, name in changed if kind == "topics"]
        if names:
            found = await self.overrides.read(names)
            await self.topics.take_topic_configs(found)
            for name, configs in found.items():
                if configs.get(_UNCLEAN) == "true":
                    self.controller.unclean_enabled(name)
        for kind, name in sorted(changed):
            node_id = broker_id_of(name)
            if kind == "brokers" and (name == paths.DEFAULT or node_id is not None):
                if (values := await self._read(paths.broker_config(node_id))) is not None:
                    await self.topics.take_broker_configs(node_id, values)
            elif kind in ("users", "clients", "ips"):
                if kind == "users" and name != paths.DEFAULT and "/" not in name:
                    await self.scram_users.take(unquote(name))
                await self.quotas.take(kind, name)
            elif kind == "groups" and (values := await self._read(paths.group_config(name))) is not None:
                self._broker.view.put_group_configs({name: values})

    async def _read(self, path: str) -> dict[str, str] | None:
        """The overrides in a node; None where it is damaged: they stay as they were. Raises StoreError."""
        node = await self._tree.read(path)
        try:
            return {} if node is None else node_json.decode_config(path, node[0])
        except MetadataDamaged as error:
            _LOG.error("settings stay as they were: %s", error)
            return None
