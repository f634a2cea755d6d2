"""Topics and configs on a member of a cluster: checked, written to the tree, then waited for in the view.

What becomes of them the controller decides: a topic is there when its leaders are, as this broker's view
shows them. Kafka's rules: topics are made, grown and deleted by the controller alone (NOT_CONTROLLER), and
those that come into being by being asked for, as well as configs, by any broker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from fastlog.base.tasks import Guard
from fastlog.coordination.cluster_view import ClusterView, TopicState
from fastlog.coordination.config_changes import ConfigChanges, ConfigKind, Configs, unknown_topic
from fastlog.coordination.lifecycle import BrokerConfigs, ConfigRules, TopicObserver, TopicPolicy
from fastlog.coordination.member.awaited_topics import AwaitedTopics
from fastlog.coordination.member.cluster_updates import Changed
from fastlog.coordination.member.controller_here import ControllerHere
from fastlog.coordination.member.receiver import ControlReceiver
from fastlog.coordination.member.topic_writes import TopicWrites, being_deleted, not_controller
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.coordination.serial_changes import SerialChanges
from fastlog.coordination.store import TopicRecord
from fastlog.coordination.topic_plan import (
    DEFAULT,
    Assignments,
    MorePartitions,
    NewTopic,
    TopicDefaults,
    plan_topics,
    topic_state,
)
from fastlog.coordination.znodes import paths
from fastlog.errors import ErrorCode, KafkaError

_LOG: Final = logging.getLogger(__name__)
_ASKED_FOR_SECONDS: Final = 10.0
"""How long who asks for a topic waits for it to be led, before it is told to ask again: many partitions
take seconds."""
_DEFAULT_SECONDS: Final = 30.0
_TERM_SECONDS: Final = 5.0


class MemberTopics(ConfigChanges):
    """Used on the event loop. All methods raise KafkaError for the client to see."""

    def __init__(
        self,
        view: ClusterView,
        *,
        node_id: int,
        writes: TopicWrites,
        controller: ControllerHere,
        receiver: ControlReceiver,
        waits: ViewWaits,
        broker_configs: BrokerConfigs,
        defaults: TopicDefaults,
        rules: ConfigRules,
        policy: TopicPolicy | None = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(view, rules, SerialChanges(guard))
        self._node_id = node_id
        self._writes = writes
        self._controller = controller
        self._receiver = receiver
        self.waits: Final = waits
        self._broker_configs = broker_configs
        self._defaults = defaults
        self._policy = policy
        self._deleting: set[str] = set()
        """Topics that requests which are under way have had deleted."""
        self._awaited = AwaitedTopics()

    def view_changed(self, changed: Changed) -> None:
        """The view shows other topics now."""
        for topic in changed.gone:
            self._records.pop(topic.name, None)
        for topic in changed.put:
            # Names, ids and overrides are what plans are made from here.
            self._records[topic.name] = TopicRecord(topic.name, topic.topic_id, (), topic.configs)
        self._awaited.note_gone(changed.gone)
        self.waits.changed()

    def observe(self, observer: TopicObserver) -> None:
        """Tells `observer` what becomes of topics from now on."""
        self._receiver.observe(observer)

    async def create(
        self,
        name: str,
        partitions: int = DEFAULT,
        replication: int = DEFAULT,
        assignments: Assignments | None = None,
        configs: Mapping[str, str | None] | None = None,
    ) -> TopicState:
        """Makes a topic that somebody needs. Returns it as it is visible.

        Errors: those of `create_all`, and LEADER_NOT_AVAILABLE when it is not to be seen yet.
        """
        (outcome,) = await self.create_asked_for(
            [NewTopic(name, partitions, replication, assignments, configs)]
        )
        if isinstance(outcome, KafkaError):
            raise outcome
        return outcome

    async def create_all(
        self,
        topics: Sequence[NewTopic],
        validate_only: bool = False,
        seconds: float = _DEFAULT_SECONDS,
    ) -> list[TopicState | KafkaError]:
        """Makes topics, each on its own merits, with an outcome for each, within `seconds`.

        One that another request has deleted before all of it was led has been made.

        Errors: NOT_CONTROLLER, REQUEST_TIMED_OUT (the topic is stored, but not led everywhere yet),
        INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR,
        INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG, INVALID_REQUEST, POLICY_VIOLATION, KAFKA_STORAGE_ERROR.
        """
        seconds = self._patience(seconds)
        await self._check_controller(seconds)
        planned = self._plan(topics)
        if validate_only:
            return [item if isinstance(item, KafkaError) else topic_state(item) for item in planned]
        return await self._create(planned, seconds, ErrorCode.REQUEST_TIMED_OUT, fenced=True)

    async def create_asked_for(self, topics: Sequence[NewTopic]) -> list[TopicState | KafkaError]:
        """The same for topics that came up in somebody's request: any broker makes them.

        LEADER_NOT_AVAILABLE for those that are not to be seen in a moment.
        """
        planned = self._plan(topics)
        return await self._create(planned, _ASKED_FOR_SECONDS, ErrorCode.LEADER_NOT_AVAILABLE, fenced=False)

    async def create_more_partitions(
        self,
        wanted: Sequence[MorePartitions],
        validate_only: bool = False,
        seconds: float = _DEFAULT_SECONDS,
    ) -> list[TopicState | Exception]:
        """Lets topics grow, none of which stands twice. Errors: those of `_growing` and
        `TopicWrites.grow`, REQUEST_TIMED_OUT.
        """
        seconds = self._patience(seconds)
        await self._check_controller(seconds)
        outcomes: list[TopicState | Exception] = []
        totals: dict[str, int] = {}
        for item in wanted:
            try:
                topic = await self._growing(item.name)
                totals[item.name] = await self._writes.grow(
                    item, topic.topic_id, self._view.racks(), store=not validate_only
                )
            except Exception as error:  # noqa: BLE001 - it is the topic's own
                outcomes.append(error)
            else:
                outcomes.append(topic)
        if validate_only:
            return outcomes
        growing = [outcome for outcome in outcomes if isinstance(outcome, TopicState)]
        # One that another request deletes meanwhile will never be seen to have them.
        await self.waits.until(
            lambda: all(
                not self._is_there(topic) or self._is_led(topic.name, topic.topic_id, totals[topic.name])
                for topic in growing
            ),
            seconds,
        )
        return [
            self._grown(outcome, totals[outcome.name]) if isinstance(outcome, TopicState) else outcome
            for outcome in outcomes
        ]

    async def _growing(self, name: str) -> TopicState:
        """A topic that is to grow. Raises KafkaError(UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION)."""
        try:
            return self._find(name)
        except KafkaError:
            if await self._writes.is_being_deleted(name):
                raise being_deleted(name) from None
            raise

    def _grown(self, topic: TopicState, total: int) -> TopicState | KafkaError:
        """What has become of a topic that was to grow."""
        if not self._is_there(topic):
            return unknown_topic(topic.name)
        return self._outcome(topic.name, topic.topic_id, total)

    async def delete_all(
        self, topics: Sequence[str | bytes], seconds: float = _DEFAULT_SECONDS
    ) -> list[TopicState | Exception]:
        """Deletes topics by name or id, each on its own merits, with an outcome for each.

        Errors: NOT_CONTROLLER, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, REQUEST_TIMED_OUT (it will be
        deleted), KAFKA_STORAGE_ERROR.
        """
        seconds = self._patience(seconds)
        await self._check_controller(seconds)
        outcomes: list[TopicState | Exception] = []
        states: dict[str, TopicState] = {}
        for topic in topics:
            try:
                state = self._find(topic)
                if state.name in states:
                    raise unknown_topic(topic)
            except KafkaError as error:
                outcomes.append(error)
                continue
            states[state.name] = state
            outcomes.append(state)
        await self._writes.bring_back([*states.values()])
        # What the controller has read before can be deleted, damaged as it may be by now.
        failed = await self._writes.damaged([name for name in states if not self._controller.knows(name)])
        asked = states.keys() - self._deleting - failed.keys()
        self._deleting |= asked
        try:
            failed |= await self._writes.delete(sorted(asked))
            going = [state for name, state in states.items() if name not in failed]
            # The name is free when the controller has removed the nodes, which is a moment later.
            await self.waits.until(
                lambda: (
                    not any(
                        self._is_there(topic) or self._controller.is_deleting(topic.name) for topic in going
                    )
                ),
                seconds,
            )
        finally:
            self._deleting -= asked
        late = KafkaError(ErrorCode.REQUEST_TIMED_OUT, "the topic is being deleted")
        for state in going:
            is_over = self._controller.is_active and not self._controller.is_deleting(state.name)
            if self._is_there(state) or not is_over:
                failed[state.name] = late
            elif state.name not in asked:
                # Another request has deleted it.
                failed[state.name] = unknown_topic(state.name)
        return [
            failed.get(outcome.name, outcome) if isinstance(outcome, TopicState) else outcome
            for outcome in outcomes
        ]

    async def missing(self, names: Sequence[str]) -> set[str]:
        """Which of these topics there are not, as the tree has it; none while it cannot be read."""
        try:
            return await self._writes.missing(names)
        except KafkaError as error:
            _LOG.warning("whether topics that are not to be seen exist is not known: %s", error)
            return set()

    def retry_later(self, action: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Starts `action` after a while, unless one is waiting already."""
        self._changes.retry_later(action)

    async def close(self) -> None:
        """Waits for changes that are under way."""
        self.waits.close()
        await self._changes.close()
        await self._receiver.close()

    def _patience(self, seconds: float) -> float:
        """How long a change may take: where no other broker has a part in it, it is awaited in any case."""
        return seconds if len(self._view.brokers()) > 1 else max(seconds, _DEFAULT_SECONDS)

    async def _check_controller(self, seconds: float) -> None:
        """Between two terms of this broker, with a new session, it is waited for the next one."""

        def is_decided() -> bool:
            return self._controller.is_active or self._view.controller_id != self._node_id

        await self.waits.until(is_decided, min(seconds, _TERM_SECONDS))
        if not self._controller.is_active:
            raise not_controller()

    def _plan(self, topics: Sequence[NewTopic]) -> list[TopicRecord | KafkaError]:
        racks = self._view.racks()
        return plan_topics(topics, self._records, [*racks], self._defaults, self._rules, self._policy, racks)

    async def _create(
        self, planned: Sequence[TopicRecord | KafkaError], seconds: float, late: ErrorCode, *, fenced: bool
    ) -> list[TopicState | KafkaError]:
        records = {topic.name: topic for topic in planned if isinstance(topic, TopicRecord)}
        with self._awaited.while_awaited([record.topic_id for record in records.values()]):
            failed = await self._writes.create([*records.values()], fenced=fenced) if records else {}
            made = {name: record for name, record in records.items() if name not in failed}
            await self.waits.until(
                lambda: all(
                    self._awaited.is_gone(record.topic_id)
                    or self._is_led(name, record.topic_id, len(record.partitions))
                    for name, record in made.items()
                ),
                seconds,
            )
            failed |= await self._undo({name: record.topic_id for name, record in made.items()})
            return [
                item if isinstance(item, KafkaError) else failed.get(item.name) or self._made(item, late)
                for item in planned
            ]

    def _made(self, topic: TopicRecord, late: ErrorCode) -> TopicState | KafkaError:
        """What has become of a topic that was made."""
        if late is ErrorCode.REQUEST_TIMED_OUT and self._awaited.is_gone(topic.topic_id):
            return topic_state(topic)
        return self._outcome(topic.name, topic.topic_id, len(topic.partitions), late)

    async def _undo(self, made: Mapping[str, bytes]) -> dict[str, KafkaError]:
        """Deletes topics (names and ids) of which this broker was to lead what it cannot store; says why.

        Their client is told that there is none, so there must not be one later either.
        """
        failed: dict[str, KafkaError] = {}
        topics: list[TopicState] = []
        for name, topic_id in made.items():
            topic = self._view.topics.get(name)
            reason = self._receiver.why_not_led(name)
            if reason is not None and topic is not None and topic.topic_id == topic_id:
                failed[name] = KafkaError(
                    ErrorCode.KAFKA_STORAGE_ERROR, f"topic '{name}' cannot be stored: {reason}"
                )
                topics.append(topic)
        if topics:
            refused = await self._writes.delete([topic.name for topic in topics])
            await self.waits.until(
                lambda: (
                    not any(
                        self._is_there(topic) or self._controller.is_deleting(topic.name)
                        for topic in topics
                        if topic.name not in refused
                    )
                ),
                _DEFAULT_SECONDS,
            )
        return failed

    def _outcome(
        self,
        name: str,
        topic_id: bytes,
        partitions: int,
        late: ErrorCode = ErrorCode.REQUEST_TIMED_OUT,
    ) -> TopicState | KafkaError:
        if (reason := self._receiver.why_not_led(name)) is not None:
            return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"topic '{name}' cannot be stored: {reason}")
        if self._is_led(name, topic_id, partitions):
            return self._view.topics[name]
        return KafkaError(late, f"topic '{name}' is stored, but not all of its partitions are led yet")

    def _is_led(self, name: str, topic_id: bytes, partitions: int) -> bool:
        """Whether the view shows so many partitions of the topic with their leaders, or one cannot be led."""
        topic = self._view.topics.get(name)
        if topic is None or topic.topic_id != topic_id:
            return False
        if self._receiver.why_not_led(name):
            return True
        return (
            len(topic.partitions) >= partitions
            and all(partition.leader >= 0 for partition in topic.partitions)
            and self._receiver.has_taken(topic)
        )

    def _is_there(self, topic: TopicState) -> bool:
        now = self._view.topics.get(topic.name)
        return now is not None and now.topic_id == topic.topic_id

    async def _set_broker_configs(self, node_id: int | None, configs: Configs) -> None:
        entity = paths.DEFAULT if node_id is None else str(node_id)
        path = paths.broker_config(node_id)
        await self._writes.set_config(path, configs, (paths.CONFIG_CHANGE, f"brokers/{entity}"))
        await self.take_broker_configs(node_id, configs)

    async def take_broker_configs(self, node_id: int | None, configs: Configs) -> None:
        """What the tree says of a broker (None: of all) now."""
        overrides = {**self._view.snapshot.broker_configs, node_id: configs}
        self._view.set_broker_configs({key: values for key, values in overrides.items() if values})
        if node_id in (None, self._node_id):
            self._broker_configs.adopt()
            # The defaults of topics change with the broker's.
            await self._receiver.configure_all()

    async def _set_configs(
        self, topics: Mapping[str, TopicRecord], groups: Mapping[str, Configs]
    ) -> dict[tuple[ConfigKind, str | int | None], Exception]:
        failed: dict[tuple[ConfigKind, str | int | None], Exception] = {}
        taken: dict[str, Configs] = {}
        for name, record in topics.items():
            path, notify = paths.topic_config(name), (paths.CONFIG_CHANGE, f"topics/{name}")
            try:
                await self._writes.set_config(path, record.configs, notify)
            except KafkaError as error:
                failed[ConfigKind.TOPIC, name] = error
            else:
                taken[name] = record.configs
        for group_id, configs in groups.items():
            entity = f"groups/{paths.sanitise(group_id)}"
            path, notify = paths.group_config(group_id), (paths.GROUP_CONFIG_CHANGE, entity)
            try:
                await self._writes.set_config(path, configs or None, notify, checked=False)
            except KafkaError as error:
                failed[ConfigKind.GROUP, group_id] = error
            else:
                self._view.put_group_configs({group_id: configs})
        refused = await self.take_topic_configs(taken)
        return failed | {(ConfigKind.TOPIC, name): error for name, error in refused.items()}

    async def take_topic_configs(self, changed: Mapping[str, Configs]) -> dict[str, Exception]:
        """What the tree says of topics now; returns which could not take it here."""
        refused = await self._receiver.set_overrides(changed)
        for name in changed:
            topic = self._view.topics.get(name)
            if topic is not None:
                self._records[name] = TopicRecord(name, topic.topic_id, (), topic.configs)
        return refused
