"""Changes to run-time configs of topics, brokers and groups: many resources in one write of the metadata.

Each resource is checked on its own merits. All that pass are stored together, then seen together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.cluster_view import ClusterView, TopicState
from fastlog.coordination.config_ops import apply_ops, check_count
from fastlog.coordination.lifecycle import ConfigOp, ConfigRules
from fastlog.coordination.serial_changes import SerialChanges
from fastlog.coordination.store import StoreError, TopicRecord
from fastlog.coordination.topic_records import TopicRecords
from fastlog.errors import ErrorCode, KafkaError

MAX_GROUPS: Final = 10_000
MAX_GROUP_BYTES: Final = 1024 * 1024
"""What is kept of groups' configs: ids, keys and values. A group need not exist to be given settings."""
MAX_GROUP_ID_BYTES: Final = 1024

Configs: TypeAlias = Mapping[str, str]


class ConfigKind(Enum):
    """What has configs."""

    TOPIC = "topic"
    BROKER = "broker"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """New overrides of one resource: operations on those that it has, or all of them.

    `name` is that of a topic, the id of a group, or the id of a broker (None: of all brokers).
    """

    kind: ConfigKind
    name: str | int | None
    wanted: Sequence[ConfigOp] | Configs


class ConfigChanges(ABC):
    """The part that checks changes of configs. Where they are stored, and who is told, others say."""

    def __init__(self, view: ClusterView, rules: ConfigRules, changes: SerialChanges) -> None:
        self._view = view
        self._rules = rules
        self._records = TopicRecords()
        self._changes = changes

    async def change_configs(
        self, changes: Sequence[ConfigChange], validate_only: bool = False
    ) -> list[Configs | Exception]:
        """The overrides then in force of each resource, none of which stands twice, or why it is as it was.

        Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, INVALID_REQUEST, POLICY_VIOLATION (no more groups
        may have settings), KAFKA_STORAGE_ERROR. They should not be so many that others wait for long.
        """

        async def change() -> list[Configs | Exception]:
            outcomes: list[Configs | Exception] = []
            topics: dict[str, TopicRecord] = {}
            groups = _NewGroups(self._view.snapshot.group_configs)
            for item in changes:
                try:
                    configs = self._checked(item)
                    if item.kind is ConfigKind.BROKER:
                        await self._rules.examine_broker(_node_id(item), configs)
                        configs = await self._rules.kept(configs)
                    if item.kind is ConfigKind.TOPIC:
                        name = str(item.name)
                        topics[name] = replace(self._records[name], configs=configs)
                    elif item.kind is ConfigKind.GROUP:
                        groups.put(str(item.name), configs)
                    elif not validate_only:
                        await self._set_broker_configs(_node_id(item), configs)
                    outcomes.append(configs)
                except Exception as error:  # noqa: BLE001 - it is the resource's own
                    outcomes.append(_for_client(error))
            if validate_only:
                return outcomes
            failed = await self._set_configs(topics, groups.changed)
            return [
                outcome if isinstance(outcome, Exception) else failed.get((item.kind, item.name), outcome)
                for item, outcome in zip(changes, outcomes, strict=True)
            ]

        return await self._changes.run(change)

    async def change_config(
        self,
        kind: ConfigKind,
        name: str | int | None,
        wanted: Sequence[ConfigOp] | Configs,
        validate_only: bool = False,
    ) -> Configs:
        """The same for one resource. Raises its error."""
        (outcome,) = await self.change_configs([ConfigChange(kind, name, wanted)], validate_only)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _find(self, topic: str | bytes) -> TopicState:
        view = self._view
        state = view.topic_by_id(topic) if isinstance(topic, bytes) else view.topics.get(topic)
        if state is None:
            raise unknown_topic(topic)
        return state

    def _checked(self, item: ConfigChange) -> Configs:
        """The overrides as they are to be. Raises KafkaError: for wrong settings before an unknown topic."""
        check_count(len(item.wanted))
        snapshot = self._view.snapshot
        current: Configs
        topic = self._view.topics.get(str(item.name)) if item.kind is ConfigKind.TOPIC else None
        if item.kind is ConfigKind.TOPIC:
            current = {} if topic is None else topic.configs
        elif item.kind is ConfigKind.GROUP:
            current = snapshot.group_configs.get(str(item.name), {})
        else:
            current = snapshot.broker_configs.get(_node_id(item), {})
        if isinstance(item.wanted, Mapping):
            configs = dict(item.wanted)
        else:
            configs = apply_ops(current, item.wanted, self._rules)
        if item.kind is ConfigKind.TOPIC:
            self._rules.check_topic(configs, {} if topic is None else self._records[topic.name].configs)
            if topic is None:
                raise unknown_topic(str(item.name))
        elif item.kind is ConfigKind.GROUP:
            self._rules.check_group(configs, current)
        else:
            self._rules.check_broker(_node_id(item), configs, current)
        return configs

    @abstractmethod
    async def _set_broker_configs(self, node_id: int | None, configs: Configs) -> None:
        """Stores and shows the overrides of one broker, or (None) of all. Raises StoreError, KafkaError."""

    @abstractmethod
    async def _set_configs(
        self, topics: Mapping[str, TopicRecord], groups: Mapping[str, Configs]
    ) -> dict[tuple[ConfigKind, str | int | None], Exception]:
        """Stores and shows the overrides of topics and groups. Returns whose were not taken."""


class _NewGroups:
    """Overrides that groups are to have, held against what may be kept of all of them."""

    def __init__(self, stored: Mapping[str, Configs]) -> None:
        self._stored = stored
        self.changed: dict[str, Configs] = {}
        self._count = len(stored)
        self._bytes: int | None = None

    def put(self, group_id: str, configs: Configs) -> None:
        """Raises KafkaError: INVALID_REQUEST for an id that is too long, POLICY_VIOLATION without room."""
        if len(group_id.encode()) > MAX_GROUP_ID_BYTES:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                f"the name of a group with settings must not be longer than {MAX_GROUP_ID_BYTES} bytes",
            )
        if self._bytes is None:
            self._bytes = sum([_size(name, values) for name, values in self._stored.items()])
        before = self._stored.get(group_id, {})
        count = self._count + bool(configs) - bool(before)
        size = self._bytes + _size(group_id, configs) - _size(group_id, before)
        if (count > MAX_GROUPS and count > self._count) or (size > MAX_GROUP_BYTES and size > self._bytes):
            raise KafkaError(
                ErrorCode.POLICY_VIOLATION,
                f"no more settings of groups are kept: there may be {MAX_GROUPS} groups with settings, and"
                f" {MAX_GROUP_BYTES} bytes of all of them",
            )
        self._count, self._bytes = count, size
        self.changed[group_id] = MappingProxyType(dict(configs))


def _size(group_id: str, configs: Configs) -> int:
    if not configs:
        return 0
    return len(group_id) + sum([len(key) + len(value) for key, value in configs.items()])


def _node_id(item: ConfigChange) -> int | None:
    return None if item.name is None else int(item.name)


def _for_client(error: Exception) -> Exception:
    return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) if isinstance(error, StoreError) else error


def unknown_topic(topic: str | bytes) -> KafkaError:
    """The error of a topic that is not there, by name or id."""
    if isinstance(topic, bytes):
        return KafkaError(ErrorCode.UNKNOWN_TOPIC_ID, "no topic has this id")
    return KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic '{topic}' does not exist")
