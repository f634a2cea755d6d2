"""`fastlog mcp`: the cluster for agents that speak the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastlog.cli.tool.client_options import bad_usage, run_client, session_of
from fastlog.cli.tool.console import RegistryOption, SchemasOption
from fastlog.cli.tool.invocation import (
    BootstrapOption,
    ClientIdOption,
    ConfigOption,
    OutputOption,
    TimeoutOption,
)
from fastlog.errors import ConfigError

__all__ = ["mcp"]


def mcp(
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="Offer tools that change things, too.")
    ] = False,
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="Rules of what is hidden in records, JSON.")
    ] = None,
    schemas: SchemasOption = None,
    schema_registry: RegistryOption = None,
    bootstrap_server: BootstrapOption = None,
    output: OutputOption = None,
    timeout: TimeoutOption = None,
    client_id: ClientIdOption = None,
    client_config: ConfigOption = None,
) -> None:
    """Serves the cluster to an agent, by the Model Context Protocol on stdin and stdout.

    It may only look, unless --allow-writes is given. Needs: pip install 'fastlog[mcp]'.
    """
    session = session_of(bootstrap_server, output, timeout, client_id, client_config)
    try:
        from fastlog.mcp.server import serve
        from fastlog.verbs.masks import Masks, read_masks
        from fastlog.verbs.schemas import decoders_of
    except ModuleNotFoundError as error:
        bad_usage(f"{error.name} is not installed: pip install 'fastlog[mcp]'", as_json=session.as_json)
    try:
        connection = session.connection("fastlog-mcp")
        decoders = decoders_of(schemas, schema_registry)
        masks = Masks() if mask is None else read_masks(mask)
    except ConfigError as error:
        bad_usage(str(error), as_json=session.as_json)
    work = serve(connection, allow_writes=allow_writes, masks=masks, decoders=decoders)
    run_client(work, as_json=session.as_json)
