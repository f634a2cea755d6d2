"""Brings topics up: metadata and directories are read, put side by side, opened, and shown.

The order matters. Nothing on the disk changes before the metadata is known to be sound and the directories to
be this broker's; nothing is visible before it is open.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.uuids import format_uuid
from fastlog.base.wording import counted
from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.lifecycle import BrokerConfigs
from fastlog.coordination.producer_ids import ProducerIds
from fastlog.coordination.startup_plan import StartupPlan, other_owners, plan_startup
from fastlog.coordination.store import ANY_VERSION, MetadataStore, PartitionRecord, TopicRecord
from fastlog.coordination.topics import TopicService
from fastlog.native import LogConfig
from fastlog.storage.log_manager import LogManager
from fastlog.storage.meta_properties import META_PROPERTIES_FILE, IdentityError
from fastlog.storage.partition_dirs import DirectoryKind
from fastlog.storage.recovery import Opening
from fastlog.storage.starting import Opened, Preparation

_LOG: Final = logging.getLogger(__name__)

# The settings of a log, from a topic's name and overrides.
LogConfigFor = Callable[[str, Mapping[str, str]], LogConfig]


@dataclass(frozen=True, slots=True)
class Coordination:
    """The parts that start-up ties together."""

    node_id: int
    store: MetadataStore
    view: ClusterView
    topics: TopicService
    producer_ids: ProducerIds
    broker_configs: BrokerConfigs
    log_config_for: LogConfigFor


async def start_topics(parts: Coordination, logs: LogManager, preparation: Preparation) -> None:
    """From a prepared `LogManager` to topics that can be served.

    Raises FastlogError when the broker must not start: damaged metadata, directories of another cluster
    or broker.
    """
    metadata = await parts.store.load(preparation.cluster_id)
    owners = other_owners(metadata.topics, parts.node_id)
    # Where the two contradict each other, that is said next.
    if owners is not None and preparation.node_id in (None, parts.node_id):
        raise IdentityError(
            f"this is broker {parts.node_id}, by its configuration or {META_PROPERTIES_FILE} in its log "
            f"directories, but the metadata says that the partitions belong to {owners}. Nothing was "
            "touched. Correct broker.id where it is wrong"
        )
    await logs.confirm_identity(metadata.cluster_id, parts.node_id)
    parts.view.set_identity(metadata.cluster_id, parts.node_id)
    parts.view.set_broker_configs(metadata.broker_configs)
    parts.view.set_group_configs(metadata.group_configs)
    parts.broker_configs.adopt()
    plan = plan_startup(metadata.topics, preparation.partitions, parts.node_id)
    _report(plan)
    for entry in plan.remove:
        await logs.set_aside(entry.path, entry.topic, entry.partition, DirectoryKind.DELETED)
    for entry, _ in plan.stray:
        await logs.set_aside(entry.path, entry.topic, entry.partition, DirectoryKind.STRAY)
    records = await _store_found(parts.store, metadata.topics, plan)
    opened = await logs.open(
        [
            Opening(entry, topic_id, parts.log_config_for(entry.topic, records[entry.topic].configs))
            for entry, topic_id in plan.open
        ]
    )
    _note_closed(logs, plan)
    parts.producer_ids.keep_above(opened.highest_producer_id)
    records |= await parts.store.set_leadership(_new_epochs(records, opened, logs))
    await parts.topics.start(
        records,
        lambda topic, number: (
            logs.offline_reason(topic, number) is None or logs.waits_for_room(topic, number)
        ),
    )
    await parts.topics.finish_changes()


def _report(plan: StartupPlan) -> None:
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


async def adopt_found(store: MetadataStore, preparation: Preparation, node_id: int) -> None:
    """Takes up topics that are in the log directories only. Raises StoreError."""
    metadata = await store.load(preparation.cluster_id)
    plan = plan_startup(metadata.topics, preparation.partitions, node_id)
    # What becomes of the rest is decided, and told, when the logs are opened.
    _report(StartupPlan(adopted=plan.adopted, grown=plan.grown))
    await _store_found(store, metadata.topics, plan)


async def _store_found(
    store: MetadataStore, topics: Mapping[str, TopicRecord], plan: StartupPlan
) -> dict[str, TopicRecord]:
    """Stores what was found on the disk only, before it is served."""
    records = dict(topics)
    for record in plan.adopted:
        (made,) = await store.create_topics([record])
        if made.materialised < record.materialised:
            # Its directories are there. Until it is shown, what groups have committed of it would be removed.
            made = await store.set_materialised(record.name, record.materialised, ANY_VERSION)
        records[record.name] = made
    for record in plan.grown:
        added = record.partitions[len(topics[record.name].partitions) :]
        await store.add_partitions({record.name: (ANY_VERSION, added)})
        records[record.name] = await store.set_materialised(record.name, record.materialised, ANY_VERSION)
    return records


def _note_closed(logs: LogManager, plan: StartupPlan) -> None:
    for entry, topic_id in plan.damaged:
        logs.note_unusable(entry, topic_id)
    for (topic, partition), topic_id in plan.lost:
        if logs.settings.allow_data_loss and logs.complete:
            _LOG.error("the data of %s-%d is lost, it starts empty (--allow-data-loss)", topic, partition)
            continue
        logs.note_missing(topic, partition, topic_id)
        _LOG.error(
            "%s-%d stays offline: %s. Bring its directory back, or start with --allow-data-loss to begin it "
            "anew, empty",
            topic,
            partition,
            logs.offline_reason(topic, partition),
        )


def _new_epochs(
    records: Mapping[str, TopicRecord], opened: Opened, logs: LogManager
) -> dict[str, dict[int, PartitionRecord]]:
    """Partitions that get a new leader epoch.

    After an unclean end the tail of a log may be gone and its offsets will be used again: under a new epoch,
    so that a consumer or a follower that saw the old records can tell. The same when the log knows a later
    epoch than the metadata, which then comes from an older backup.
    """
    changes: dict[str, dict[int, PartitionRecord]] = defaultdict(dict)
    for topic, partition in opened.partitions:
        state = records[topic].partitions[partition]
        log = logs.get(topic, partition)
        latest = -1 if log is None else log.latest_epoch
        if (topic, partition) in opened.unclean and latest >= 0:
            changes[topic][partition] = replace(state, leader_epoch=max(state.leader_epoch, latest) + 1)
        elif latest > state.leader_epoch:
            changes[topic][partition] = replace(state, leader_epoch=latest + 1)
    for topic, partition in opened.postponed:
        if (topic, partition) in opened.unclean:
            state = records[topic].partitions[partition]
            changes[topic][partition] = replace(state, leader_epoch=state.leader_epoch + 1)
    return changes
