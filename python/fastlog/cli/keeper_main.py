"""`fastlog-keeper`: the embedded keeper on its own, for all that speak ZooKeeper's protocol."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.base.clock import SystemClock
from fastlog.base.files import make_directories
from fastlog.base.wording import counted
from fastlog.cli.core_dumps import forbid_core_dumps
from fastlog.cli.exit_codes import ExitCode
from fastlog.cli.logging_setup import set_up_logging
from fastlog.cli.start_errors import explain_os_error
from fastlog.config.listeners import host_and_port
from fastlog.coordination.keeper.keeper import Keeper, KeeperSettings
from fastlog.coordination.keeper.listener import KeeperListener
from fastlog.coordination.zookeeper.connect_string import InvalidConnectString, parse
from fastlog.errors import ConfigError, FastlogError

if TYPE_CHECKING:
    from fastlog.server.security.identity import Identity

_LOG: Final = logging.getLogger("fastlog.keeper")
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    options = _parser().parse_args(arguments)
    set_up_logging(options.log_level, options.log_format)
    forbid_core_dumps()
    try:
        tls = _tls(options)
        settings = KeeperSettings(
            tick_ms=options.tick_ms, allow_data_loss=options.allow_data_loss, users=_users(options.sasl_users)
        )
    except ConfigError as error:
        _LOG.error("%s", error)
        sys.exit(ExitCode.BAD_CONFIGURATION)
    sys.exit(asyncio.run(_run(options.listen, options.data_dir, settings, tls, partial(_tls, options))))


def _users(file: Path | None) -> Mapping[str, str]:
    """Raises ConfigError."""
    if file is None:
        return {}
    from fastlog.base.regular_file import read_regular_file
    from fastlog.config.zookeeper_settings import keeper_users

    try:
        text = read_regular_file(file).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ConfigError("--sasl-users", f"{file} cannot be read: {why}") from None
    return keeper_users("--sasl-users", text)


def _tls(options: argparse.Namespace) -> Identity | None:
    """Raises ConfigError."""
    if options.tls_keystore is None:
        if options.tls_truststore is not None or options.tls_client_auth != "none":
            raise ConfigError("--tls-keystore", "is missing: there is no TLS without it")
        return None
    from fastlog.config.tls_settings import PROTOCOLS, StoreSettings, TlsSettings
    from fastlog.server.security.identity import load_identity

    trust = options.tls_truststore
    if options.tls_client_auth != "none" and trust is None:
        raise ConfigError("--tls-client-auth", f"{options.tls_client_auth} needs --tls-truststore")
    settings = TlsSettings(
        listener="keeper",
        keystore=StoreSettings("--tls-keystore", "PEM", options.tls_keystore, None),
        key_password=None,
        truststore=None if trust is None else StoreSettings("--tls-truststore", "PEM", trust, None),
        protocols=PROTOCOLS,
        ciphers=(),
        client_auth=options.tls_client_auth,
        principal_rules="DEFAULT",
        allow_dn_changes=False,
        allow_san_changes=False,
    )
    return load_identity(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastlog-keeper",
        description="A server of ZooKeeper's client protocol on one machine. It is no ensemble: while it is "
        "down nobody can coordinate, and its data is on one disk.",
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        type=_address,
        default="127.0.0.1:2181",
        help="0.0.0.0 takes every interface; default: %(default)s",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        default=Path("fastlog-keeper-data"),
        help="made when it is missing; default: %(default)s, in the working directory",
    )
    parser.add_argument(
        "--tick-ms",
        metavar="MS",
        type=_tick,
        default=2000,
        help="sessions live for 2 to 20 ticks without a sign; default: %(default)s",
    )
    parser.add_argument(
        "--log-level", choices=_LEVELS, default="INFO", type=str.upper, help="default: %(default)s"
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="default: %(default)s")
    parser.add_argument(
        "--allow-data-loss",
        action="store_true",
        help="cut the journal at damage that is not a torn end; what is cut is kept in *.corrupt",
    )
    parser.add_argument(
        "--tls-keystore",
        metavar="FILE",
        help="private key and certificates in PEM: clients are served over TLS alone",
    )
    parser.add_argument(
        "--tls-truststore", metavar="FILE", help="in PEM: who must have signed clients' certificates"
    )
    parser.add_argument(
        "--tls-client-auth",
        choices=("none", "requested", "required"),
        default="none",
        help="whether clients show certificates; default: %(default)s",
    )
    parser.add_argument(
        "--sasl-users",
        metavar="FILE",
        type=Path,
        help="who may log in by SASL: the line of the section Server of ZooKeeper's JAAS file, "
        'org.apache.zookeeper.server.auth.DigestLoginModule required user_NAME="password";',
    )
    parser.add_argument("--version", action="version", version=f"fastlog-keeper {version('fastlog')}")
    return parser


def _address(text: str) -> tuple[str, int]:
    problem = argparse.ArgumentTypeError(f"{text!r} is not one HOST:PORT")
    try:
        servers, chroot = parse(text)
    except InvalidConnectString:
        raise problem from None
    if len(servers) > 1 or chroot:
        raise problem
    return servers[0]


def _tick(text: str) -> int:
    if not text.isdecimal() or not 10 <= int(text) <= 3_600_000:
        raise argparse.ArgumentTypeError("must be 10 to 3600000")
    return int(text)


async def _run(
    address: tuple[str, int],
    directory: Path,
    settings: KeeperSettings,
    tls: Identity | None,
    load: Callable[[], Identity | None],
) -> int:
    stop = asyncio.Event()
    failure: list[str] = []

    def on_failure(reason: str) -> None:
        failure.append(reason)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keeper = Keeper(directory, SystemClock(), settings, on_failure=on_failure)
    listener = KeeperListener(keeper)
    try:
        await asyncio.to_thread(make_directories, directory)
        await keeper.start()
        await listener.open(*address, None if tls is None else tls.context)
    except (FastlogError, OSError) as error:
        said = explain_os_error(error, host_and_port(*address)) if isinstance(error, OSError) else error
        _LOG.error("cannot start: %s", said)
        await keeper.stop()
        return ExitCode.CANNOT_START
    nodes = counted(keeper.tree_size[0], "node")
    _LOG.info("ready: %s, %s, data is in %s", host_and_port(*listener.address), nodes, directory)
    renewal = None if tls is None else _Renewal(listener, tls, load)
    # At a terminal it means that the terminal is gone; who starts it with nohup wants it to do nothing.
    if (
        renewal is not None
        and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        and not (sys.stdin is not None and sys.stdin.isatty())
    ):
        loop.add_signal_handler(signal.SIGHUP, renewal.start)
    await stop.wait()
    await listener.close()
    await keeper.stop()
    if failure:
        return ExitCode.UNCLEAN
    _LOG.info("stopped")
    return ExitCode.STOPPED


class _Renewal:
    """SIGHUP: the files of the certificates are read again, and handshakes from then on are with them."""

    def __init__(
        self, listener: KeeperListener, identity: Identity, load: Callable[[], Identity | None]
    ) -> None:
        self._listener = listener
        self._identity = identity
        self._load = load
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to read, unless it reads."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        from fastlog.server.security.identity import check_renewal

        try:
            found = await asyncio.to_thread(self._load)
            if found is not None:
                check_renewal(self._identity, found)
                self._listener.renew(found.context)
                self._identity = found
                _LOG.info("SIGHUP: renewed certificate: %s", found.certificate.subject)
        except Exception as error:  # noqa: BLE001 - whatever it is, the keeper goes on as it was
            _LOG.error("SIGHUP: the certificate stays as it is: %s", error)


if __name__ == "__main__":
    main()
