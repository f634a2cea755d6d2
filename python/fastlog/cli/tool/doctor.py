"""`fastlog doctor`: checks the data directories of a broker that is stopped, and says what to do next."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fastlog.base.wording import counted
from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.tool.failure_reports import UsageProblem, exit_code_of, tell
from fastlog.cli.tool.invocation import OutputOption, Session, asks_json
from fastlog.cli.tool.output import Column, Printer, size_text
from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.coordination.transactions.offline import OpenTransaction
    from fastlog.coordination.transactions.stored_ids import StoredId
    from fastlog.storage.offline.check_directory import DirectoryState
    from fastlog.storage.offline.findings import Finding

__all__ = ["Examined", "doctor", "examine", "held"]

_SEGMENT: Final = re.compile(r"\d{20}\.log")
_PARTITIONS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("segments", "segments", "number"),
    Column("batches", "batches", "number"),
    Column("records", "records", "number"),
    Column("start_offset", "start", "number"),
    Column("end_offset", "end", "number"),
    Column("size_bytes", "size", "size"),
    Column("sound", "sound"),
)


def doctor(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="All directories of the broker's log.dirs.")
    ],
    output: OutputOption = None,
    partitions: Annotated[
        bool, typer.Option("--partitions", "-p", help="List every partition, not only findings.")
    ] = False,
    transactions: Annotated[
        bool, typer.Option("--transactions", "-t", help="List transactional ids with their states.")
    ] = False,
    end: Annotated[
        bool,
        typer.Option("--end-transactions", help="Show open transactions, and which nobody else will end."),
    ] = False,
    execute: Annotated[bool, typer.Option("--execute", help="With --end-transactions: abort them.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export-metadata",
            metavar="FILE",
            help="Write topics and settings to a text file, as fastlog.metadata of earlier releases.",
        ),
    ] = None,
) -> None:
    """Checks every file of data directories and changes nothing. The broker must be stopped.

    With --end-transactions and --execute it appends a marker to partitions with transactions that nobody
    else will end, and only to those that are sound.

    With --export-metadata it writes a file, and checks nothing else.

    Exit status: 0 nothing to worry about, 1 warnings, 6 damage.

    \b
    Example:
      fastlog doctor /var/lib/fastlog
    """
    try:
        session = Session.of(output=output)
        if execute and not end:
            raise UsageProblem("--execute does what --end-transactions shows: give both")
        for directory in directories:
            _check_kind(directory, alone=len(directories) == 1)
        if export is not None:
            count = _export(_distinct(directories), export)
            if session.out.as_json:
                session.out.document({"file": str(export), "topics": count})
            else:
                session.out.line(f"{counted(count, 'topic')} written to {export}")
            return
        if end:
            from fastlog.cli.tool.doctor_transactions import end_all

            end_all(_distinct(directories), session.out, execute=execute)
            return
        examined = examine(_distinct(directories), session.out)
    except BrokenPipeError:
        raise
    except (FastlogError, OSError) as error:
        tell(error, as_json=asks_json(output))
        raise typer.Exit(exit_code_of(error)) from None
    _show(session.out, examined, partitions=partitions, transactions=transactions)
    worst = max((finding.severity for finding in examined.findings), default=0)
    raise typer.Exit((ToolExit.OK, ToolExit.FAILED, ToolExit.DAMAGED)[worst])


def _export(directories: Sequence[Path], target: Path) -> int:
    """Writes the metadata as one file; how many topics there are. Raises FastlogError, OSError."""
    from fastlog.base.files import write_atomically
    from fastlog.coordination import metadata_format
    from fastlog.coordination.offline import read_offline

    if target.exists():
        raise UsageProblem(f"{target} exists")
    with ExitStack() as stack:
        for directory in directories:
            stack.enter_context(held(directory))
        metadata = read_offline(directories)
    write_atomically(target, metadata_format.encode(metadata))
    return len(metadata.topics)


def _check_kind(directory: Path, *, alone: bool) -> None:
    """Refuses what is no data directory: of that, "nothing to worry about" would be a wrong word.

    An empty one that is not `alone` is a disk which its broker did not use yet.
    """
    from fastlog.storage.offline.check_directory import partition_directories

    if not directory.is_dir():
        raise UsageProblem(f"{directory} is not a directory")
    if (directory / "meta.properties").exists() or not (alone or any(directory.iterdir())):
        return
    if any(_SEGMENT.fullmatch(path.name) for path in directory.glob("*.log")):
        raise UsageProblem(
            f"{directory} is the directory of a single partition: "
            f"give the one around it, {directory.absolute().parent}"
        )
    if not any(any(partition.glob("*.log")) for partition in partition_directories(directory)):
        raise UsageProblem(f"{directory} is no data directory: it has no meta.properties and no segments")


def _distinct(directories: Sequence[Path]) -> list[Path]:
    """Without those that are given twice, which would find themselves locked by this very process."""
    return list({directory.resolve(): directory for directory in reversed(directories)}.values())[::-1]


@dataclass(frozen=True, slots=True)
class Examined:
    """What a check has found. `ids` and `transactions` are those of `TransactionsFound`."""

    states: list[DirectoryState]
    findings: list[Finding]
    ids: list[StoredId]
    transactions: list[OpenTransaction]


def examine(directories: Sequence[Path], out: Printer) -> Examined:
    """Checks under the directories' locks. Raises DirectoryLocked, OSError."""
    from fastlog.coordination.offline import check_metadata
    from fastlog.coordination.transactions.offline import check_transactions
    from fastlog.storage.offline.check_directory import check_directory, partition_directories

    with ExitStack() as stack:
        for directory in directories:
            stack.enter_context(held(directory))
        total = sum(
            log.stat().st_size
            for directory in directories
            for partition in partition_directories(directory)
            for log in partition.glob("*.log")
        )
        advance = stack.enter_context(_progress(total, out))
        states = [check_directory(directory, advance) for directory in directories]
        findings = [finding for state in states for finding in state.findings] + check_metadata(states)
        found = check_transactions(states)
        return Examined(states, findings + found.findings, found.ids, found.open)


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """The directory's lock, without leaving a file behind where there was none."""
    from fastlog.base.regular_file import read_regular_file
    from fastlog.storage.dir_lock import LOCK_FILE, DirectoryLock

    path = directory / LOCK_FILE
    content = read_regular_file(path) if path.exists() else None
    lock = DirectoryLock(directory, advice="Stop that broker first, or look at a copy of the directory")
    lock.acquire(make_file=False)
    try:
        yield
    finally:
        if content is not None:
            path.write_bytes(content)
        lock.release()


