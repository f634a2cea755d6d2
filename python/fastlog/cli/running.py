"""Runs a broker in the foreground: from start over signals to the exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, Protocol

from fastlog.cli.exit_codes import ExitCode
from fastlog.cli.service_manager import ServiceManager
from fastlog.cli.start_errors import explain
from fastlog.config import BrokerConfig, Endpoint
from fastlog.config.listeners import host_and_port
from fastlog.errors import FastlogError

__all__ = ["RunnableBroker", "run_broker"]

_LOG: Final = logging.getLogger("fastlog.broker")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class RunnableBroker(Protocol):
    """What is run here: `fastlog.server.broker.Broker`."""

    @property
    def config(self) -> BrokerConfig:
        """The configuration in force."""
        ...

    @property
    def endpoints(self) -> dict[str, tuple[str, int]]:
        """(host, port) that each listener is bound to, by name."""
        ...

    async def start(self) -> None:
        """Returns when clients are served. Raises FastlogError or OSError."""
        ...

    async def stop(self) -> bool:
        """Shuts down; whether everything was flushed and marked clean."""
        ...


def run_broker(
    config: BrokerConfig,
    make_broker: Callable[[BrokerConfig], RunnableBroker],
    reload: Callable[[], None] | None = None,
) -> int:
    """Runs until SIGTERM or SIGINT. Returns the exit code.

    `reload` is called in a thread at SIGHUP, and says itself what it did. At a terminal SIGHUP means that the
    terminal is gone, and stops the broker.
    """
    return asyncio.run(_run(make_broker(config), reload))


async def _run(broker: RunnableBroker, reload: Callable[[], None] | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    manager = ServiceManager(os.environ)
    for number in _SIGNALS:
        loop.add_signal_handler(number, _on_signal, number, stop)
    # Who starts it with nohup wants SIGHUP to do nothing.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        if reload is None or _at_terminal():
            loop.add_signal_handler(signal.SIGHUP, _on_signal, signal.SIGHUP, stop)
        else:
            loop.add_signal_handler(signal.SIGHUP, _on_hangup, reload, manager)
    manager.starting()
    try:
        return await _start_and_stop(broker, stop, manager)
    finally:
        manager.close()


async def _start_and_stop(broker: RunnableBroker, stop: asyncio.Event, manager: ServiceManager) -> int:
    starting = asyncio.ensure_future(broker.start())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            # A long recovery: given up at the next step, nothing was promised to anybody yet.
            manager.stopping()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            _LOG.info("stopped before the start was complete")
            return ExitCode.STOPPED
        try:
            starting.result()
        except (FastlogError, OSError) as error:
            _LOG.error("cannot start: %s", explain(error, broker.config))
            return ExitCode.CANNOT_START
        announce(broker)
        manager.ready(f"clients connect to {client_address(broker)}")
        await stopping
    finally:
        stopping.cancel()
    manager.stopping()
    clean = await broker.stop()
    _LOG.info(
        "stopped%s", "" if clean else "; not everything was flushed, the next start will check the logs"
    )
    return ExitCode.STOPPED if clean else ExitCode.UNCLEAN


def _on_signal(number: signal.Signals, stop: asyncio.Event) -> None:
    if stop.is_set():
        _LOG.warning("%s again: ends at once, without flushing", number.name)
        logging.shutdown()
        os._exit(128 + number)
    _LOG.info("%s: stops when requests in work are answered; a second signal ends at once", number.name)
    stop.set()


def _on_hangup(reload: Callable[[], None], manager: ServiceManager) -> None:
    manager.reloading()
    done = asyncio.get_running_loop().run_in_executor(None, reload)
    done.add_done_callback(lambda _: manager.reloaded())


def _at_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def announce(broker: RunnableBroker) -> None:
    """Says that the broker is ready: how to reach it, and what an acknowledgement means."""
    config = broker.config
    listening = ", ".join(f"{name}://{host_and_port(*where)}" for name, where in broker.endpoints.items())
    _LOG.info("ready: node %d listens on %s", config.node_id, listening)
    _LOG.info("data is in %s", ", ".join(str(path.absolute()) for path in config.log_dirs))
    if config.durability == "fsync":
        _LOG.info("durability fsync: a write is acknowledged when it is on the disk")
    else:
        _LOG.info(
            "durability pagecache: acknowledged writes survive a crash of the broker, not one of the machine "
            "(fastlog.durability=fsync does)"
        )
    address = client_address(broker)
    if config.log_format == "json":
        _LOG.info("clients connect to %s", address)
        return
    # On stdout and without a log prefix, so that the lines can be copied as they are.
    sys.stdout.write(
        f"\n    kcat -b {address} -L\n"
        f"    python -c \"from kafka import KafkaProducer as P; p = P(bootstrap_servers='{address}'); "
        "p.send('hello', b'world'); p.flush()\"\n\n"
    )
    sys.stdout.flush()


def client_address(broker: RunnableBroker) -> str:
    """host:port of the first advertised listener; port 0 is the port that was given."""
    endpoint: Endpoint = broker.config.listeners.advertised[0]
    port = endpoint.port or broker.endpoints[endpoint.name][1]
    return host_and_port(endpoint.host, port)
