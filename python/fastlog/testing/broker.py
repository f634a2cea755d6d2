"""What a broker under test offers, whether it is a process or a thread."""

from __future__ import annotations

import itertools
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from fastlog.testing import background
from fastlog.testing.clock import BrokerClock
from fastlog.testing.ports import HOST, ReservedPort
from fastlog.testing.settings import QUICK, checked, listener_settings

if TYPE_CHECKING:
    from fastlog.testing.proxy import FaultProxy
    from fastlog.testing.seeds import Seed
    from fastlog.testing.topic import KafkaTopic

__all__ = ["KafkaBroker"]

_numbers = itertools.count(1)


class KafkaBroker(ABC):
    """A broker on ports of 127.0.0.1 that stay its own, with its data in `directory`.

    `start` and `close`, or a context manager; `stop` and `start` in between keep addresses and data. Beside
    `settings`, which are those of `server.properties`, it has some that suit tests (`settings.QUICK`).
    """

    def __init__(self, directory: Path, settings: Mapping[str, object] | None = None) -> None:
        self.directory: Final = directory
        self.settings: Final = {**QUICK, **checked(settings or {})}
        """All that is set, but for the addresses."""
        self.clock: Final = BrokerClock(self._move_clock)
        """Moves the time of its data on."""
        self._main, self._behind, self._before = ReservedPort(), ReservedPort(), ReservedPort()
        self._proxy: FaultProxy | None = None
        self._closed = weakref.finalize(self, _close_ports, (self._main, self._behind, self._before))

    # -- where it is --------------------

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return self._main.address

    bootstrap_servers = bootstrap
    """The same, as most clients call it."""

    @property
    def host(self) -> str:
        """127.0.0.1."""
        return HOST

    @property
    def port(self) -> int:
        """The number of its port."""
        return self._main.number

    @property
    def proxy(self) -> FaultProxy:
        """Another way to it, with faults on request: for clients that begin with `proxy.bootstrap`."""
        if self._proxy is None:
            from fastlog.testing.proxy import FaultProxy

            self._proxy = FaultProxy(self._behind.address, port=self._before)
        return self._proxy

    def __str__(self) -> str:
        return self.bootstrap

    # -- its life --------------------

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""

    @abstractmethod
    def start(self) -> None:
        """Returns when clients are served. Raises RuntimeError with the end of its log when it cannot."""

    @abstractmethod
    def stop(self) -> bool:
        """A clean stop, as by SIGTERM; whether its logs are marked clean."""

    def restart(self) -> None:
        """Stops it if it runs, and starts it on the same data and addresses."""
        if self.is_running:
            self.stop()
        self.start()

    @property
    @abstractmethod
    def log_text(self) -> str:
        """All that it has said."""

    @abstractmethod
    def _end(self) -> None:
        """Ends it in the quickest way: its data is of no more use."""

    @abstractmethod
    def _move_clock(self, milliseconds: int) -> bool: ...

    def close(self) -> None:
        """Ends it and gives its addresses back. The data stays. May be called more than once."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None
        self._end()
        self._closed()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _all_settings(self, data: Path) -> dict[str, str]:
        addresses = listener_settings(self._main.number, self._behind.number, self._before.number)
        return {**addresses, "log.dirs": str(data), **self.settings}

    # -- what is in it --------------------

    def topic(
        self,
        name: str | None = None,
        *,
        partitions: int = 1,
        replicas: int = 1,
        config: Mapping[str, object] | None = None,
        seed: Seed | None = None,
    ) -> KafkaTopic:
        """Makes a topic, by a name of its own if none is given, and fills it from `seed` (`KafkaTopic.seed`).

        Returns when it has leaders. Raises ClientError, and what reading the seed raises.
        """
        from fastlog.testing.topic import make_topic

        chosen = name or f"topic-{os.getpid()}-{next(_numbers)}"
        made = make_topic(self.bootstrap, chosen, partitions, replicas, checked_topic(config))
        if seed is not None:
            made.seed(seed)
        return made

    def restore(self, snapshot: str | os.PathLike[str]) -> dict[str, KafkaTopic]:
        """Makes the topics of a snapshot (`fastlog.testing.take_snapshot`) with their records; by name."""
        from fastlog.testing.snapshot import restore

        return restore(self.bootstrap, Path(snapshot))

    def topics(self) -> frozenset[str]:
        """The names of its topics, without those that are its own."""

        async def ask() -> Iterable[str]:
            from fastlog.client.cluster import Cluster

            async with Cluster(self.bootstrap) as cluster:
                found = (await cluster.metadata()).topics
            return [name for name, topic in found.items() if not topic.is_internal]

        return frozenset(background.run(ask()))


def checked_topic(config: Mapping[str, Any] | None) -> dict[str, str]:
    """Settings of a topic as texts."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (config or {}).items()
    }


def _close_ports(ports: Iterable[ReservedPort]) -> None:
    for port in ports:
        port.close()