@contextmanager
def _progress(total: int, out: Printer) -> Iterator[Callable[[int], None]]:
    if out.as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("check", total=total)
        yield lambda size: progress.advance(task, size)


def _show(out: Printer, examined: Examined, *, partitions: bool, transactions: bool) -> None:
    from fastlog.cli.tool.doctor_transactions import IDS, id_row, open_row

    states, findings = examined.states, examined.findings
    ids = [id_row(stored) for stored in sorted(examined.ids, key=lambda stored: stored.transactional_id)]
    rows = [
        {
            "topic": found.topic,
            "partition": found.partition,
            "path": str(found.path),
            "segments": found.segments,
            "batches": found.batches,
            "records": found.records,
            "start_offset": found.start_offset,
            "end_offset": found.end_offset,
            "size_bytes": found.size_bytes,
            "sound": found.sound,
        }
        for state in states
        for found in state.partitions
    ]
    ordered = sorted(findings, key=lambda finding: -finding.severity)
    out.document(
        {
            "directories": [
                {
                    "path": str(state.path),
                    "cluster_id": state.identity.cluster_id if state.identity else None,
                    "node_id": state.identity.node_id if state.identity else None,
                    "clean_shutdown": state.clean_shutdown,
                }
                for state in states
            ],
            "partitions": rows,
            "transactional_ids": ids if transactions else None,
            "open_transactions": [open_row(one) for one in examined.transactions],
            "findings": [
                {
                    "severity": finding.severity.name.lower(),
                    "path": str(finding.path),
                    "problem": finding.problem,
                    "advice": finding.advice,
                }
                for finding in ordered
            ],
        }
    )
    if partitions:
        out.table(_PARTITIONS, rows)
    if transactions:
        out.table(
            IDS,
            [
                row | {"names": [f"{part['topic']}-{part['partition']}" for part in row["partitions"]]}
                for row in ids
            ],
        )
    for finding in ordered:
        out.line(f"{finding.severity.name.lower()}: {finding.path}: {finding.problem}")
        out.line(f"    {finding.advice}")
    size = size_text(sum(found.size_bytes for state in states for found in state.partitions))
    worse = sum(finding.severity > 0 for finding in findings)
    records = sum(found.records for state in states for found in state.partitions)
    verdict = (
        f"{counted(worse, 'finding')} need{'s' * (worse == 1)} a look" if worse else "nothing to worry about"
    )
    out.line(f"{counted(len(rows), 'partition')}, {counted(records, 'record')}, {size} checked: {verdict}")
