"""The cluster's features (KIP-584): which there are, and what becomes of them when an operator asks: pure.

`KNOWN` is the one table of features that can be finalized in `/feature`. `group.version` is not one of them:
it is in force where `group.coordinator.rebalance.protocols` has the consumer protocol.

INVALID_REQUEST is the answer to each update that cannot be (`KafkaController.validateFeatureUpdate`):

* one without a name, or of an unknown type;
* to a level below 1 as an upgrade: a deletion is a downgrade;
* the deletion of what is not finalized;
* to the level that it has, lower as an upgrade, or higher as a downgrade;
* to a level that some registered broker does not know: if it is Kafka's it would end itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from fastlog.errors import ErrorCode, KafkaError

__all__ = [
    "GROUP_VERSION",
    "KNOWN",
    "TRANSACTION_VERSION",
    "Feature",
    "FeatureUpdate",
    "Levels",
    "Supported",
    "UpgradeType",
    "knows",
    "planned",
]

Levels = Mapping[str, int]
"""Finalized levels by feature, from 1 on."""


class Supported(NamedTuple):
    """The levels that a broker knows of a feature: 0 stands for one that is not finalized."""

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Feature:
    """One that this release knows, up to a level."""

    name: str
    highest: int


GROUP_VERSION: Final = Feature("group.version", 1)
TRANSACTION_VERSION: Final = Feature("transaction.version", 2)
"""2: the end of a transaction raises its producer's epoch (KIP-890); clients begin to use it when it is
finalized. The broker takes both protocols whatever is."""
KNOWN: Final[Mapping[str, Feature]] = MappingProxyType({TRANSACTION_VERSION.name: TRANSACTION_VERSION})
"""By name: what can be finalized."""


class UpgradeType(IntEnum):
    """What the operator takes the change for."""

    UPGRADE = 1
    SAFE_DOWNGRADE = 2
    UNSAFE_DOWNGRADE = 3


_TYPES: Final = frozenset(member.value for member in UpgradeType)


@dataclass(frozen=True, slots=True)
class FeatureUpdate:
    """One feature and the level that it is to have; below 1 it is to be finalized no more."""

    name: str
    level: int
    type: int

    @property
    def deletes(self) -> bool:
        """Whether it is not to be finalized any more."""
        return self.level < 1 and self.type != UpgradeType.UPGRADE


def planned(
    update: FeatureUpdate, levels: Levels, brokers: Iterable[tuple[int, Mapping[str, Supported]]]
) -> Levels:
    """The levels after an update; `brokers` are all that are registered, with what they know.

    Raises KafkaError(INVALID_REQUEST).
    """
    name, level = update.name, update.level
    existing = levels.get(name)
    if not name:
        raise _invalid("a feature has a name")
    if update.type not in _TYPES:
        raise _invalid(f"{update.type} is no type of an update")
    if update.deletes:
        if existing is None:
            raise _invalid(f"{name} is not finalized")
        return {other: at for other, at in levels.items() if other != name}
    if level < 1:
        raise _invalid(
            f"{name} cannot be upgraded to {level}: a level below 1 deletes it, which is a downgrade"
        )
    if existing is not None and update.type == UpgradeType.UPGRADE and level <= existing:
        raise _invalid(f"{name} is at {existing}: {level} is no upgrade")
    if existing is not None and update.type != UpgradeType.UPGRADE and level >= existing:
        raise _invalid(f"{name} is at {existing}: {level} is no downgrade")
    unfit = sorted(id_ for id_, known in brokers if not knows(known.get(name), level))
    if unfit:
        raise _invalid(f"{name} cannot be at {level}: brokers {', '.join(map(str, unfit))} do not know that")
    return {**levels, name: level}


def knows(supported: Supported | None, level: int) -> bool:
    """Whether a broker that says this of a feature knows the level."""
    return supported is not None and supported.lowest <= level <= supported.highest


def _invalid(message: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, message)
