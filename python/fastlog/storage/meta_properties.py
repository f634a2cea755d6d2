"""`meta.properties`: which cluster and broker a log directory belongs to (Kafka's `MetaProperties`).

| key             | version 0 (ZooKeeper era) | version 1 (KRaft) |
|-----------------|---------------------------|-------------------|
| version         | 0, or absent              | 1                 |
| cluster.id      | yes                       | yes               |
| broker.id       | yes                       | -                 |
| node.id         | -                         | yes               |
| directory.id    | optional                  | optional          |
| fastlog.version | 1 once fastlog keeps its metadata in these directories; Kafka ignores it |

A directory keeps the version it came with; new ones are written as version 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastlog.base.files import write_atomically
from fastlog.base.quick_dataclass import dataclass
from fastlog.base.regular_file import read_regular_file
from fastlog.base.uuids import format_uuid, parse_uuid, random_uuid
from fastlog.errors import FastlogError
from fastlog.storage.properties_file import format_properties, parse_properties

META_PROPERTIES_FILE: Final = "meta.properties"
_FASTLOG_VERSION: Final = "1"
_NODE_ID: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_KNOWN_KEYS: Final = frozenset(
    {"version", "cluster.id", "broker.id", "node.id", "directory.id", "fastlog.version"}
)


class IdentityError(FastlogError):
    """A log directory belongs to another broker or cluster, or does not clearly say whose it is."""


@dataclass(frozen=True, slots=True)
class MetaProperties:
    """The content of the file. `version` is 0 or 1, `directory_id` 16 bytes."""

    cluster_id: str
    node_id: int
    version: int = 0
    directory_id: bytes | None = None
    fastlog: bool = False
    extra: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> MetaProperties:
        """Reads the text of a file. Raises IdentityError when something is missing or makes no sense."""
        try:
            values = parse_properties(text)
        except ValueError as error:
            raise IdentityError(str(error)) from error
        version = values.get("version", "0")
        if version not in {"0", "1"}:
            raise IdentityError(f"version {version!r} is not known")
        node_key = "broker.id" if version == "0" else "node.id"
        fastlog = values.get("fastlog.version")
        if fastlog not in {None, _FASTLOG_VERSION}:
            raise IdentityError(
                f"fastlog.version {fastlog!r} is not known; it was written by a newer fastlog"
            )
        node_id = _required(values, node_key)
        if _NODE_ID.fullmatch(node_id) is None:
            raise IdentityError(f"{node_key} {node_id!r} is not a broker id")
        directory_id = values.get("directory.id")
        return cls(
            cluster_id=_required(values, "cluster.id"),
            node_id=int(node_id),
            version=int(version),
            directory_id=None if directory_id is None else _directory_id(directory_id),
            fastlog=fastlog is not None,
            extra=tuple((key, value) for key, value in values.items() if key not in _KNOWN_KEYS),
        )

    def format(self) -> str:
        """The text of the file."""
        values = {
            "version": str(self.version),
            "broker.id" if self.version == 0 else "node.id": str(self.node_id),
            "cluster.id": self.cluster_id,
        }
        if self.directory_id is not None:
            values["directory.id"] = format_uuid(self.directory_id)
        if self.fastlog:
            values["fastlog.version"] = _FASTLOG_VERSION
        return format_properties({**values, **dict(self.extra)})


def read_meta_properties(directory: Path) -> MetaProperties | None:
    """The file of a log directory, None when there is none. Raises IdentityError, OSError."""
    path = directory / META_PROPERTIES_FILE
    try:
        data = read_regular_file(path)
    except FileNotFoundError:
        return None
    try:
        # Java writes these files in Latin-1.
        return MetaProperties.parse(data.decode("latin-1"))
    except IdentityError as error:
        raise IdentityError(
            f"{path} cannot be used: {error}. Correct it by hand: it must name the cluster and the broker "
            "that the data belongs to"
        ) from error


def confirm_identity(
    directory: Path, found: MetaProperties | None, cluster_id: str, node_id: int
) -> MetaProperties:
    """Checks a directory's file against this broker and completes it; writes it only when it changes.

    Raises IdentityError when the directory belongs to another cluster or broker, OSError.
    """
    path = directory / META_PROPERTIES_FILE
    if found is not None and found.cluster_id != cluster_id:
        raise IdentityError(
            f"{path} names cluster {found.cluster_id}, this broker belongs to {cluster_id}: the directory "
            "holds the data of another cluster"
        )
    if found is not None and found.node_id != node_id:
        raise IdentityError(
            f"{path} names broker {found.node_id}, this one is configured as {node_id}: set "
            f"broker.id={found.node_id} or use another directory"
        )
    wanted = found or MetaProperties(cluster_id=cluster_id, node_id=node_id)
    wanted = replace(wanted, fastlog=True, directory_id=wanted.directory_id or random_uuid())
    if wanted != found:
        write_atomically(path, wanted.format().encode("latin-1"))
    return wanted


def _required(values: Mapping[str, str], key: str) -> str:
    value = values.get(key, "")
    if not value:
        raise IdentityError(f"{key} is missing")
    return value


def _directory_id(text: str) -> bytes:
    try:
        return parse_uuid(text)
    except ValueError as error:
        raise IdentityError(f"directory.id: {error}") from error
