"""`fastlog-broker`: the daemon's command line.

Importing this module is on the way to every start, so that it imports little: argparse takes a fifth of the
time and memory of what the tool is made with, and the broker itself comes in when it is about to run.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.base.wording import counted
from fastlog.cli.exit_codes import ExitCode
from fastlog.cli.streams import abandon_stdout, log_stray_errors, open_missing_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastlog.cli.broker.running import RunnableBroker
    from fastlog.config import BrokerConfig

    MakeBroker = Callable[[BrokerConfig], RunnableBroker]

__all__ = ["main"]

_LOG: Final = logging.getLogger("fastlog.broker")


def main(arguments: Sequence[str] | None = None, make_broker: MakeBroker | None = None) -> None:
    """Entry point of the console script. `make_broker` makes another broker than the usual one, for tests."""
    open_missing_streams()
    # What is imported stays: looking for cycles in it took a tenth of the time.
    gc.disable()
    try:
        sys.exit(_obey(_parser().parse_args(arguments), make_broker))
    except OSError as error:
        # A full disk behind stdout: a broker that runs tells of its errors itself.
        abandon_stdout()
        with suppress(OSError):
            sys.stderr.write(f"fastlog-broker: {error.strerror or error}\n")
        sys.exit(ExitCode.FAILED)


class _Parser(argparse.ArgumentParser):
    """Help and version that cannot be written are an error like any other."""

    def _print_message(self, message: str, file: object = None) -> None:
        if message:
            stream = sys.stderr if file is None or file is sys.stderr else sys.stdout
            stream.write(message)
            stream.flush()


def _formatter(prog: str) -> argparse.HelpFormatter:
    """One is made for every option. It would ask shutil for the width, which brings compression along."""
    try:
        columns = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns
    except (ValueError, OSError):
        columns = 0
    return argparse.HelpFormatter(prog, width=(columns or 80) - 2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastlog-broker",
        description="A Kafka-compatible broker. Without arguments it listens on 127.0.0.1:9092.",
        allow_abbrev=False,
        formatter_class=_formatter,
    )
    add = parser.add_argument
    add(
        "properties",
        metavar="server.properties",
        nargs="?",
        type=Path,
        help="configuration with Kafka's keys",
    )
    add("--listen", metavar="HOST:PORT", action="append", help="address to listen on; repeatable")
    add("--advertise", metavar="HOST:PORT", action="append", help="address that clients are told; repeatable")
    add("--data-dir", metavar="DIR", help="where the data is kept (log.dirs)")
    add("--set", dest="assignments", metavar="NAME=VALUE", action="append", help="sets any key; repeatable")
    add("--check-config", action="store_true", help="only check the configuration")
    add("--print-config", action="store_true", help="only print values with their sources")
    add(
        "-o",
        "--output",
        metavar="text|json",
        default="text",
        help="form of --print-config; default: %(default)s",
    )
    add("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR")
    add("--log-format", metavar="text|json", help="form of the log on stderr")
    add(
        "--allow-data-loss",
        action="store_true",
        help="cut logs at damage that is not a torn end; keep *.corrupt",
    )
    add("--version", action="store_true", help="print the version")
    return parser


def _obey(options: argparse.Namespace, make_broker: MakeBroker | None) -> int:
    if options.version:
        from importlib.metadata import version as version_of

        _say(f"fastlog-broker {version_of('fastlog')}")
        return 0
    from fastlog.cli.broker.options import flags_of
    from fastlog.config import BrokerConfig, load_settings
    from fastlog.errors import ConfigError

    if options.output not in ("text", "json"):
        return _fail(f"--output {options.output}: must be text or json")
    try:
        flags = flags_of(
            assignments=options.assignments or [],
            listen=options.listen or [],
            advertise=options.advertise or [],
            data_dir=options.data_dir,
            log_level=options.log_level,
            log_format=options.log_format,
            allow_data_loss=options.allow_data_loss,
        )

        def read() -> BrokerConfig:
            return BrokerConfig.from_settings(
                load_settings(file=options.properties, environment=os.environ, flags=flags)
            )

        config = read()
        settings = config.layers.settings
        if options.check_config:
            _check_files(config)
    except ConfigError as error:
        return _fail(str(error))
    if options.print_config:
        from fastlog.cli.broker.show_config import config_as_json, config_as_text

        _say(config_as_json(config) if options.output == "json" else config_as_text(config))
        return 0
    if options.check_config:
        from fastlog.server.unused_settings import keys_without_effect

        for note in settings.notes:
            sys.stderr.write(f"warning: {note}\n")
        unused = keys_without_effect(config)
        keys, verb = counted(len(unused), "key"), "has" if len(unused) == 1 else "have"
        _say("the configuration is valid" + (f"; {keys} {verb} no effect" if unused else ""))
        return 0
    return _run(config, read, make_broker)


def _check_files(config: BrokerConfig) -> None:
    """Raises ConfigError about certificates that cannot be used."""
    tls = [*config.listeners.tls.values(), *([config.keeper_tls] if config.keeper_tls else [])]
    if tls:
        from fastlog.server.security.identity import load_identity

        for settings in tls:
            load_identity(settings)
    if config.zookeeper.tls is not None:
        from fastlog.server.security.zookeeper_tls import zookeeper_context

        zookeeper_context(config.zookeeper.tls)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(config: BrokerConfig, read: Callable[[], BrokerConfig], make_broker: MakeBroker | None) -> int:
    from fastlog.cli.broker.reloading import reloader
    from fastlog.cli.broker.running import run_broker
    from fastlog.cli.core_dumps import forbid_core_dumps
    from fastlog.cli.logging_setup import set_up_logging
    from fastlog.server.unused_settings import keys_without_effect

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
    if not config.core_dumps:
        forbid_core_dumps()
    gc.enable()
    try:
        return run_broker(config, make_broker or Broker, log.say, reloader(config, read))
    except Exception:  # noqa: BLE001 - the last resort: said in the log, and told by the exit code
        _LOG.exception("the broker met a defect and ends")
        return ExitCode.FAILED


def _fail(problem: str) -> int:
    with suppress(OSError):
        for line in problem.splitlines():
            sys.stderr.write(f"fastlog-broker: {line}\n")
    return ExitCode.BAD_CONFIGURATION


if __name__ == "__main__":
    main()
