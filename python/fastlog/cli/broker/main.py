"""`fastlog-broker`: the daemon's command line.

Importing this module is on the way to every start, so that it imports little: rich is not wanted for help and
errors, and the broker itself comes in when it is about to run.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from fastlog.base.wording import counted
from fastlog.cli.command import Command
from fastlog.cli.exit_codes import ExitCode
from fastlog.cli.streams import abandon_stdout, log_stray_errors, open_missing_streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlog.config import BrokerConfig

__all__ = ["app", "main"]

app: Final = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
_LOG: Final = logging.getLogger("fastlog.broker")


def main() -> None:
    """Entry point of the console script."""
    open_missing_streams()
    # What is imported stays: looking for cycles in it took a tenth of the time.
    gc.disable()
    try:
        app(prog_name="fastlog-broker")
    except OSError as error:
        # A full disk behind stdout: a broker that runs tells of its errors itself.
        abandon_stdout()
        with suppress(OSError):
            sys.stderr.write(f"fastlog-broker: {error.strerror or error}\n")
        sys.exit(ExitCode.FAILED)


@app.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
def broker(
    properties: Annotated[
        Path | None, typer.Argument(metavar="server.properties", help="Configuration with Kafka's keys.")
    ] = None,
    listen: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="Address to listen on. Repeatable.")
    ] = None,
    advertise: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="Address that clients are told. Repeatable.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the data is kept (log.dirs).")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Sets any key. Repeatable.")
    ] = None,
    check_config: Annotated[
        bool, typer.Option("--check-config", help="Only check the configuration.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Only print values with their sources.")
    ] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="text|json", help="Form of --print-config.")
    ] = "text",
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="text|json", help="Form of the log on stderr.")
    ] = None,
    allow_data_loss: Annotated[
        bool,
        typer.Option("--allow-data-loss", help="Cut logs at damage that is not a torn end; keep *.corrupt."),
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A Kafka-compatible broker. Without arguments it listens on 127.0.0.1:9092."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"fastlog-broker {version_of('fastlog')}")
        return
    from fastlog.cli.broker.options import flags_of
    from fastlog.config import BrokerConfig, load_settings
    from fastlog.errors import ConfigError

    if output not in ("text", "json"):
        _fail(f"--output {output}: must be text or json")
    try:
        flags = flags_of(
            assignments=assignments or [],
            listen=listen or [],
            advertise=advertise or [],
            data_dir=data_dir,
            log_level=log_level,
            log_format=log_format,
            allow_data_loss=allow_data_loss,
        )

        def read() -> BrokerConfig:
            return BrokerConfig.from_settings(
                load_settings(file=properties, environment=os.environ, flags=flags)
            )

        config = read()
        settings = config.layers.settings
    except ConfigError as error:
        _fail(str(error))
    if print_config:
        from fastlog.cli.broker.show_config import config_as_json, config_as_text

        typer.echo(config_as_json(config) if output == "json" else config_as_text(config))
        return
    if check_config:
        from fastlog.cli.broker.show_config import keys_without_effect

        for note in settings.notes:
            typer.echo(f"warning: {note}", err=True)
        unused = keys_without_effect(config)
        keys, verb = counted(len(unused), "key"), "has" if len(unused) == 1 else "have"
        typer.echo("the configuration is valid" + (f"; {keys} {verb} no effect" if unused else ""))
        return
    raise typer.Exit(_run(config, read))


def _run(config: BrokerConfig, read: Callable[[], BrokerConfig]) -> int:
    from fastlog.cli.broker.reloading import reloader
    from fastlog.cli.broker.running import run_broker
    from fastlog.cli.broker.show_config import keys_without_effect
    from fastlog.cli.logging_setup import set_up_logging

    log = set_up_logging(config.log_level, config.log_format)
    log_stray_errors()
    for note in config.layers.settings.notes:
        _LOG.warning("%s", note)
    unused = keys_without_effect(config)
    if unused:
        _LOG.info("without effect (see --print-config): %s", ", ".join(unused))
    if config.allow_data_loss:
        _LOG.warning("--allow-data-loss: damaged logs will be cut, what is cut is kept in *.corrupt files")
    from fastlog.server.broker import Broker
    from fastlog.server.network.descriptors import raise_descriptor_limit

    raise_descriptor_limit()
    gc.enable()
    try:
        return run_broker(config, Broker, log.say, reloader(config, read))
    except Exception:  # noqa: BLE001 - the last resort: said in the log, and told by the exit code
        _LOG.exception("the broker met a defect and ends")
        return ExitCode.FAILED


def _fail(problem: str) -> NoReturn:
    with suppress(OSError):
        for line in problem.splitlines():
            sys.stderr.write(f"fastlog-broker: {line}\n")
    raise typer.Exit(ExitCode.BAD_CONFIGURATION)


if __name__ == "__main__":
    main()
