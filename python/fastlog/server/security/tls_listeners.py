"""The listeners with TLS, and the keeper's: loaded at the start, renewed while clients are connected.

A renewal is looked for when the configuration changes, when somebody sends it again (`kafka-configs` with the
same path), and at SIGHUP: where settings or files are others than those in use, they are loaded in a thread
and, when they are fit to take the place of the others (`check_renewal`), hold for handshakes from then on.
Connections that are open go on. What cannot be used is logged, and the former certificate stays.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ConfigError
from fastlog.server.network.tls_layer import TlsListener
from fastlog.server.security.identity import Identity, check_renewal, load_identity

if TYPE_CHECKING:
    import ssl

    from fastlog.base.tasks import Loop, Supervisor
    from fastlog.config import BrokerConfig, LiveConfig
    from fastlog.config.tls_settings import TlsSettings

_LOG: Final = logging.getLogger(__name__)
_THREADS: Final = 2
_KEEPER: Final = "the keeper"
"""No listener has such a name."""

Stamps = tuple[tuple[int, int, int] | None, ...]
"""What tells whether the files of a listener are the same as before."""


@dataclass(slots=True)
class _InUse:
    identity: Identity
    show: Callable[[Identity], None]
    """Has handshakes from then on show another one."""
    settings: TlsSettings
    stamps: Stamps


class TlsListeners:
    """Used on the event loop: `open`, then `close`."""

    def __init__(self, live: LiveConfig, tasks: Supervisor) -> None:
        self._live = live
        self._tasks = tasks
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fastlog-tls")
        self._in_use: dict[str, _InUse] = {}
        self._listeners: dict[str, TlsListener] = {}
        self._asked = asyncio.Event()
        self._loop: Loop | None = None

    async def open(
        self, config: BrokerConfig, renew_keeper: Callable[[ssl.SSLContext], None]
    ) -> Mapping[str, TlsListener]:
        """Loads all of them, by name. Raises ConfigError."""
        for name, settings in _all_of(config).items():
            stamps, identity = await asyncio.to_thread(_load, settings)
            if name == _KEEPER:
                show = partial(_show_at_keeper, renew_keeper)
            else:
                listener = TlsListener(identity, self._threads, self._failure_delay)
                self._listeners[name] = listener
                show = partial(setattr, listener, "identity")
            self._in_use[name] = _InUse(identity, show, settings, stamps)
        self._live.on_adoption(self.look)
        self._live.examine_with(self.examine)
        self._loop = self._tasks.run("tls-renewal", self._follow)
        return self._listeners

    def outgoing(self, name: str) -> ssl.SSLContext | None:
        """What connections to other brokers over a listener are made with, from now on."""
        item = self._in_use.get(name)
        return None if item is None else item.identity.outgoing

    async def close(self) -> None:
        """Nothing is renewed any more, and no handshake comes to its end."""
        if self._loop is not None:
            await self._loop.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Has it looked for what is to be renewed."""
        self._asked.set()

    async def examine(self, config: BrokerConfig) -> None:
        """Raises ConfigError when what `config` says of a listener could not take the place of what is."""
        for name, item in list(self._in_use.items()):
            settings = _all_of(config).get(name)
            if settings is None or settings == item.settings:
                continue
            _, identity = await asyncio.to_thread(_load, settings)
            check_renewal(item.identity, identity)

    def _failure_delay(self) -> float:
        return self._live.current.connection_failed_authentication_delay_ms / 1000

    async def _follow(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            for name, item in self._in_use.items():
                await self._renew(name, item)

    async def _renew(self, name: str, item: _InUse) -> None:
        settings = _all_of(self._live.current).get(name, item.settings)
        try:
            if settings == item.settings and await asyncio.to_thread(_stamps, settings) == item.stamps:
                return
            stamps, identity = await asyncio.to_thread(_load, settings)
            check_renewal(item.identity, identity)
        except ConfigError as error:
            _LOG.error("%s keeps the certificate that it has: %s", _called(name), error)
            return
        item.show(identity)
        item.identity = identity
        item.settings, item.stamps = settings, stamps
        _LOG.info("%s shows a renewed certificate: %s", _called(name), identity.certificate.subject)


def _all_of(config: BrokerConfig) -> Mapping[str, TlsSettings]:
    found = config.listeners.tls
    return found if config.keeper_tls is None else {**found, _KEEPER: config.keeper_tls}


def _called(name: str) -> str:
    return name if name == _KEEPER else f"listener {name}"


def _show_at_keeper(renew: Callable[[ssl.SSLContext], None], identity: Identity) -> None:
    renew(identity.context)


def _load(settings: TlsSettings) -> tuple[Stamps, Identity]:
    # Before the files are read: one that changes meanwhile is seen to have changed.
    stamps = _stamps(settings)
    return stamps, load_identity(settings)


def _stamps(settings: TlsSettings) -> Stamps:
    stores = [settings.keystore, *([] if settings.truststore is None else [settings.truststore])]
    return tuple(_stamp(store.location) for store in stores)


def _stamp(path: str | None) -> tuple[int, int, int] | None:
    try:
        found = None if path is None else os.stat(path)
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
