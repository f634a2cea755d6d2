"""Reads all metadata from the tree, many nodes at a time."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import unquote

from fastlog.base.uuids import random_uuid
from fastlog.coordination.store import MetadataDamaged, PartitionRecord, TopicRecord
from fastlog.coordination.topic_names import topic_name_problem
from fastlog.coordination.znodes import node_json, paths

_LOG: Final = logging.getLogger(__name__)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_NOBODY: Final = -1
_TOPICS_AT_ONCE: Final = 200


class ReadableTree(Protocol):
    """Where nodes are read, many at a time (`FencedTree`, `StillTree`)."""

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        """Data and version of nodes; None for one that is missing."""
        ...

    async def children(self, path: str) -> list[str]:
        """Names of the children, in order; none of a node that is missing."""
        ...

    async def children_of_all(self, wanted: Sequence[str]) -> list[list[str] | None]:
        """The same of many nodes."""
        ...


@dataclass(slots=True)
class Versions:
    """Of the nodes of one topic, as this broker last saw them; None: there is no such node.

    `parents`: partitions whose node is there, with a state or without; None: not even .../partitions is.
    """

    topic: int
    config: int | None = None
    states: list[int | None] = field(default_factory=list)
    parents: set[int] | None = None

    @property
    def materialised(self) -> int:
        """How many leading partitions have a state: it is written when the partition's directory is there."""
        missing = (number for number, version in enumerate(self.states) if version is None)
        return next(missing, len(self.states))


@dataclass(slots=True)
class Loaded:
    """All that was found."""

    topics: dict[str, TopicRecord] = field(default_factory=dict)
    versions: dict[str, Versions] = field(default_factory=dict)
    without_id: list[str] = field(default_factory=list)
    """Topics that had no id, from before Kafka 2.8: they have a new one, which is to be stored."""
    ghosts: list[str] = field(default_factory=list)
    """Deletions of topics that are gone."""
    broker_configs: dict[int | None, Mapping[str, str]] = field(default_factory=dict)
    group_configs: dict[str, Mapping[str, str]] = field(default_factory=dict)


async def load(tree: ReadableTree) -> Loaded:
    """Reads everything but producer ids. Raises MetadataDamaged, StoreError."""
    loaded = Loaded()
    names = []
    for name in await tree.children(paths.TOPICS):
        if (problem := topic_name_problem(name)) is None:
            names.append(name)
        else:
            _LOG.error("a topic in %s is not served and left alone: %s", paths.TOPICS, ascii(problem)[:400])
    deleting = set(await tree.children(paths.DELETIONS))
    for start in range(0, len(names), _TOPICS_AT_ONCE):
        await load_topics(tree, names[start : start + _TOPICS_AT_ONCE], deleting, loaded)
    loaded.ghosts = sorted(name for name in deleting - set(names) if topic_name_problem(name) is None)
    for name, configs in (await configs_below(tree, paths.BROKER_CONFIGS)).items():
        if name != paths.DEFAULT and _NUMBER.fullmatch(name) is None:
            _LOG.warning("%s/%s is of no broker, and is left alone", paths.BROKER_CONFIGS, ascii(name)[:100])
        elif configs:
            loaded.broker_configs[None if name == paths.DEFAULT else int(name)] = configs
    for name, configs in (await configs_below(tree, paths.GROUP_CONFIGS)).items():
        if configs:
            loaded.group_configs[unquote(name)] = configs
    return loaded


async def load_topics(tree: ReadableTree, names: Sequence[str], deleting: set[str], loaded: Loaded) -> None:
    """Reads some topics; those that are gone are left out."""
    nodes = await tree.read_all([paths.topic(name) for name in names])
    configs = await tree.read_all([paths.topic_config(name) for name in names])
    assignments: dict[str, node_json.Assignment] = {}
    for name, node, config in zip(names, nodes, configs, strict=True):
        if node is not None:
            assignments[name] = node_json.decode_topic(paths.topic(name), node[0])
            loaded.versions[name] = Versions(node[1], None if config is None else config[1])
    partitions = await _load_partitions(tree, assignments, loaded.versions)
    for name, config in zip(names, configs, strict=True):
        if name not in assignments:
            continue
        topic_id = assignments[name].topic_id
        if topic_id is None:
            loaded.without_id.append(name)
        overrides = {} if config is None else node_json.decode_config(paths.topic_config(name), config[0])
        loaded.topics[name] = TopicRecord(
            name=name,
            topic_id=topic_id or random_uuid(),
            partitions=partitions[name],
            configs=MappingProxyType(overrides),
            materialised=loaded.versions[name].materialised,
            deleting=name in deleting,
        )


async def _load_partitions(
    tree: ReadableTree, assignments: Mapping[str, node_json.Assignment], versions: Mapping[str, Versions]
) -> dict[str, tuple[PartitionRecord, ...]]:
    """The partitions of each topic; their versions are added."""
    names = list(assignments)
    parents = await tree.children_of_all([paths.partitions(name) for name in names])
    keys: list[tuple[str, int]] = []
    for name, children in zip(names, parents, strict=True):
        numbers = set(filter(_NUMBER.fullmatch, children or ()))
        versions[name].parents = None if children is None else {int(number) for number in numbers}
        if children:
            keys += [(name, number) for number in range(len(assignments[name].replicas))]
    states = dict(zip(keys, await tree.read_all([paths.state(*key) for key in keys]), strict=True))
    return {
        name: tuple(
            _partition(name, number, replicas, states.get((name, number)), versions[name])
            for number, replicas in enumerate(assignments[name].replicas)
        )
        for name in names
    }


def _partition(
    name: str,
    number: int,
    replicas: tuple[int, ...],
    node: tuple[bytes | None, int] | None,
    versions: Versions,
) -> PartitionRecord:
    versions.states.append(None if node is None else node[1])
    if node is not None:
        return node_json.decode_state(paths.state(name, number), node[0], replicas)
    # Never led: the first replica will lead it.
    leader = replicas[0] if replicas else _NOBODY
    return PartitionRecord(replicas=replicas, isr=replicas, leader=leader)


async def configs_below(
    tree: ReadableTree, parent: str, *, leave_out_damaged: bool = False
) -> dict[str, Mapping[str, str]]:
    """The overrides of all entities whose nodes are below `parent`, by the nodes' names.

    Raises MetadataDamaged for one that cannot be read, unless these are left out.
    """
    names = await tree.children(parent)
    found = await tree.read_all([f"{parent}/{name}" for name in names])
    configs: dict[str, Mapping[str, str]] = {}
    for name, node in zip(names, found, strict=True):
        try:
            if node is not None:
                configs[name] = MappingProxyType(node_json.decode_config(f"{parent}/{name}", node[0]))
        except MetadataDamaged as error:
            if not leave_out_damaged:
                raise
            _LOG.error("settings are left out: %s", error)
    return configs
