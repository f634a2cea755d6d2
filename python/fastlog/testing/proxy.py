"""Between clients and a broker: passes Kafka's frames, and lets go wrong what a test asks for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Literal, Self

from fastlog.errors import ErrorCode
from fastlog.testing import background
from fastlog.testing.faults import Fault, Kind, Side, api_of, code_of
from fastlog.testing.passage import Passage
from fastlog.testing.ports import ReservedPort
from fastlog.wire.api_keys import ApiKey

__all__ = ["FaultProxy"]

Where = Literal["request", "answer"]
Api = ApiKey | str | int | None


class FaultProxy:
    """Listens on `bootstrap` from its making until `close`; connections go on to `target` (host:port).

    The broker has to advertise the proxy's address on that listener, as those of the fixtures do; otherwise
    clients go past it when they have read the metadata. `api` is the name of a request ("Produce",
    "list_offsets") or its number, None stands for all. Faults happen to frames in the order of their making;
    `times=None` is until they are removed. `where` is which way: "request" or "answer".
    """

    def __init__(self, target: str, *, port: ReservedPort | None = None) -> None:
        host, _, number = target.rpartition(":")
        self._target: Final = host, int(number)
        self._own_port = ReservedPort() if port is None else None
        self._port: Final = self._own_port or port or ReservedPort()
        self._faults: tuple[Fault, ...] = ()
        self._passages: set[Passage] = set()
        self._handling: set[asyncio.Task[None]] = set()
        self._refuses = False
        self._is_closed = False
        self.requests: Final[Counter[str]] = Counter()
        """How many requests have come, by the name of their API ("PRODUCE")."""
        self.connections = 0
        """How many connections have come."""
        self.bytes_per_second: float | None = None
        """A bound for each direction of each connection; None: none."""
        self._thread = background.thread()
        listener = self._port.listening()
        try:
            self._server = self._thread.run(self._listen(listener))
        except BaseException:
            listener.close()
            raise

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return self._port.address

    bootstrap_servers = bootstrap

    def __str__(self) -> str:
        return self.bootstrap

    # -- faults --------------------

    def delay(
        self, seconds: float, api: Api = None, *, times: int | None = None, where: Where = "request"
    ) -> Fault:
        """Each frame waits for so long, and all that come after it on its connection."""
        return self._add(Kind.DELAY, api, where, times, seconds=seconds)

    def hold(self, api: Api = None, *, times: int | None = None, where: Where = "request") -> Fault:
        """Frames wait until `Fault.release` or `Fault.remove`, and all that come after them."""
        return self._add(Kind.HOLD, api, where, times)

    def drop(self, api: Api = None, *, times: int | None = 1, where: Where = "request") -> Fault:
        """A frame never arrives, nor does anything after it on its connection, which stays open.

        So it is with packets that a firewall drops: the client waits for its request time-out.
        """
        return self._add(Kind.DROP, api, where, times)

    def cut(
        self, api: Api = None, *, times: int | None = 1, where: Where = "answer", after: int | None = None
    ) -> Fault:
        """The connection ends in the middle of a frame: half of it arrives, or `after` bytes."""
        return self._add(Kind.CUT, api, where, times, after=after)

    def fail(
        self,
        api: Api,
        error: ErrorCode | str | int | type[BaseException],
        *,
        times: int | None = 1,
        carried_out: bool = False,
    ) -> Fault:
        """The next requests are answered with an error, at the top and for each topic and partition.

        They do not reach the broker; with `carried_out` they do, and only their answers are lost, as when a
        leader goes after the append. Metadata and ApiVersions always reach it.
        """
        if api_of(api) is None:
            raise ValueError("which API is to fail?")
        return self._add(Kind.FAIL, api, "answer" if carried_out else "request", times, code=code_of(error))

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """All connections break, and new ones are refused, until the end of the block."""
        self._refuses = True
        self.break_connections()
        try:
            yield
        finally:
            self._refuses = False

    def break_connections(self) -> None:
        """Breaks all connections that there are, at once. Clients may come again."""
        self._thread.run(self._break())

    def clear(self) -> None:
        """Removes all faults, and the bound on speed. What is held goes on."""
        for fault in self._faults:
            fault.remove()
        self.bytes_per_second = None

    # -- its life --------------------

    def close(self) -> None:
        """Ends it with all connections. May be called more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        self.clear()
        if not self._thread.loop.is_closed():
            self._thread.run(self._close())
        if self._own_port is not None:
            self._own_port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(
        self,
        kind: Kind,
        api: Api,
        where: Where,
        times: int | None,
        *,
        seconds: float = 0.0,
        after: int | None = None,
        code: ErrorCode = ErrorCode.NONE,
    ) -> Fault:
        fault = Fault(
            kind,
            api_of(api),
            Side(where),
            times,
            thread=self._thread,
            forget=self._forget,
            seconds=seconds,
            after=after,
            code=code,
        )
        self._faults = (*self._faults, fault)
        return fault

    def _forget(self, fault: Fault) -> None:
        self._faults = tuple(other for other in self._faults if other is not fault)

    # -- on the loop of the helper thread --------------------

    def faults(self, api: ApiKey | None, side: Side) -> list[Fault]:
        """See `Rules.faults`."""
        if side is Side.REQUEST:
            self.requests["UNKNOWN" if api is None else api.name] += 1
        return [fault for fault in self._faults if fault.takes(api, side)]

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(self._handle, sock=listener)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)
        self.connections += 1
        try:
            if self._refuses:
                raise ConnectionRefusedError
            broker = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        for end in (writer, broker[1]):
            end.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        passage = Passage(self, (reader, writer), broker)
        self._passages.add(passage)
        try:
            await passage.run()
        finally:
            self._passages.discard(passage)

    async def _break(self) -> None:
        for passage in list(self._passages):
            passage.cut()

    async def _close(self) -> None:
        self._server.close()
        await self._break()
        left = list(self._handling)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
