"""The process of which brokers and keepers under test are forks, and those themselves.

Each has a socket from the process that runs the tests, and nothing else: over that it is told what to be,
moves its clock, and learns that the other one is gone. Then it ends, at once, whatever it does at that time:
the end of a process closes its sockets, also that by kill -9. The kernel tells it, too (PR_SET_PDEATHSIG),
which reaches it while it is stopped, and where a child of a fork holds the socket open.

A broker that serves others cannot be controlled in this way: its program does not import this module.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import queue
import select
import signal
import socket
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastlog.cli.broker.running import RunnableBroker
    from fastlog.config import BrokerConfig
    from fastlog.server.broker import Broker

__all__ = ["Control", "main"]

_PR_SET_PDEATHSIG: Final = 1
_LARGEST: Final = 1 << 18
_AT_ONCE: Final = (
    *("fastlog.cli.broker.main", "fastlog.cli.broker.options", "fastlog.cli.broker.reloading"),
    *("fastlog.cli.broker.running", "fastlog.cli.logging_setup", "fastlog.native.moving_clock"),
    *("fastlog.server.broker", "fastlog.server.unused_settings", "fastlog.testing.moved"),
)
"""What every broker needs before it is ready."""
_HANDLERS: Final = (
    *("api_versions", "metadata", "create_topics", "produce", "fetch", "list_offsets", "find_coordinator"),
    *("join_group", "sync_group", "heartbeat", "offset_fetch", "offset_commit", "leave_group"),
    *("consumer_group_heartbeat", "init_producer_id"),
)
"""What its first clients ask for."""
_LATER: Final = ("fastlog.server.transaction_parts", "fastlog.cli.keeper_main")

Order = dict[str, Any]


def main(descriptor: int) -> None:
    """Imports what brokers need, and makes a fork for each order to."""
    _end_with_parent(os.getppid())
    requests = socket.socket(fileno=descriptor)
    # As the broker's own program does: what is imported stays.
    gc.disable()
    for name in _AT_ONCE:
        import_module(name)
    control = _serve(requests)
    gc.enable()
    _be_told(Control(control))


def _serve(requests: socket.socket) -> int:
    """Returns in the forks: the descriptor of the socket of each."""
    left = [_handlers_of(name) for name in _HANDLERS] + [_module(name) for name in _LATER] + [gc.freeze]
    # Not `select`: the descriptor may be above 1023 where pytest has many open.
    waiting = select.poll()
    waiting.register(requests, select.POLLIN)
    while True:
        if left and not waiting.poll(0):
            left.pop(0)()
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, _LARGEST, 1)
        if not message:
            os._exit(0)
        order = json.loads(message)
        if order["do"] == "reap":
            _, status = os.waitpid(order["pid"], 0)
            requests.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
            continue
        mother = os.getpid()
        pid = os.fork()
        if not pid:
            requests.close()
            _end_with_parent(mother)
            os.environ.clear()
            os.environ.update(order["environment"])
            os.chdir(order["directory"])
            return descriptors[0]
        os.close(descriptors[0])
        requests.send(json.dumps({"pid": pid}).encode())


def _module(name: str) -> Callable[[], object]:
    return lambda: import_module(name)


def _handlers_of(name: str) -> Callable[[], object]:
    def load() -> None:
        from fastlog.server.requests.registry import import_handlers

        import_handlers(name)

    return load


def _end_with_parent(parent: int) -> None:
    """Has the kernel end this process together with the one that started it, which may be gone by now."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Control:
    """This end of the socket. A thread reads orders, one JSON object a line, and hands them to `obey`."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._first: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self.obey: Callable[[Order], None] = self._first.put
        threading.Thread(target=self._read, name="fastlog-control", daemon=True).start()

    def first(self) -> Order:
        """What to be."""
        return self._first.get()

    def answer(self, order: Order, **details: object) -> None:
        """Says that an order is carried out."""
        line = json.dumps({"id": order["id"], **details}) + "\n"
        try:
            self._socket.sendall(line.encode())
        except OSError:
            _end()

    def _read(self) -> None:
        rest = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                _end()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.obey(json.loads(line))


def _be_told(control: Control) -> None:
    order = control.first()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    if order["do"] == "keeper":
        from fastlog.cli.keeper_main import main as be_keeper

        be_keeper(order["arguments"])
    else:
        from fastlog.cli.broker.main import main as be_broker

        be_broker(order["arguments"], lambda config: _controlled(config, control, order))


def _controlled(config: BrokerConfig, control: Control, order: Order) -> RunnableBroker:
    from fastlog.native.moving_clock import MovingClock
    from fastlog.server.broker import Broker
    from fastlog.testing.moved import move

    class Controlled(Broker):
        """A broker that tells when it serves, and whose clock is moved by its test."""

        async def start(self) -> None:
            await super().start()
            loop = asyncio.get_running_loop()
            control.obey = lambda other: _at_once(loop, lambda: under_way.append(self._move(other)))
            control.answer(order, endpoints={name: list(where) for name, where in self.endpoints.items()})

        def _move(self, other: Order) -> asyncio.Task[None]:
            return asyncio.create_task(_move(self, other), name="fastlog-moved-clock")

    async def _move(broker: Broker, other: Order) -> None:
        try:
            done = await move(broker, clock, other["milliseconds"])
        except Exception as error:
            control.answer(other, failed=f"{type(error).__name__}: {error}")
            raise
        control.answer(other, done=done)

    under_way: list[asyncio.Task[None]] = []
    clock = MovingClock(order["ahead_ms"])
    return Controlled(config, clock)


def _at_once(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(action)
    except RuntimeError:  # it is on its way out
        return
