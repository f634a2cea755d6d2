"""`fastlog log dump`: what segment files and the files beside them hold, without a broker."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fastlog.cli.command import Command
from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.tool.failure_reports import UsageProblem, exit_code_of, tell
from fastlog.cli.tool.invocation import OutputOption, Session, asks_json, new_app
from fastlog.cli.tool.values import one_of
from fastlog.errors import FastlogError

__all__ = ["app", "dump"]

app = new_app("Look into the files of a broker that is stopped, or of a copy of its directory.")

_KINDS: Final = (".log", ".index", ".timeindex", ".txnindex", ".snapshot")

_DECODED: Final = ("offsets", "transactions")


@app.command("dump", cls=Command)
def dump(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or directories of partitions.")],
    output: OutputOption = None,
    records: Annotated[
        bool, typer.Option("--records", "-r", help="Show the records of each batch, decompressed.")
    ] = False,
    start: Annotated[
        int | None, typer.Option("--from", metavar="OFFSET", help="Leave out batches that end before.")
    ] = None,
    stop: Annotated[
        int | None, typer.Option("--to", metavar="OFFSET", help="Leave out batches that begin after.")
    ] = None,
    decode: Annotated[
        str | None,
        typer.Option(
            metavar="offsets|transactions",
            help="Read keys and values as those of __consumer_offsets or __transaction_state.",
            autocompletion=one_of(*_DECODED),
        ),
    ] = None,
) -> None:
    """Prints one line per batch, record or entry.

    Reads .log, .index, .timeindex, .txnindex and .snapshot files, offset and leader-epoch checkpoints.
    Exit status 6: a segment holds bytes that are no batch.

    \b
    Example:
      fastlog log dump /var/lib/fastlog/orders-0 --records --from 1500
    """
    from fastlog.cli.tool.dump_rows import DumpOptions, rows_of

    try:
        session = Session.of(output=output)
        if decode not in (None, *_DECODED):
            raise UsageProblem(f"--decode {decode}: must be one of {', '.join(_DECODED)}")
        options = DumpOptions(records=records or decode is not None, start=start, stop=stop, decode=decode)
        damaged = False
        for path in _files(paths):
            rows = rows_of(path, options)
            # What cannot be shown is an error alone, without the name of a file before it.
            first = list(islice(rows, 1))
            if not session.as_json:
                sys.stdout.write(f"{path}\n")
            for row in chain(first, rows):
                damaged |= row["kind"] == "problem"
                sys.stdout.write((_as_json(path, row) if session.as_json else _as_text(row)) + "\n")
    except BrokenPipeError:
        raise
    except (FastlogError, OSError) as error:
        tell(error, as_json=asks_json(output))
        raise typer.Exit(exit_code_of(error)) from None
    raise typer.Exit(ToolExit.DAMAGED if damaged else ToolExit.OK)


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            segments = [entry for entry in sorted(path.iterdir()) if entry.suffix == ".log"]
            if not segments:
                raise UsageProblem(f"{path} holds no segments: give files, or directories of partitions")
            yield from segments
        elif path.exists():
            yield path
        else:
            raise UsageProblem(f"{path} does not exist")


def _as_json(path: Path, row: dict[str, Any]) -> str:
    return json.dumps({"file": str(path), **row}, ensure_ascii=False)


def _as_text(row: dict[str, Any]) -> str:
    shown = dict(row)
    kind = shown.pop("kind")
    indent = "    | " if kind == "record" else "  "
    return indent + f"{kind} " + " ".join(f"{name}={_value(value)}" for name, value in shown.items())


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value if value.isprintable() and " " not in value and value else json.dumps(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
