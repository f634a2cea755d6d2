"""What verbs that change several things share: asking first, and a row for each thing."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from fastlog.cli.tool.failure_reports import UsageProblem, describe_error
from fastlog.cli.tool.invocation import Session

if TYPE_CHECKING:
    from fastlog.client import ClientError, Cluster

__all__ = ["confirm", "delete_all", "failed_row"]

Delete = Callable[["Cluster", Sequence[str]], Awaitable[Mapping[str, "ClientError | None"]]]


def confirm(question: str) -> None:
    """Asks on a terminal. Raises UsageProblem for a no, and where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageProblem("nobody is there to be asked: give --yes to do it")
    if not typer.confirm(question, err=True):
        raise UsageProblem("nothing was done")


def failed_row(kind: str, name: str, error: ClientError) -> dict[str, Any]:
    """The row of a thing that failed."""
    return {kind: name, "status": "failed", "error": describe_error(error)}


async def delete_all(
    session: Session,
    kind: str,
    names: Sequence[str],
    delete: Delete,
    *,
    what: str,
    yes: bool,
    may_miss: Callable[[ClientError], bool] = lambda _: False,
) -> None:
    """Deletes things of a `kind` with all `what` they hold. An error that `may_miss` takes is none."""
    wanted = list(dict.fromkeys(names))
    if not yes:
        confirm(f"delete {', '.join(wanted)} with all {what}?")
    async with session.connect() as cluster:
        found = await delete(cluster, wanted)
    rows: list[dict[str, Any]] = []
    for name in wanted:
        error = found[name]
        if error is None or may_miss(error):
            rows.append({kind: name, "status": "deleted" if error is None else "missing", "error": None})
            session.out.line(f"deleted {kind} {name}" if error is None else f"{kind} {name} does not exist")
        else:
            session.item_failed(f"{kind} {name}", error)
            rows.append(failed_row(kind, name, error))
    session.out.document(rows)
