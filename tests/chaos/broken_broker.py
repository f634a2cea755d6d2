"""A broker without one guard of the group coordinator: `python -m tests.chaos.broken_broker GUARD ...`.

A check that has never failed may be unable to. Each of these brokers must make a run fail.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fastlog.cli.broker.main import main
from fastlog.coordination.groups import loading
from fastlog.coordination.groups.classic import syncing
from fastlog.coordination.groups.classic.state import Group
from fastlog.errors import ErrorCode


def commits_of_anybody() -> None:
    """OffsetCommit looks neither at the member nor at the generation."""

    def no_error(*_: object) -> ErrorCode:
        return ErrorCode.NONE

    Group.commit_error = no_error  # type: ignore[method-assign, assignment]


def shared_assignments() -> None:
    """SyncGroup gives the last member the part of the first, from a broker's second generation on."""
    assigned: Callable[[Group, bytes], Any] = syncing._assigned
    generations: set[int] = set()

    def shared(group: Group, assignment: bytes) -> Any:
        generations.add(group.generation)
        parts = [member.assignment for member in group.members]
        if len(generations) > 1 and assignment == parts[-1]:
            assignment = parts[0]
        return assigned(group, assignment)

    syncing._assigned = shared


def forgetful_start() -> None:
    """A start leaves out the last commits, as a broker would that acknowledges before it writes."""
    apply = loading.LoadedPartition.apply

    def without_the_last(self: loading.LoadedPartition, records: Any) -> None:
        rows = list(records)
        apply(self, rows[: -max(len(rows) // 3, 1)])

    loading.LoadedPartition.apply = without_the_last  # type: ignore[method-assign]


GUARDS: dict[str, Callable[[], None]] = {
    "commits": commits_of_anybody,
    "assignments": shared_assignments,
    "start": forgetful_start,
}


def command(guard: str) -> list[str]:
    """The command line, to which the broker's own arguments are added."""
    return [sys.executable, "-m", "tests.chaos.broken_broker", guard]


if __name__ == "__main__":
    GUARDS[sys.argv.pop(1)]()
    main()
