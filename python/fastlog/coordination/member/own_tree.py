"""What a broker with a keeper of its own does at its start that other members have no need of.

The tree is looked at where it is, in this process, and put side by side with the log directories
(`startup_plan`). What is stored here is written at the versions that were read: others may have joined the
tree. No controller has noticed how this broker ended: so partitions that it leads get a new leader epoch
where the tail of the log may be gone, before a controller speaks of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fastlog.base.uuids import format_uuid
from fastlog.base.wording import counted
from fastlog.coordination.cluster_view import UNKNOWN_PARTITION, TopicState
from fastlog.coordination.keeper.tree import Tree
from fastlog.coordination.member.disk import give_up_lost, was_here
from fastlog.coordination.member.overrides import TopicOverrides
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.startup_plan import PartitionKey, StartupPlan, other_owners, plan_startup
from fastlog.coordination.store import StoreError
from fastlog.coordination.topic_names import is_internal
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.epoch_node import controller_epoch
from fastlog.coordination.znodes.fenced_tree import Part, in_lots
from fastlog.coordination.znodes.still_tree import StillTree
from fastlog.coordination.znodes.takeover import state_parts
from fastlog.coordination.znodes.tree_loading import Loaded, load
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.requests import SetData
from fastlog.native import LogConfig
from fastlog.storage.log_manager import LogManager
from fastlog.storage.meta_properties import META_PROPERTIES_FILE, IdentityError
from fastlog.storage.partition_dirs import DirectoryKind
from fastlog.storage.recovery import Opening
from fastlog.storage.starting import Opened, Preparation

_LOG: Final = logging.getLogger(__name__)


class OwnTree:
    """`look`, then `open`. `nodes` are those of the keeper in this process. Used on the event loop."""

    def __init__(self, nodes: Tree, tree: MemberTree, node_id: int) -> None:
        self._nodes = nodes
        self._tree = tree
        self._node_id = node_id
        self._loaded = Loaded()
        self._plan = StartupPlan()

    async def look(self, preparation: Preparation) -> bool:
        """Puts tree and directories side by side; whether these have what the tree has not (`adoption`).

        Raises MetadataDamaged, IdentityError, StoreError.
        """
        try:
            await controller_epoch(self._tree.client)
        except ZkError as error:
            raise StoreError(f"the tree cannot be read: {error}") from error
        self._loaded = await load(_LiveTree(self._nodes))
        await self._store_ids()
        topics = self._loaded.topics
        owners = other_owners(topics, self._node_id)
        # Where the two contradict each other, that is said later.
        if owners is not None and preparation.node_id in (None, self._node_id) and self._is_alone():
            raise IdentityError(
                f"this is broker {self._node_id}, by its configuration or {META_PROPERTIES_FILE} in its log "
                f"directories, but the metadata says that the partitions belong to {owners}. Nothing was "
                "touched. Correct broker.id where it is wrong"
            )
        self._plan = plan_startup(topics, preparation.partitions, self._node_id)
        return bool(self._plan.adopted or self._plan.grown)

    async def open(
        self,
        logs: LogManager,
        overrides: TopicOverrides,
        log_config_for: Callable[[str, Mapping[str, str]], LogConfig],
    ) -> Opened:
        """Opens what is in the log directories. Raises StoreError."""
        plan, topics = self._plan, self._loaded.topics
        report(plan)
        for entry in plan.remove:
            await logs.set_aside(entry.path, entry.topic, entry.partition, DirectoryKind.DELETED)
        for entry, _ in plan.stray:
            await logs.set_aside(entry.path, entry.topic, entry.partition, DirectoryKind.STRAY)
        overrides.know({name: (topic.topic_id, topic.configs) for name, topic in topics.items()})
        opened = await logs.open(
            [
                Opening(entry, topic_id, log_config_for(entry.topic, topics[entry.topic].configs))
                for entry, topic_id in plan.open
            ]
        )
        for entry, topic_id in plan.damaged:
            logs.note_unusable(entry, topic_id)
        for name, topic in topics.items():
            for number in range(len(topic.partitions) if topic.deleting else 0):
                # It may be gone already.
                give_up_lost(logs, name, number)
        self._note_lost(logs, opened)
        await self._write(self._new_epochs(opened, logs))
        return opened

    def topics(self) -> list[TopicState]:
        """The topics that there are, without what the controller has to say of their partitions."""
        return [
            TopicState(
                topic.name,
                topic.topic_id,
                (UNKNOWN_PARTITION,) * len(topic.partitions),
                topic.configs,
                is_internal(topic.name),
            )
            for topic in self._loaded.topics.values()
            if not topic.deleting
        ]

    def forget(self) -> None:
        """What was read is old from now on."""
        self._loaded, self._plan = Loaded(), StartupPlan()

    def _is_alone(self) -> bool:
        """Whether no broker is registered: those that were here with this process are gone with it."""
        return not (self._nodes.nodes[paths.BROKER_IDS].children or ())

    async def _store_ids(self) -> None:
        """Topics of a Kafka before 2.8 get ids."""
        parts: list[Sequence[Part]] = []
        for name in self._loaded.without_id:
            topic = self._loaded.topics[name]
            data = node_json.encode_topic(topic.topic_id, topic.partitions)
            parts.append([SetData(paths.topic(name), data, self._loaded.versions[name].topic)])
        await self._write(parts)

    def _note_lost(self, logs: LogManager, opened: Opened) -> None:
        for key, topic_id in self._plan.lost:
            if logs.settings.allow_data_loss and logs.complete:
                _LOG.error("the data of %s-%d is lost, it starts empty (--allow-data-loss)", *key)
            elif opened.is_clean or not logs.complete or not self._was_begun(logs, key):
                logs.note_missing(*key, topic_id)
                _LOG.error(
                    "%s-%d stays offline: %s. Bring its directory back, or start with --allow-data-loss to "
                    "begin it anew, empty",
                    *(*key, logs.offline_reason(*key)),
                )

    def _was_begun(self, logs: LogManager, key: PartitionKey) -> bool:
        """Whether a crash came between the state of a new partition and its directory.

        The state is as the last controller has written it first, and no checkpoint knows the partition.
        """
        node, epoch = self._nodes.nodes.get(paths.state(*key)), self._nodes.nodes.get(paths.CONTROLLER_EPOCH)
        if node is None or epoch is None or node.version or was_here(logs, *key):
            return False
        said = node_json.load(paths.state(*key), node.data).get("controller_epoch")
        return str(said).encode() == epoch.data

    def _new_epochs(self, opened: Opened, logs: LogManager) -> list[list[Part]]:
        """States of partitions that get a new leader epoch.

        After an unclean end the tail of a log may be gone and its offsets will be used again: under a new
        epoch, so that a consumer or a follower that saw the old records can tell. The same when the log
        knows a later epoch than the metadata, which then comes from an older backup.
        """
        parts: list[list[Part]] = []
        for key in opened.partitions:
            log = logs.get(*key)
            latest = -1 if log is None else log.latest_epoch
            state = self._loaded.topics[key[0]].partitions[key[1]]
            if key in opened.unclean and latest >= 0:
                parts.append(self._with_epoch(key, max(state.leader_epoch, latest) + 1))
            elif latest > state.leader_epoch:
                parts.append(self._with_epoch(key, latest + 1))
        for key in opened.postponed:
            if key in opened.unclean:
                state = self._loaded.topics[key[0]].partitions[key[1]]
                parts.append(self._with_epoch(key, state.leader_epoch + 1))
        return parts

    def _with_epoch(self, key: PartitionKey, leader_epoch: int) -> list[Part]:
        name, number = key
        versions = self._loaded.versions[name]
        version = versions.states[number]
        now = self._loaded.topics[name].partitions[number]
        state = replace(now, leader_epoch=leader_epoch)
        path = paths.state(name, number)
        if version is not None:
            return [SetData(path, node_json.encode_state(state, self._epoch_of(path)), version)]
        return state_parts(name, number, node_json.encode_state(state, 0), versions)

    def _epoch_of(self, path: str) -> int:
        """That of the controller who has written a state: it stays, as nobody else has decided."""
        node = self._nodes.nodes.get(path)
        return 0 if node is None else int(node_json.load(path, node.data).get("controller_epoch", 0))

    async def _write(self, groups: Sequence[Sequence[Part]]) -> None:
        """Raises StoreError, also when somebody has written meanwhile."""
        for lot in in_lots(groups):
            try:
                await self._tree.write(lot)
            except ZkError as error:
                raise StoreError(f"the metadata cannot be written: {error}") from error


class _LiveTree(StillTree):
    """The same of a keeper that runs: others have turns while much is read."""

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        await asyncio.sleep(0)
        return await super().read_all(wanted)


def report(plan: StartupPlan) -> None:
    """Says what is done with what was found, where it is not as usual."""
    for record in plan.adopted:
        _LOG.info(
            "adopted topic %s (id %s) with %s, configs %s",
            record.name,
            format_uuid(record.topic_id),
            counted(len(record.partitions), "partition"),
            dict(record.configs),
        )
    for record in plan.grown:
        _LOG.warning(
            "topic %s has %s on disk, more than in the metadata: adopted",
            record.name,
            counted(len(record.partitions), "partition"),
        )
    for entry, reason in plan.stray:
        _LOG.error("%s is not served and kept as stray: %s", entry.path, reason)
    for entry, reason in plan.left_alone:
        _LOG.error("%s is not served and left alone: %s", entry.path, reason)
    for entry, _ in plan.damaged:
        _LOG.error("partition in %s stays offline: %s", entry.path, entry.problem)
