"""Runs a broker in the foreground: from start over signals to the exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

from fastlog.base.tasks import Supervisor
from fastlog.cli.broker.reloading import Reloading
from fastlog.cli.broker.service_manager import ServiceManager
from fastlog.cli.broker.signals import Signals
from fastlog.cli.exit_codes import ExitCode
from fastlog.cli.start_errors import exit_code_of, explain
from fastlog.config import BrokerConfig, Endpoint
from fastlog.config.listeners import host_and_port
from fastlog.errors import FastlogError
from fastlog.native import limit_heaps
from fastlog.server.memory.low_memory import BrokerLoop

__all__ = ["RunnableBroker", "run_broker"]

_LOG: Final = logging.getLogger("fastlog.broker")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# A start that is given up undoes what it did, which has a bound of its own; a thread may still be in its way.
_GIVE_UP_START_SECONDS: Final = 40.0
_HEAPS: Final = 2
_STACK_BYTES: Final = 1024 * 1024
_SWITCH_SECONDS: Final = 0.001


class RunnableBroker(Protocol):
    """What is run here: `fastlog.server.broker.Broker`."""

    @property
    def config(self) -> BrokerConfig:
        """The configuration in force."""
        ...

    @property
    def tasks(self) -> Supervisor:
        """Where its background work is supervised."""
        ...

    @property
    def endpoints(self) -> dict[str, tuple[str, int]]:
        """(host, port) that each listener is bound to, by name."""
        ...

    def renew(self, found: BrokerConfig) -> None:
        """The configuration was read again. Raises ConfigError."""
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
    say: Callable[[str], None],
    reload: Callable[[], BrokerConfig | None] | None = None,
) -> int:
    """Runs until SIGTERM or SIGINT. Returns the exit code.

    The process is to end when this returns: it is ended by force if it does not
    (`fastlog.cli.broker.signals`). `say` puts a text on stdout and waits for nobody. `reload` is called in
    a thread at SIGHUP, and says itself what it did. At a terminal SIGHUP means that the terminal is gone,
    and stops the broker.
    """
    # Heaps of their own would take 64 MiB of address space per thread, and keep what is freed in them.
    limit_heaps(_HEAPS)
    # The stacks of Python's threads; 8 MiB each would be as much again.
    threading.stack_size(_STACK_BYTES)
    # How long the event loop waits for a thread that computes: a request needs the interpreter several times.
    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=BrokerLoop) as runner:
        return runner.run(_run(make_broker(config), say, reload))


async def _run(
    broker: RunnableBroker, say: Callable[[str], None], reload: Callable[[], BrokerConfig | None] | None
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(broker.tasks.on_loop_error)
    manager = ServiceManager(os.environ)
    handlers: dict[signal.Signals, Callable[[], None]] = {
        number: partial(_on_stop, number, stop) for number in _SIGNALS
    }
    ending = set(_SIGNALS)
    # Who starts it with nohup wants SIGHUP to do nothing.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        if reload is None or _at_terminal():
            handlers[signal.SIGHUP] = partial(_on_stop, signal.SIGHUP, stop)
            ending.add(signal.SIGHUP)
        else:
            handlers[signal.SIGHUP] = Reloading(
                reload, broker.renew, manager.reloading, manager.reloaded
            ).start
    signals = Signals(handlers, frozenset(ending))
    manager.starting(broker.tasks)
    loop.set_default_executor(_started_threads())
    code: int = ExitCode.FAILED
    try:
        code = await _start_and_stop(broker, say, stop, manager)
    finally:
        signals.end(code)
        await manager.close()
    return code


async def _start_and_stop(
    broker: RunnableBroker, say: Callable[[str], None], stop: asyncio.Event, manager: ServiceManager
) -> int:
    starting = asyncio.ensure_future(broker.start())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            # A long recovery: given up at the next step, nothing was promised to anybody yet.
            manager.stopping()
            starting.cancel()
            await asyncio.wait([starting], timeout=_GIVE_UP_START_SECONDS)
            _LOG.info("stopped before the start was complete")
            return ExitCode.STOPPED
        try:
            starting.result()
        except (FastlogError, OSError) as error:
            _LOG.error("cannot start: %s", explain(error, broker.config))
            return exit_code_of(error)
        announce(broker, say)
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


def _started_threads() -> ThreadPoolExecutor:
    """The threads for blocking work, all at once: later, under a limit, there may be none to be had."""
    count = min(32, (os.cpu_count() or 1) + 4)
    executor = ThreadPoolExecutor(count, thread_name_prefix="fastlog-work")
    all_there = threading.Event()
    try:
        for _ in range(count):
            executor.submit(all_there.wait)
    finally:
        all_there.set()
    return executor


def _on_stop(number: signal.Signals, stop: asyncio.Event) -> None:
    _LOG.info("%s: stops when requests in work are answered; a second signal ends at once", number.name)
    stop.set()


def _at_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def announce(broker: RunnableBroker, say: Callable[[str], None]) -> None:
    """Says that the broker is ready: how to reach it, and what an acknowledgement means."""
    config = broker.config
    listening = ", ".join(f"{name}://{host_and_port(*where)}" for name, where in broker.endpoints.items())
    _LOG.info("ready: node %d listens on %s", config.node_id, listening)
    _LOG.info("data is in %s", ", ".join(str(path.absolute()) for path in config.log_dirs))
    if config.zookeeper_connect:
        _LOG.info("metadata is in the ZooKeeper tree at %s", config.zookeeper_connect)
    _LOG.info(
        "clients can make it take at most %d MiB of memory (fastlog.memory.max.bytes)",
        config.memory_max_bytes // (1024 * 1024),
    )
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
    say(
        f"\n    echo world | fastlog -b {address} produce hello\n"
        f"    kcat -b {address} -L\n"
        f"    python -c \"from kafka import KafkaProducer as P; p = P(bootstrap_servers='{address}'); "
        "p.send('hello', b'world'); p.flush()\"\n\n"
    )


def client_address(broker: RunnableBroker) -> str:
    """host:port of the first advertised listener; port 0 is the port that was given."""
    endpoint: Endpoint = broker.config.listeners.advertised[0]
    port = endpoint.port or broker.endpoints[endpoint.name][1]
    return host_and_port(endpoint.host, port)
