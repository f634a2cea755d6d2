"""`fastlog`: the command line for a Kafka cluster, fastlog's or Apache's.

Each group of verbs is a module of its own, imported when it is called: see `COMMANDS`.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import typer

from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.streams import abandon_stdout, open_missing_streams
from fastlog.cli.tool.failure_reports import UsageProblem, tell, wants_json
from fastlog.cli.tool.invocation import (
    HELP,
    BootstrapOption,
    ClientIdOption,
    ConfigOption,
    Globals,
    OutputOption,
    TimeoutOption,
    remember_globals,
)
from fastlog.cli.tool.lazy_group import LazyCommand, lazy_group

__all__ = ["COMMANDS", "app", "main", "run"]

COMMANDS: Final = {
    "topic": LazyCommand(
        "fastlog.cli.tool.topic:app", "Create, list, describe, alter, trim and delete topics."
    ),
    "group": LazyCommand("fastlog.cli.tool.group:app", "Consumer groups: list, lag, delete, reset offsets."),
    "transaction": LazyCommand(
        "fastlog.cli.tool.transaction:app", "Transactions: list, describe, find and abort those that hang."
    ),
    "config": LazyCommand("fastlog.cli.tool.config:app", "Settings of topics, brokers and groups."),
    "cluster": LazyCommand("fastlog.cli.tool.cluster:app", "Brokers, features, log directories."),
    "user": LazyCommand("fastlog.cli.tool.user:app", "Users that log in by SCRAM."),
    "quota": LazyCommand("fastlog.cli.tool.quota:app", "What users, clients and addresses may use."),
    "acl": LazyCommand("fastlog.cli.tool.acl:app", "Access rules: who may do what."),
    "security": LazyCommand(
        "fastlog.cli.tool.security:app", "What the configuration of a broker leaves open."
    ),
    "produce": LazyCommand("fastlog.cli.tool.produce:produce", "Send lines of stdin, or files, as records."),
    "consume": LazyCommand("fastlog.cli.tool.consume:consume", "Print records of topics."),
    "console": LazyCommand("fastlog.cli.tool.console:console", "See and steer the cluster from a browser."),
    "mcp": LazyCommand(
        "fastlog.cli.tool.mcp:mcp", "Serve the cluster to agents, by the Model Context Protocol."
    ),
    "log": LazyCommand("fastlog.cli.tool.log:app", "Look into segment files of a broker that is stopped."),
    "doctor": LazyCommand("fastlog.cli.tool.doctor:doctor", "Check a data directory; say what to do next."),
    "completion": LazyCommand(
        "fastlog.cli.tool.completion:completion", "Print the completion script of a shell."
    ),
}
"""Every command. One line registers another; its module is not imported before it is called."""

app: Final = typer.Typer(
    cls=lazy_group(COMMANDS),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=HELP,
)
_USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""Click's UsageError, from whichever package this release of Typer has it."""


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"fastlog {version('fastlog')}\n")
        raise typer.Exit


@app.callback()
def root(
    bootstrap_server: BootstrapOption = None,
    output: OutputOption = None,
    timeout: TimeoutOption = None,
    client_id: ClientIdOption = None,
    client_config: ConfigOption = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Works with a Kafka cluster. The options below may stand before or after the command."""
    remember_globals(Globals(bootstrap_server, output, timeout, client_id, client_config))


def main() -> None:
    """Entry point of the console script."""
    open_missing_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line; returns the exit status."""
    try:
        result: Any = app(args=arguments, prog_name="fastlog", standalone_mode=False)
        sys.stdout.flush()
    except _USAGE_ERROR as error:
        return _usage(error, arguments)
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as error:
        # Typer's answer to the same.
        if isinstance(error.__context__, BrokenPipeError):
            return _reader_left()
        raise
    except OSError as error:
        # A full disk behind stdout, say.
        tell(error, as_json=wants_json(arguments))
        abandon_stdout()
        return ToolExit.FAILED
    except (KeyboardInterrupt, typer.Abort):
        return ToolExit.INTERRUPTED
    return result if isinstance(result, int) else ToolExit.OK


def _reader_left() -> ToolExit:
    """`fastlog consume t | head -1` is no failure: who reads our output has seen enough."""
    abandon_stdout()
    return ToolExit.OK


def _usage(error: Any, arguments: list[str]) -> int:
    if not arguments or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    elif wants_json(arguments):
        tell(UsageProblem(error.format_message()), as_json=True)
    else:
        error.show()
    return ToolExit.USAGE


if __name__ == "__main__":
    main()
