"""Server-side assignors of the consumer protocol, by the names that members ask for."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from fastlog.coordination.groups.consumer.assignors import range as range_assignor
from fastlog.coordination.groups.consumer.assignors import uniform
from fastlog.coordination.groups.consumer.assignors.spec import Assignor

ASSIGNORS: Final = MappingProxyType[str, Assignor](
    {"uniform": uniform.assign, "range": range_assignor.assign}
)
"""All of them. Kafka's configuration may also name them by their Java classes."""

_CLASSES: Final = {
    "org.apache.kafka.coordinator.group.assignor.UniformAssignor": "uniform",
    "org.apache.kafka.coordinator.group.assignor.RangeAssignor": "range",
}


def assignor_names(configured: Iterable[str]) -> tuple[str, ...]:
    """The assignors of `group.consumer.assignors` in their order, the first being the default.

    Java classes of others are left out; with none left it is all that there are.
    """
    names = [_CLASSES.get(name, name) for name in configured]
    known = tuple(dict.fromkeys(name for name in names if name in ASSIGNORS))
    return known or tuple(ASSIGNORS)
