"""Checks the metadata of a broker that is not running, and topics in it against the directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastlog.base.regular_file import GIBIBYTE, read_regular_file
from fastlog.coordination import metadata_format
from fastlog.coordination.embedded import KEEPER_DIRECTORY
from fastlog.coordination.former_file import METADATA_FILE, former_files
from fastlog.coordination.keeper.journal import KeeperDamaged
from fastlog.coordination.startup_plan import StartupPlan, other_owners, plan_startup
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged, TopicRecord
from fastlog.coordination.znodes.still_tree import read_metadata
from fastlog.storage.adopt import list_log_directory
from fastlog.storage.meta_properties import META_PROPERTIES_FILE
from fastlog.storage.offline.check_directory import DirectoryState
from fastlog.storage.offline.findings import Finding, Severity

__all__ = ["check_metadata", "read_offline"]


def check_metadata(states: Sequence[DirectoryState]) -> list[Finding]:
    """What is wrong with the metadata of the log directories of one broker, taken together."""
    findings: list[Finding] = []
    homes = _with(states, KEEPER_DIRECTORY)
    files = _with(states, METADATA_FILE)
    for found in (homes, files):
        findings.extend(
            Finding(
                Severity.DAMAGE, extra, f"there is one in {found[0].parent} too", "Move the older one away."
            )
            for extra in found[1:]
        )
    if not homes and not files:
        if any(state.identity is not None and state.identity.fastlog for state in states):
            findings.append(
                Finding(
                    Severity.DAMAGE,
                    states[0].path / KEEPER_DIRECTORY,
                    "it is missing, although fastlog has kept topics here",
                    "Name all directories of log.dirs; mount the one that holds it, or restore it from a "
                    "backup. Without it start once with --allow-data-loss: topics are found again from "
                    "their directories, without their configs.",
                )
            )
        else:
            _plan({}, states, findings)
        return findings
    place = homes[0] if homes else files[0]
    try:
        metadata = read_metadata(homes[0]) if homes else None
        if files:
            # It was being taken into the keeper, which may have a part of it.
            place = files[0]
            metadata = _read_file(files[0])
        if metadata is None:
            raise MetadataDamaged("it knows no cluster, although fastlog has kept topics here")
    except (KeeperDamaged, MetadataDamaged, ValueError, OSError) as error:
        findings.append(
            Finding(
                Severity.DAMAGE,
                place,
                str(error),
                "Put a backup in its place. Without one: move it away and start once with --allow-data-loss.",
            )
        )
        return findings
    _compare(metadata, states, findings)
    return findings


def read_offline(directories: Sequence[Path]) -> ClusterMetadata:
    """The metadata of a broker that does not run, from its log directories. Blocks.

    Raises MetadataDamaged, KeeperDamaged, OSError.
    """
    files = former_files(directories)
    if len(files) == 1:
        return _read_file(files[0])
    homes = [home for each in directories if (home := each / KEEPER_DIRECTORY).exists()]
    if len(homes) != 1:
        raise MetadataDamaged(
            f"{KEEPER_DIRECTORY} is in {len(homes)} of these directories: name those of log.dirs"
        )
    metadata = read_metadata(homes[0])
    if metadata is None:
        raise MetadataDamaged(f"{homes[0]} knows no cluster")
    return metadata


def _read_file(path: Path) -> ClusterMetadata:
    return metadata_format.decode(read_regular_file(path, GIBIBYTE))


def _with(states: Sequence[DirectoryState], name: str) -> list[Path]:
    return [path for state in states if (path := state.path / name).exists()]


def _compare(metadata: ClusterMetadata, states: Sequence[DirectoryState], findings: list[Finding]) -> None:
    places: dict[tuple[str, int], list[Path]] = {}
    for state in states:
        if state.identity is not None and state.identity.cluster_id != metadata.cluster_id:
            findings.append(
                Finding(
                    Severity.DAMAGE,
                    state.path / "meta.properties",
                    f"it names cluster {state.identity.cluster_id}, the metadata {metadata.cluster_id}",
                    "These directories do not belong together: take this one out of log.dirs.",
                )
            )
        for partition in state.partitions:
            places.setdefault((partition.topic, partition.partition), []).append(partition.path)
    findings.extend(
        Finding(
            Severity.DAMAGE,
            paths[1],
            f"the partition is in {paths[0].parent} too",
            "Move the outdated one away: after a failed disk, the one on it.",
        )
        for paths in places.values()
        if len(paths) > 1
    )
    findings.extend(
        Finding(
            Severity.NOTE,
            next(paths[0] for key, paths in sorted(places.items()) if key[0] == record.name),
            "the metadata does not know this topic",
            "Nothing needs to be done: the broker takes the topic up at its next start.",
        )
        for record in _plan(metadata.topics, states, findings).adopted
    )


def _plan(
    topics: Mapping[str, TopicRecord], states: Sequence[DirectoryState], findings: list[Finding]
) -> StartupPlan:
    """What a start would decide about each partition."""
    identities = [(state, state.identity) for state in states if state.identity is not None]
    for state, identity in identities:
        owners = other_owners(topics, identity.node_id)
        if owners is not None:
            findings.append(
                Finding(
                    Severity.DAMAGE,
                    state.path / META_PROPERTIES_FILE,
                    f"it names broker {identity.node_id}, but the metadata has all partitions on {owners}",
                    "The broker does not start: correct the file.",
                )
            )
            return StartupPlan()
    node_id = identities[0][1].node_id if identities else _any_owner(topics)
    found = [entry for state in states for entry in list_log_directory(state.path).partitions]
    plan = plan_startup(topics, found, node_id)
    for entry, reason in plan.stray:
        findings.append(
            Finding(
                Severity.DAMAGE,
                entry.path,
                f"the broker will not serve it, and rename it to -stray: {reason}",
                "Find out whose data it is. When partition.metadata is wrong, remove that file: it is "
                "written again at the next start.",
            )
        )
    for entry, reason in plan.left_alone:
        findings.append(
            Finding(
                Severity.WARNING,
                entry.path,
                f"the broker will not serve it: {reason}",
                "Find out whose data it is. It is left alone.",
            )
        )
    findings.extend(
        Finding(
            Severity.DAMAGE,
            states[0].path / f"{topic}-{number}",
            "the metadata knows this partition, but its directory is gone",
            "Bring the directory back, or start once with --allow-data-loss to begin it anew.",
        )
        for (topic, number), _ in plan.lost
        if not any((entry.topic, entry.partition) == (topic, number) for entry in found)
    )
    return plan


def _any_owner(topics: Mapping[str, TopicRecord]) -> int:
    owners = (part.replicas[0] for topic in topics.values() for part in topic.partitions if part.replicas)
    return next(owners, 0)
