"""All clients of a run, from `start` until `finish`, on an event loop of their own in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tests.chaos.transactions.ambush import Ambushes
from tests.chaos.transactions.ambushed import AmbushedProducer
from tests.chaos.transactions.history import TransactionHistory, Writer, read_history
from tests.chaos.transactions.library import LibraryProducer
from tests.chaos.transactions.observers import Observer, Reader, read_all
from tests.chaos.transactions.producer import Place
from tests.chaos.transactions.proxy import FrameProxy
from tests.chaos.transactions.wire import GIVE_UP_SECONDS, Lost, Stuck, Wire

T = TypeVar("T")
TOPIC: Final = "written"
_STEP_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Clients:
    """How many of each kind, and how many partitions they write to."""

    first_protocol: int = 4
    second_protocol: int = 4
    library: int = 1
    partitions: int = 4
    ambushed: float = 0.02
    """Of how many transactions a frame is late when that matters most."""
    kinds: tuple[str, ...] = ()
    """Which of these frames, if not all: see `ambush`."""


class Load:
    """`ports`: where clients ask first, which are those of the proxies, `proxies`. `patience`: for how many
    seconds something may not happen that has to, before that is what is wrong."""

    def __init__(
        self,
        directory: Path,
        clients: Clients,
        seed: int,
        ports: Sequence[int],
        proxies: Sequence[FrameProxy],
        ambushes: Ambushes,
        patience: float = GIVE_UP_SECONDS,
    ) -> None:
        self._directory, self._clients, self._seed = directory, clients, seed
        self._ports, self._proxies = ports, proxies
        self.ambushes: Final = ambushes
        self._patience = patience
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients", daemon=True)
        self._stack = ExitStack()
        self._ended, self._closed = asyncio.Event(), asyncio.Event()
        self._raw: list[AmbushedProducer] = []
        self._library: list[LibraryProducer] = []
        self._running: list[Future[None]] = []
        self._looking: list[Future[None]] = []
        self._reader: Reader | None = None
        self._failures: list[str] = []
        self._wires: list[Wire] = []
        self.bootstrap: Final = ",".join(f"127.0.0.1:{port}" for port in ports)

    # -- life --------------------

    def start_proxies(self) -> None:
        """Opens the ways to the brokers."""
        self._thread.start()
        for proxy in self._proxies:
            self.run(proxy.start())

    def start(self) -> None:
        """Everybody begins; the topic is there."""
        clients = self._clients
        names = [
            *((f"raw-first-{number}", False) for number in range(clients.first_protocol)),
            *((f"raw-second-{number}", True) for number in range(clients.second_protocol)),
        ]
        for number, (name, raises) in enumerate(names):
            place = Place(TOPIC, clients.partitions, raises)
            wires = self._wire(name), self._wire(name)
            producer = AmbushedProducer(
                *(wires, name, number, place, self._writer(name), self._seed, self.ambushes),
                share=clients.ambushed,
            )
            self._raw.append(producer)
            self._running.append(self._begin(producer.run(self._ended)))
        for number in range(clients.library):
            name = f"library-{number}"
            self._library.append(
                LibraryProducer(
                    *(self.bootstrap, name, len(names) + number, TOPIC, clients.partitions),
                    *(self._writer(name), self._seed),
                )
            )
        groups = [name for name, _ in names]
        observer = Observer(self._wire("observer"), TOPIC, groups, self._writer("observer"))
        self._looking.append(self._begin(observer.run(self._closed)))
        self._reader = Reader(self.bootstrap, TOPIC, clients.partitions, self._writer("reader"))
        for one in (*self._library, self._reader):
            one.start()

    @property
    def transactions(self) -> int:
        """How many have ended so far."""
        return sum(one.counts["transactions"] for one in (*self._raw, *self._library))

    @property
    def rows(self) -> int:
        """How many the reader has got."""
        return 0 if self._reader is None else self._reader.rows

    def check(self) -> None:
        """Raises AssertionError when a client has given up."""
        for future in (*self._running, *self._looking):
            if future.done() and (error := future.exception()) is not None:
                raise AssertionError(f"a client has given up: {error!r}") from error

    def wait_for(self, count: int) -> None:
        """Returns when so many more transactions have ended. Raises AssertionError when they do not."""
        assert self.goes_on(count, GIVE_UP_SECONDS), f"{self.transactions} transactions"

    def goes_on(self, count: int, seconds: float | None = None) -> bool:
        """Whether so many more transactions end before long; if not, that is a failure of the run."""
        wanted = self.transactions + count
        deadline = time.monotonic() + (self._patience if seconds is None else seconds)
        while self.transactions < wanted:
            self.check()
            if time.monotonic() > deadline:
                self._failures.append("stuck: transactions do not end")
                return False
            time.sleep(0.02)
        return True

    def finish(self) -> TransactionHistory:
        """All is whole again: everybody ends, the last transactions too; reads all there is."""
        for proxy in self._proxies:
            proxy.is_calm = True
        for library in self._library:
            library.stop()
        self._loop.call_soon_threadsafe(self._ended.set)
        for future in self._running:
            try:
                future.result(self._patience)
            except (Stuck, TimeoutError) as error:
                self._failures.append(f"stuck: {str(error) or 'a client does not end'}")
        for library in self._library:
            if not library.join(self._patience):
                self._failures.append("stuck: a client of librdkafka does not end")
        ends = self._settled()
        positions = self.run(self._positions())
        self._loop.call_soon_threadsafe(self._closed.set)
        for future in self._looking:
            future.result(_STEP_SECONDS)
        final = read_all(self.bootstrap, TOPIC, self._clients.partitions)
        self._wait_for_reader({(row[0], row[1]) for row in final}, min(self._patience, _STEP_SECONDS))
        self._stack.close()
        history = read_history(self._directory.glob("*.jsonl"))
        history.final, history.ends, history.final_positions = final, ends, positions
        history.failures += [("run", failure) for failure in self._failures]
        return history

    def close(self) -> None:
        """Ends everything, also when something has failed."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._loop.call_soon_threadsafe(self._closed.set)
        for library in self._library:
            library.stop()
        if self._reader is not None and self._reader._thread.is_alive():
            self._reader.stop()
        if self._thread.is_alive():
            for future in (*self._running, *self._looking):
                future.cancel()
            for proxy in self._proxies:
                self.run(proxy.close())
            self.run(self._close_wires())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
        self._stack.close()

    def counts(self) -> Counter[str]:
        """What has happened to clients and to frames."""
        total: Counter[str] = Counter()
        for raw in self._raw:
            total.update(raw.counts)
        for library in self._library:
            total.update(library.counts)
        for proxy in self._proxies:
            total.update({f"frame {name}": count for name, count in proxy.counts.items()})
        return total

    # -- inside --------------------

    def run(self, work: Coroutine[None, None, T]) -> T:
        """Runs a coroutine on the clients' loop."""
        return self._begin(work).result(_STEP_SECONDS)

    def _begin(self, work: Coroutine[None, None, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wire(self, name: str) -> Wire:
        wire = Wire(self._ports, name, TOPIC)
        self._wires.append(wire)
        return wire

    async def _close_wires(self) -> None:
        for wire in self._wires:
            wire.close()
        # Connections are closed by the loop, some turns later.
        await asyncio.sleep(0.2)

    def _writer(self, name: str) -> Writer:
        return self._stack.enter_context(Writer(self._directory / f"{name}.jsonl"))

    def _settled(self) -> dict[int, tuple[int, int]]:
        """Last stable offsets and ends, once they are the same, or when that takes too long.

        Transactions of clients that have died end by their time-outs.
        """
        observer = Observer(self._wire("last-look"), TOPIC, (), self._writer("last-look"))
        deadline = time.monotonic() + self._patience
        ends: dict[int, tuple[int, int]] = {}
        while time.monotonic() < deadline:
            try:
                told = self.run(observer.stability())
            except Lost:
                told = {}
            ends.update({partition: (stable, end) for partition, (_, stable, end) in told.items()})
            if len(ends) == self._clients.partitions and all(low == high for low, high in ends.values()):
                break
            time.sleep(0.2)
        return ends

    async def _positions(self) -> dict[str, int]:
        groups = [one.name for one in self._raw]
        observer = Observer(self._wire("last-positions"), TOPIC, groups, self._writer("last-positions"))
        deadline = time.monotonic() + self._patience
        found: dict[str, int] = {}
        while len(found) < len(groups) and time.monotonic() < deadline:
            try:
                found.update({group: offset for group, (_, offset) in (await observer.positions()).items()})
            except Lost:
                await asyncio.sleep(0.1)
        return found

    def _wait_for_reader(self, wanted: set[tuple[int, int]], seconds: float) -> None:
        assert self._reader is not None
        deadline = time.monotonic() + seconds
        while self._reader.rows < len(wanted) and time.monotonic() < deadline:
            time.sleep(0.1)
        if self._reader.rows < len(wanted):
            self._failures.append(f"the reader has {self._reader.rows} of {len(wanted)} records")
        self._reader.stop()
