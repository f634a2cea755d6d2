"""Starting a console: its options checked, its socket bound, uvicorn run until it is told to stop."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import uvicorn

from fastlog.console.app import make_app
from fastlog.console.audit import AuditLog
from fastlog.console.hosts import Hosts, is_loopback
from fastlog.console.identities import Identities, check_identities
from fastlog.console.sampler import Sampler
from fastlog.console.sessions import Passwords, Sessions, Tokens, Tries, read_passwords
from fastlog.console.state import Console
from fastlog.errors import ConfigError
from fastlog.verbs.decoders import Decoders
from fastlog.verbs.desk import Connection, Desk
from fastlog.verbs.masks import Masks, read_masks

__all__ = ["ConsoleOptions", "check_options", "serve"]

_LOG: Final = logging.getLogger("fastlog.console")
_COOKIE: Final = "fastlog_console"
_MOST_CONNECTIONS: Final = 500
_HEAD_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """Where a console listens, who may come in, and what they may do."""

    host: str = "127.0.0.1"
    port: int = 8085
    allow_writes: bool = False
    allow_hosts: Sequence[str] = ()
    password_file: Path | None = None
    sasl_login: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    plain_http: bool = False
    mask_file: Path | None = None
    audit_file: Path | None = None
    interval: float = 10.0
    decoders: Decoders = field(default_factory=Decoders)

    @property
    def scheme(self) -> str:
        """http or https."""
        return "http" if self.tls_cert is None else "https"


def check_options(options: ConsoleOptions) -> None:
    """Raises ConfigError for what would let in whom nobody has let in."""
    if (options.tls_cert is None) != (options.tls_key is None):
        raise ConfigError("--tls-cert", "needs --tls-key, and the other way round")
    if options.tls_client_ca is not None and options.tls_cert is None:
        raise ConfigError("--tls-client-ca", "needs --tls-cert and --tls-key")
    if options.sasl_login and options.password_file is not None:
        raise ConfigError("--sasl-login", "goes without --password-file: one of them says who may come in")
    if is_loopback(options.host):
        return
    has_passwords = options.password_file is not None or options.sasl_login
    if not has_passwords and options.tls_client_ca is None:
        raise ConfigError(
            "--listen",
            f"{options.host} can be reached from elsewhere: give --password-file, --sasl-login, or "
            "--tls-client-ca for client certificates (OpenID Connect is not there yet: put a proxy that has "
            "it before a console on loopback)",
        )
    if options.tls_cert is None and not options.plain_http:
        raise ConfigError(
            "--listen",
            f"passwords would cross the net in clear to {options.host}: give --tls-cert, or --plain-http",
        )


async def serve(connection: Connection, options: ConsoleOptions, tell: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM. `tell` gets the lines for whoever has started it.

    Raises ConfigError, ClientError when the cluster cannot be reached, OSError when the port is taken.
    """
    check_options(options)
    if options.sasl_login:
        check_identities(connection)
    masks = Masks() if options.mask_file is None else read_masks(options.mask_file)
    users = None if options.password_file is None else read_passwords(options.password_file)
    audit = AuditLog(options.audit_file)
    with _bound(options) as listening:
        port = listening.getsockname()[1]
        desk = await Desk.open(
            connection,
            allow_writes=options.allow_writes,
            audit=audit,
            masks=masks,
            decoders=options.decoders,
        )
        sampler = Sampler(desk, options.interval)
        base = f"{options.scheme}://{_authority(options.host, port)}"
        tokens = None
        if users is None and options.tls_client_ca is None and not options.sasl_login:
            tokens = Tokens(lambda token: tell(f"open {base}/#token={token}"))
        else:
            tell(f"open {base}/")
        measured = replace(desk, history=sampler)
        console = Console(
            desk=measured,
            sessions=Sessions(),
            audit=audit,
            sampler=sampler,
            cookie=f"{_COOKIE}_{port}",
            secure=options.tls_cert is not None,
            tokens=tokens,
            passwords=None if users is None else Passwords(users),
            identities=Identities(measured, Tries()) if options.sasl_login else None,
        )
        app = make_app(
            console,
            hosts=Hosts([*options.allow_hosts, options.host]),
            by_certificate=options.tls_client_ca is not None and users is None and not options.sasl_login,
        )
        server = uvicorn.Server(_config(app, options))
        await server.serve(sockets=[listening])


def _config(app: object, options: ConsoleOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="warning",
        # Addresses may hold what nobody else is to read.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        ssl_ca_certs=None if options.tls_client_ca is None else str(options.tls_client_ca),
        ssl_cert_reqs=ssl.CERT_NONE if options.tls_client_ca is None else ssl.CERT_REQUIRED,
    )


def _bound(options: ConsoleOptions) -> socket.socket:
    found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
