"""What `fastlog produce` and `fastlog consume` share: the option of the servers, running, and failing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from fastlog.cli.failures import UsageProblem, exit_code_of, tell
from fastlog.cli.session import asks_json
from fastlog.errors import FastlogError

T = TypeVar("T")

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130

Bootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap-server",
        "-b",
        metavar="HOST:PORT[,...]",
        envvar="FASTLOG_BOOTSTRAP_SERVERS",
        help="Brokers to start from.",
    ),
]


def run_client(work: Coroutine[Any, Any, T], output: str) -> T:
    """Runs a command to its end. An error of the client is told in the form of `output`, and ends it."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except FastlogError as error:
        tell(error, as_json=asks_json(output))
        raise typer.Exit(exit_code_of(error)) from None


def bad_usage(problem: str, output: str) -> NoReturn:
    """A wrong command line: told in the form of `output`, exit status 2."""
    tell(UsageProblem(problem), as_json=asks_json(output))
    raise typer.Exit(BAD_USAGE)


def say(text: str) -> None:
    """A line for people, apart from the data on stdout."""
    sys.stderr.write(f"fastlog: {text}\n")
    sys.stderr.flush()
