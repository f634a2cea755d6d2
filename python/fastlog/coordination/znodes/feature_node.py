"""/feature: the levels that the cluster has finalized (KIP-584), as `FeatureZNode` of Kafka 3.9 has them.

    {"version":2,"status":1,"features":{"transaction.version":{"max_version_level":2}}}

Its version in the tree is their epoch. Status 0 says that nothing is finalized, whatever is listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastlog.coordination.features import Feature, Levels, Supported
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json

_ENABLED: Final = 1
_LOWEST: Final = 1
"""Of the levels that a broker registers: Kafka's controller before 3.9 takes no lower one."""


def encode(levels: Levels) -> bytes:
    """The node with these levels."""
    features = {name: {"max_version_level": level} for name, level in sorted(levels.items())}
    return node_json.dump({"version": 2, "status": _ENABLED, "features": features})


def decode(path: str, data: bytes | None) -> dict[str, int]:
    """The same, read. Raises MetadataDamaged."""
    fields = node_json.load(path, data)
    if fields.get("status") != _ENABLED:
        return {}
    return {name: _level(path, entry, "max_version_level") for name, entry in _entries(path, fields).items()}


def registered(known: Mapping[str, Feature]) -> dict[str, dict[str, int]]:
    """What a registration says of the features that its broker knows."""
    return {name: {"min_version": _LOWEST, "max_version": feature.highest} for name, feature in known.items()}


def supported(path: str, fields: Mapping[str, object]) -> dict[str, Supported]:
    """The same, read from the fields of a registration; of an old broker there is nothing."""
    return {
        name: Supported(_level(path, entry, "min_version"), _level(path, entry, "max_version"))
        for name, entry in _entries(path, fields).items()
    }


def _entries(path: str, fields: Mapping[str, object]) -> Mapping[str, object]:
    entries = fields.get("features") or {}
    if not isinstance(entries, dict):
        raise MetadataDamaged(f"{path}: features are not an object")
    return entries


def _level(path: str, entry: object, name: str) -> int:
    if not isinstance(entry, dict):
        raise MetadataDamaged(f"{path}: a feature has no levels")
    return node_json.number(path, entry.get(name))
