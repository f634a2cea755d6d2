"""What `fastlog produce` and `fastlog consume` share: running on a session, and failing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import typer

from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.tool.failure_reports import UsageProblem, exit_code_of, tell
from fastlog.cli.tool.invocation import Session, asks_json
from fastlog.errors import FastlogError

__all__ = ["bad_usage", "run_client", "say", "session_of"]

T = TypeVar("T")


def session_of(
    bootstrap_server: str | None,
    output: str | None,
    timeout: float | None,
    client_id: str | None,
    client_config: str | None,
) -> Session:
    """The options before and after the command; wrong ones end it."""
    try:
        return Session.of(bootstrap_server, output, timeout, client_id, client_config)
    except FastlogError as error:
        bad_usage(str(error), as_json=asks_json(output))


def run_client(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    """Runs a command to its end. An error of the client or of a file is told, and ends it.

    Raises BrokenPipeError when nobody reads the output any more.
    """
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(ToolExit.INTERRUPTED) from None
    except BrokenPipeError:
        raise
    except (FastlogError, OSError) as error:
        tell(error, as_json=as_json)
        raise typer.Exit(exit_code_of(error)) from None


def bad_usage(problem: str, *, as_json: bool) -> NoReturn:
    """A wrong command line: told, exit status 2."""
    tell(UsageProblem(problem), as_json=as_json)
    raise typer.Exit(ToolExit.USAGE)


def say(text: str) -> None:
    """A line for people, apart from the data on stdout."""
    sys.stderr.write(f"fastlog: {text}\n")
    sys.stderr.flush()
