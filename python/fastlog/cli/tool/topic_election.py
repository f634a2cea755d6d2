"""`fastlog topic elect`: partitions get the leaders that they should have, or any that lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastlog.base.wording import counted
from fastlog.cli.tool.chosen_partitions import choose_partitions
from fastlog.cli.tool.failure_reports import describe_error
from fastlog.cli.tool.invocation import Session
from fastlog.client import ClientError
from fastlog.client.admin.elections import Election, elect_leaders

__all__ = ["elect"]

_NOT_NEEDED: Final = {
    Election.PREFERRED: "the preferred replica leads",
    Election.UNCLEAN: "a replica in sync leads",
}


async def elect(session: Session, choice: Mapping[str, tuple[int, ...]] | None, election: Election) -> None:
    """Elects leaders of these partitions (None: all). That one is not needed is no failure."""
    async with session.connect() as cluster:
        metadata = await cluster.metadata(None if choice is None else list(choice))
        chosen = choose_partitions(metadata, choice)
        for item, failure in chosen.errors.items():
            session.item_failed(item, failure)
        found = await elect_leaders(cluster, election, [item.name for item in chosen.found])
    rows: list[dict[str, Any]] = []
    idle = 0
    for name, outcome in found.items():
        row: dict[str, Any] = {"topic": name.topic, "partition": name.partition, "status": "elected"}
        if isinstance(outcome, ClientError):
            session.item_failed(f"partition {name}", outcome)
            row["status"] = "failed"
        elif outcome:
            session.out.line(f"partition {name}: a leader was elected")
        else:
            idle += 1
            row["status"] = "not_needed"
        rows.append(row | {"error": describe_error(outcome) if isinstance(outcome, ClientError) else None})
    if idle:
        session.out.note(f"not needed for {counted(idle, 'partition')}: {_NOT_NEEDED[election]}")
    session.out.document(rows)
