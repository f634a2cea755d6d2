"""`fastlog-broker` that writes wrong markers: `python -m tests.compat.careless_broker HOW ...`.

A check that has never failed may be unable to. With each of these brokers the tests of exactly-once
applications must find something.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from fastlog.cli.broker.main import main
from fastlog.coordination.transactions.completions import Marker, Outcomes
from fastlog.server.produce.markers import LeaderMarkers

_LOST: Final = 4
"""Each fourth commit is lost, of those of one partition of a topic."""


def aborts(marker: Marker, _: int) -> Marker:
    """What was aborted can be read: the records of the transaction, though not its offsets, are committed."""
    return replace(marker, commits=True)


def commits(marker: Marker, number: int) -> Marker:
    """Some of what was committed cannot be read."""
    return replace(marker, commits=marker.commits and number % _LOST != 0)


Careless = Callable[[Marker, int], Marker]
HOW: Final[dict[str, Careless]] = {"aborts": aborts, "commits": commits}
TWICE: Final = r"[1-9]\d* more than once|words differ|lines, first|a late reader is given other records"
"""What the tests say of a topic with more in it than there should be."""
MISSING: Final = r"[1-9]\d* missing|words differ|lines, first|\d+ of \d+ records in"
SAID: Final = {"aborts": TWICE, "commits": MISSING}
"""By the way in which a broker is careless: what it is to be found out by."""


def spoil(careless: Careless) -> None:
    """Has markers changed, but for those in internal topics."""
    write = LeaderMarkers.write
    numbers = itertools.count(1)

    async def spoilt(self: LeaderMarkers, markers: Sequence[Marker]) -> list[Outcomes]:
        internal = [_of(marker, internal=True) for marker in markers]
        others = [_of(marker, internal=False) for marker in markers]
        outcomes = [dict(found) for found in await write(self, internal)]
        changed = [careless(marker, next(numbers)) if marker.partitions else marker for marker in others]
        for outcome, found in zip(outcomes, await write(self, changed), strict=True):
            outcome.update(found)
        return list(outcomes)

    LeaderMarkers.write = spoilt  # type: ignore[method-assign]


def _of(marker: Marker, *, internal: bool) -> Marker:
    partitions = tuple(key for key in marker.partitions if key[0].startswith("__") == internal)
    return replace(marker, partitions=partitions)


def command(how: str) -> list[str]:
    """The command line, to which the broker's own arguments are added."""
    return [sys.executable, "-m", "tests.compat.careless_broker", how]


if __name__ == "__main__":
    spoil(HOW[sys.argv.pop(1)])
    main()
