"""A broker inside the test process, on a thread and event loop of its own, and a client of plain sockets."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.server.broker import Broker
from fastlog.server.transactions import MakeMarkerWriter, leader_markers
from fastlog.wire import ApiKey, Request, Response, decode_response
from tests.harness.link import Connection
from tests.harness.metadata_place import metadata_settings

T = TypeVar("T")


class RunningBroker:
    """A broker on a free port of 127.0.0.1; `stop` and `start` again keep port and data."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.directory = directory
        self.port = 0
        self.failures: list[str] = []
        self.settings = dict(settings or {})
        self._loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._thread.start()
        self._broker: Broker | None = None

    @property
    def broker(self) -> Broker:
        """The broker that runs."""
        assert self._broker is not None
        return self._broker

    @property
    def bootstrap(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the broker and waits until it serves."""
        flags = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(self.directory),
            "fastlog.http.port": "-1",
            **metadata_settings(self.directory),
            **self.settings,
        }
        settings = load_settings(flags=[Flag(name, text) for name, text in flags.items()])
        self._broker = Broker(
            BrokerConfig.from_settings(settings),
            on_all_directories_failed=self.failures.append,
            marker_writer=self.marker_writer(),
        )
        self.run(self._broker.start())
        self.port = self._broker.endpoints["PLAINTEXT"][1]

    def marker_writer(self) -> MakeMarkerWriter | None:
        """What writes markers of transactions."""
        return leader_markers

    def stop(self) -> bool:
        """Stops the broker; whether it says that its logs are clean."""
        broker, self._broker = self.broker, None
        return self.run(broker.stop())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the broker's loop."""
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=30)

    def close(self) -> None:
        """Ends everything."""
        if self._broker is not None:
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def connect(self, *, timeout: float = 10) -> RawClient:
        """A new connection."""
        return RawClient(self.port, timeout=timeout)


class RawClient(Connection):
    """One connection that sends and receives what the test says."""

    client_id = "raw"

    def receive(self, key: ApiKey, version: int) -> tuple[int, Response]:
        """The next response: (correlation id, message)."""
        return decode_response(key, version, self.receive_frame())

    def ask(self, request: Request, version: int) -> Any:
        """Sends a request and returns its answer."""
        sent = self.send(request, version)
        correlation_id, response = self.receive(request.API, version)
        assert correlation_id == sent
        return response

    def is_closed(self) -> bool:
        """Whether the broker closes the connection, without a further byte, within the timeout."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
