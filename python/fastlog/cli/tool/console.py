"""`fastlog console`: see and steer a cluster from a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fastlog.cli.tool.client_options import bad_usage, run_client, say, session_of
from fastlog.cli.tool.invocation import (
    BootstrapOption,
    ClientIdOption,
    ConfigOption,
    OutputOption,
    TimeoutOption,
)
from fastlog.errors import ConfigError

__all__ = ["RegistryOption", "SchemasOption", "console"]

SchemasOption = Annotated[
    Path | None,
    typer.Option(
        "--schemas", metavar="FILE", help="Schemas by topic (Avro, Protobuf), JSON: to show records."
    ),
]
RegistryOption = Annotated[
    str | None, typer.Option("--schema-registry", metavar="URL", help="A registry of Avro schemas.")
]


def console(
    listen: Annotated[
        str, typer.Option("--listen", "-l", metavar="HOST:PORT", help="Where browsers come.")
    ] = "127.0.0.1:8085",
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="Let visitors change things. Each change is confirmed.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name that browsers come by. Repeatable."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="Lines USER:HASH; --hash-password makes one."),
    ] = None,
    sasl_login: Annotated[
        bool,
        typer.Option("--sasl-login", help="Visitors log in as users of the cluster, and ask it as these."),
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, PEM: serve over TLS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, PEM.")] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option("--tls-client-ca", metavar="FILE", help="Let in who has a certificate signed by these."),
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Passwords over HTTP, where a proxy before it has TLS.")
    ] = False,
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="Rules of what is hidden in records, JSON.")
    ] = None,
    schemas: SchemasOption = None,
    schema_registry: RegistryOption = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", metavar="FILE", help="Append a line for each change to it.")
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", help="Between two measurements.")
    ] = 10.0,
    hash_password: Annotated[
        bool, typer.Option("--hash-password", help="Ask for a password, print its hash, and end.")
    ] = False,
    bootstrap_server: BootstrapOption = None,
    output: OutputOption = None,
    timeout: TimeoutOption = None,
    client_id: ClientIdOption = None,
    client_config: ConfigOption = None,
) -> None:
    """Opens a web console for a cluster, fastlog's or Apache Kafka's.

    It may only look, unless --allow-writes is given. On loopback it lets in who has the link that it prints;
    any other address needs a password file or client certificates. Needs: pip install 'fastlog[console]'.
    """
    session = session_of(bootstrap_server, output, timeout, client_id, client_config)
    try:
        from fastlog.console.serve import ConsoleOptions, check_options, serve
        from fastlog.console.sessions import hash_password as hashed
        from fastlog.verbs.schemas import decoders_of
    except ModuleNotFoundError as error:
        bad_usage(f"{error.name} is not installed: pip install 'fastlog[console]'", as_json=session.as_json)
    if hash_password:
        typer.echo(hashed(typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)))
        return
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65_535 or not host.strip("[]"):
        bad_usage(f"--listen {listen}: must be HOST:PORT", as_json=session.as_json)
    if not 1 <= interval <= 3600:
        bad_usage(f"--interval {interval:g}: must be from 1 to 3600", as_json=session.as_json)
    options = ConsoleOptions(
        host=host.strip("[]"),
        port=int(port),
        allow_writes=allow_writes,
        allow_hosts=allow_host or (),
        password_file=password_file,
        sasl_login=sasl_login,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        plain_http=plain_http,
        mask_file=mask,
        audit_file=audit,
        interval=interval,
    )
    try:
        check_options(options)
        connection = session.connection("fastlog-console")
        options = replace(options, decoders=decoders_of(schemas, schema_registry))
    except ConfigError as error:
        bad_usage(str(error), as_json=session.as_json)
    run_client(serve(connection, options, say), as_json=session.as_json)
