"""Which kinds of brokers the clusters under test are made of: the one place where fastlog joins in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

Kind = Literal["kafka", "fastlog"]
Kinds = tuple[Kind, ...]

ENABLED: Final[frozenset[Kind]] = frozenset({"kafka", "fastlog"})
"""The kinds whose clusters are tested: those that pass."""

_OF_THREE: Final[tuple[Kinds, ...]] = (
    ("kafka", "kafka", "kafka"),
    ("kafka", "kafka", "fastlog"),
    ("fastlog", "kafka", "fastlog"),
    ("fastlog", "fastlog", "fastlog"),
)
_REPLACEMENTS: Final[tuple[tuple[Kind, Kind], ...]] = (
    ("kafka", "kafka"),
    ("kafka", "fastlog"),
    ("fastlog", "fastlog"),
)


def clusters(*, whole: bool) -> Sequence[Kinds]:
    """The clusters of three that are tested; not `whole`: ours beside two of Kafka's, and three of ours."""
    possible = [kinds for kinds in _OF_THREE if ENABLED.issuperset(kinds)]
    return possible if whole else [possible[1], possible[-1]]


def uniform() -> list[Kinds]:
    """Clusters of three of each kind that is tested: what benchmarks set side by side."""
    return [(kind,) * 3 for kind in ("fastlog", "kafka") if kind in ENABLED]


def replacements() -> Sequence[tuple[Kind, Kind]]:
    """(kind, its successor) for clusters whose members are replaced one by one, and back again."""
    return [pair for pair in _REPLACEMENTS if ENABLED.issuperset(pair)]


def parse(text: str) -> Kinds:
    """Kinds from a command line: "kafka,kafka,fastlog", or "fastlog*3". Raises ValueError."""
    kinds: list[Kind] = []
    for part in text.split(","):
        name, _, count = part.partition("*")
        if name == "kafka":
            kinds += ["kafka"] * int(count or 1)
        elif name == "fastlog":
            kinds += ["fastlog"] * int(count or 1)
        else:
            raise ValueError(f"{name!r} is not a kind of broker: kafka or fastlog")
    return tuple(kinds)


def named(kinds: Sequence[Kind]) -> str:
    """How a test or a table calls a cluster of these kinds."""
    return "-".join(kinds) if len(set(kinds)) > 1 else f"{kinds[0]} x{len(kinds)}"
