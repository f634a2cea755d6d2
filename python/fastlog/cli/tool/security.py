"""`fastlog security`: what the configuration of a broker leaves open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from fastlog.cli.command import Command
from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.tool.failure_reports import exit_code_of, tell
from fastlog.cli.tool.invocation import HELP, OutputOption, Session, asks_json, new_app
from fastlog.cli.tool.output import Column
from fastlog.errors import FastlogError

__all__ = ["app"]

app: Final = new_app("What the configuration of a broker leaves open.")
_COLUMNS: Final = (Column("severity", "severity"), Column("where", "where"), Column("what", "what"))


@app.command("check", cls=Command, context_settings=HELP)
def check(
    properties: Annotated[
        Path | None, typer.Argument(metavar="[server.properties]", help="The broker's configuration.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Says what a broker's configuration leaves open.

    The environment is read, too; no broker is asked.

    Exit status: 0 nothing is open to whoever reaches it, 1 something is, 2 the configuration is wrong.
    """
    from fastlog.config import BrokerConfig, load_settings
    from fastlog.config.exposure import exposures

    try:
        session = Session.of(output=output)
        settings = load_settings(file=properties, environment=os.environ)
        config = BrokerConfig.from_settings(settings)
        if config.listeners.tls:
            from fastlog.net.stores import read_key_store

            for tls in config.listeners.tls.values():
                read_key_store(tls.keystore, tls.key_password)
        found = exposures(config)
    except (FastlogError, OSError) as error:
        tell(error, as_json=asks_json(output))
        raise typer.Exit(exit_code_of(error)) from None
    rows = [
        {"severity": "open" if item.is_open else "weak", "where": item.where, "what": item.what}
        for item in found
    ]
    session.out.table(_COLUMNS, rows)
    session.out.document(rows)
    raise typer.Exit(ToolExit.FAILED if any(item.is_open for item in found) else ToolExit.OK)
