"""The file in which earlier releases kept the cluster metadata, in a log directory: read, never written.

It carries a checksum (`metadata_format`). One that is damaged stops the start: nothing on disk is ever
deleted because the metadata does not mention it. `znodes/takeover.py` takes what it says into the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fastlog.base.regular_file import GIBIBYTE, read_regular_file
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged

METADATA_FILE: Final = "fastlog.metadata"
TAKEN_OVER: Final = "fastlog.metadata.taken-over"
"""What the file is called after its content went into a ZooKeeper tree. It is kept."""

_ADVICE: Final = (
    "Restore the file from a backup. To start without it, move it away and add --allow-data-loss: topics are "
    "then found again from their directories, without their configs."
)


def former_files(directories: Sequence[Path]) -> list[Path]:
    """Where there is one. Blocks."""
    return [path for directory in directories if (path := directory / METADATA_FILE).exists()]


def read_former_file(directories: Sequence[Path], cluster_id: str) -> ClusterMetadata | None:
    """What the file in one of these log directories says; None without one. Blocks.

    Raises MetadataDamaged when it cannot be trusted, there are several, or it is not of this cluster.
    """
    files = former_files(directories)
    if not files:
        return None
    if len(files) > 1:
        raise MetadataDamaged(
            f"metadata files in more than one log directory: {', '.join(map(str, files))}. Keep the one that "
            "belongs to this broker and move the others away"
        )
    (path,) = files
    try:
        from fastlog.coordination import metadata_format  # hardly any start needs it

        metadata = metadata_format.decode(read_regular_file(path, GIBIBYTE))
    except OSError as error:
        raise MetadataDamaged(f"cannot read {path}: {error}") from error
    except MetadataDamaged as error:
        raise MetadataDamaged(f"{path} cannot be used: {error}. No data was touched. {_ADVICE}") from error
    if metadata.cluster_id != cluster_id:
        raise MetadataDamaged(
            f"{path} belongs to cluster {metadata.cluster_id}, but meta.properties of the log directories "
            f"names {cluster_id}: these directories do not belong together"
        )
    return metadata
