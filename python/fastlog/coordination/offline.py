"""Checks the metadata file of a broker that is not running, and topics in it against the directories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastlog.coordination import metadata_format
from fastlog.coordination.file_store import METADATA_FILE
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged
from fastlog.storage.offline.check_directory import DirectoryState
from fastlog.storage.offline.findings import Finding, Severity

__all__ = ["check_metadata"]


def check_metadata(states: Sequence[DirectoryState]) -> list[Finding]:
    """What is wrong with the metadata of the log directories of one broker, taken together."""
    findings: list[Finding] = []
    files = [state.path / METADATA_FILE for state in states if (state.path / METADATA_FILE).exists()]
    if not files:
        if any(state.identity is not None and state.identity.fastlog for state in states):
            findings.append(
                Finding(
                    Severity.DAMAGE,
                    states[0].path / METADATA_FILE,
                    "it is missing, although fastlog has kept topics here",
                    "Name all directories of log.dirs; mount the one that holds the file, or restore it from "
                    "a backup. Without it start once with --allow-data-loss: topics are found again from "
                    "their directories, without their configs.",
                )
            )
        return findings
    findings.extend(
        Finding(Severity.DAMAGE, extra, f"there is one in {files[0].parent} too", "Move the older one away.")
        for extra in files[1:]
    )
    try:
        metadata = metadata_format.decode(files[0].read_bytes())
    except (MetadataDamaged, ValueError) as error:
        findings.append(
            Finding(
                Severity.DAMAGE,
                files[0],
                str(error),
                "Put a backup in its place. Without one: move the file away and start once with "
                "--allow-data-loss.",
            )
        )
        return findings
    _compare(metadata, states, findings)
    return findings


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
    for key, paths in places.items():
        if len(paths) > 1:
            findings.append(
                Finding(
                    Severity.DAMAGE,
                    paths[1],
                    f"the partition is in {paths[0].parent} too",
                    "Move the outdated one away: after a failed disk, the one on it.",
                )
            )
        if key[0] not in metadata.topics:
            findings.append(
                Finding(
                    Severity.NOTE,
                    paths[0],
                    "the metadata does not know this topic",
                    "Nothing needs to be done: the broker takes the topic up at its next start.",
                )
            )
    findings.extend(
        Finding(
            Severity.DAMAGE,
            states[0].path / f"{topic.name}-{number}",
            "the metadata knows this partition, but its directory is gone",
            "Bring the directory back, or start once with --allow-data-loss to begin it anew.",
        )
        for topic in metadata.topics.values()
        for number in range(topic.materialised)
        if (topic.name, number) not in places and not topic.deleting
    )
