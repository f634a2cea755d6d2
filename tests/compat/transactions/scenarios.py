"""All scenarios, by the release of Kafka that they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.compat.transactions import (
    additions,
    ends,
    group_offsets,
    inits,
    limits,
    markers,
    views,
    writes,
)
from tests.compat.transactions.play import Scenario


class OfRelease(NamedTuple):
    """By name, as `stage` plays them."""

    first: Mapping[str, Scenario]
    together: Mapping[str, Scenario]
    alone: Mapping[str, Scenario]

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.first, *self.together, *self.alone]


_OF_BOTH: Final = {
    **inits.SCENARIOS,
    **additions.SCENARIOS,
    **writes.SCENARIOS,
    **ends.SCENARIOS,
    **markers.SCENARIOS,
    **group_offsets.SCENARIOS,
    **views.SCENARIOS,
    **limits.SCENARIOS,
}
_RAISING: Final = {
    **writes.RAISING,
    **ends.RAISING,
    **markers.RAISING,
    **group_offsets.RAISING,
    **views.RAISING,
    **limits.RAISING,
}
_ALONE: Final = {**writes.ALONE, **group_offsets.ALONE, **views.ALONE}
OF_KAFKA_3: Final = OfRelease(writes.FIRST, _OF_BOTH, _ALONE)
OF_KAFKA_4: Final = OfRelease(writes.FIRST, {**_OF_BOTH, **_RAISING}, _ALONE)
"""With the second protocol (KIP-890), which 3.9 does not have."""
