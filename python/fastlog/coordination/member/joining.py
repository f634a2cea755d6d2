"""A member's way into its cluster, up to where its logs are open: whose directories these are, what the tree
says of configs and topics, and which logs there are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.lifecycle import BrokerConfigs
from fastlog.coordination.member.found_logs import FoundLogs, sort_found
from fastlog.coordination.member.overrides import TopicOverrides
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import MetadataDamaged, StoreError
from fastlog.coordination.znodes import controller_json, node_json, paths, registration
from fastlog.coordination.znodes.tree_loading import configs_below
from fastlog.native import LogConfig
from fastlog.storage.log_manager import LogManager
from fastlog.storage.partition_dirs import DirectoryKind
from fastlog.storage.recovery import Opening
from fastlog.storage.starting import Opened, Preparation

_LOG: Final = logging.getLogger(__name__)
_TOPICS_AT_ONCE: Final = 1000
_FIRST_LOOK: Final = 10


async def find_identity(
    tree: MemberTree, preparation: Preparation, node_id: int | None, reserved: int | None
) -> tuple[str, int]:
    """(cluster id, node id): the id that is configured, or that the directories remember, or a new one.

    A new one is above `reserved`; None where ids are not handed out. Raises StoreError.
    """
    await registration.make_paths(tree)
    cluster_id = await registration.cluster_id(tree, preparation.cluster_id)
    if node_id is None:
        node_id = preparation.node_id
    if node_id is None:
        if reserved is None:
            raise StoreError("broker.id is not set, and broker.id.generation.enable is false")
        node_id = await registration.generated_id(tree, reserved)
    return cluster_id, node_id


async def is_empty(tree: MemberTree, node_id: int) -> bool:
    """Whether there are no topics, and no brokers but this one. Raises StoreError."""
    if not await has_no_topics(tree):
        return False
    return set(await tree.children(paths.BROKER_IDS)) <= {str(node_id)}


async def has_no_topics(tree: MemberTree) -> bool:
    """Whether there are none in the cluster. Raises StoreError."""
    return not await tree.children(paths.TOPICS)


async def has_led_partitions(tree: MemberTree) -> bool:
    """Whether there is one of which a controller tells: it has a state, and is not being deleted.

    Raises StoreError.
    """
    doomed = set(await tree.children(paths.DELETIONS))
    names = [name for name in await tree.children(paths.TOPICS) if name not in doomed]
    size, start = _FIRST_LOOK, 0
    while start < len(names):
        some = names[start : start + size]
        numbers = await tree.children_of_all([paths.partitions(name) for name in some])
        states = [
            paths.state(name, int(number))
            for name, found in zip(some, numbers, strict=True)
            for number in found or ()
            if number.isdecimal()
        ]
        for path, node in zip(states, await tree.read_all(states), strict=True):
            if node is not None and _is_state(path, node[0]):
                return True
        # Nearly always it is one of the first.
        start, size = start + size, _TOPICS_AT_ONCE
    return False


async def load_configs(tree: MemberTree, view: ClusterView, broker_configs: BrokerConfigs) -> None:
    """Brings the overrides of brokers and groups into force, those that can be read. Raises StoreError.

    Not to start would leave no way to correct the others.
    """
    brokers: dict[int | None, Mapping[str, str]] = {}
    of_brokers = await configs_below(tree, paths.BROKER_CONFIGS, leave_out_damaged=True)
    for name, configs in of_brokers.items():
        if name == paths.DEFAULT:
            brokers[None] = configs
        elif name.isascii() and name.isdecimal():
            brokers[int(name)] = configs
    groups = await configs_below(tree, paths.GROUP_CONFIGS, leave_out_damaged=True)
    view.set_broker_configs({key: values for key, values in brokers.items() if values})
    view.set_group_configs({unquote(name): values for name, values in groups.items() if values})
    broker_configs.adopt()


async def open_logs(
    tree: MemberTree,
    logs: LogManager,
    preparation: Preparation,
    overrides: TopicOverrides,
    log_config_for: Callable[[str, Mapping[str, str]], LogConfig],
) -> Opened:
    """Opens what is in the log directories. Raises StoreError."""
    found = sort_found(preparation.partitions, await topic_ids(tree))
    _report(found)
    for entry, _ in found.stray:
        await logs.set_aside(entry.path, entry.topic, entry.partition, DirectoryKind.STRAY)
    await overrides.need({entry.topic: topic_id for entry, topic_id in found.open})
    opened = await logs.open(
        [
            Opening(entry, topic_id, log_config_for(entry.topic, overrides.get(entry.topic)))
            for entry, topic_id in found.open
        ]
    )
    for entry, topic_id in found.damaged:
        logs.note_unusable(entry, topic_id)
    return opened


async def topic_ids(tree: MemberTree) -> dict[str, bytes | None]:
    """The topics that there are, with their ids; what cannot be read is left out. Raises StoreError."""
    names = await tree.children(paths.TOPICS)
    found: dict[str, bytes | None] = {}
    for start in range(0, len(names), _TOPICS_AT_ONCE):
        some = names[start : start + _TOPICS_AT_ONCE]
        nodes = await tree.read_all([paths.topic(name) for name in some])
        for name, node in zip(some, nodes, strict=True):
            if node is None:
                continue
            try:
                found[name] = node_json.decode_topic(paths.topic(name), node[0]).topic_id
            except MetadataDamaged as error:
                _LOG.error("%s", error)
    return found


async def topic_id(tree: MemberTree, topic: str) -> bytes | None:
    """The id that the tree gives a topic, None for none. Raises StoreError."""
    node = await tree.read(paths.topic(topic))
    if node is None:
        return None
    try:
        return node_json.decode_topic(paths.topic(topic), node[0]).topic_id
    except MetadataDamaged as error:
        _LOG.error("%s", error)
        return None


async def partitions_of(tree: MemberTree, topic: str) -> int:
    """How many partitions the tree gives a topic, 0 for none. Raises StoreError."""
    node = await tree.read(paths.topic(topic))
    if node is None:
        return 0
    try:
        return len(node_json.decode_topic(paths.topic(topic), node[0]).replicas)
    except MetadataDamaged as error:
        _LOG.error("%s", error)
        return 0


def _is_state(path: str, data: bytes | None) -> bool:
    try:
        controller_json.decode_state(path, data, 0, 0)
    except MetadataDamaged:
        return False
    return True


def _report(found: FoundLogs) -> None:
    for entry, reason in found.stray:
        _LOG.error("%s is not served and kept as stray: %s", entry.path, reason)
    for entry, reason in found.left_alone:
        _LOG.error("%s is not served and left alone: %s", entry.path, reason)
    for entry, _ in found.damaged:
        _LOG.error("partition in %s stays offline: %s", entry.path, entry.problem)
