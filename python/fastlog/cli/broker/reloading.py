"""SIGHUP: reads the configuration again and puts in force what can be without a restart."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

from fastlog.config import BrokerConfig
from fastlog.config.definitions.security import is_renewable
from fastlog.errors import ConfigError

__all__ = ["Reloading", "reloader"]

_LOG: Final = logging.getLogger("fastlog.broker")
_LEVEL: Final = "fastlog.log.level"


class Reloading:
    """One at a time, each in a thread of its own: what hangs must not take the threads of others.

    `begun`, `renew` (with what was read) and `done` are called on the event loop, on which this is made.
    """

    def __init__(
        self,
        reload: Callable[[], BrokerConfig | None],
        renew: Callable[[BrokerConfig], None],
        begun: Callable[[], None],
        done: Callable[[], None],
    ) -> None:
        self._reload = reload
        self._renew = renew
        self._begun = begun
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._running = False

    def start(self) -> None:
        """Starts to read, unless it is being read."""
        if self._running:
            _LOG.warning("SIGHUP: the configuration is still being read since the last one")
            return
        self._running = True
        self._begun()
        threading.Thread(target=self._run, name="fastlog-reload", daemon=True).start()

    def _run(self) -> None:
        found = None
        try:
            found = self._reload()
        except Exception:  # noqa: BLE001 - a defect: the broker goes on as it was configured
            _LOG.exception("SIGHUP: the configuration could not be read again")
        try:
            self._loop.call_soon_threadsafe(self._end, found)
        except RuntimeError:
            # The loop is closed, and nobody waits any more.
            return

    def _end(self, found: BrokerConfig | None) -> None:
        self._running = False
        try:
            if found is not None:
                self._renew(found)
        except ConfigError as error:
            _LOG.error("SIGHUP: certificates and users stay as they are: %s", error)
        finally:
            self._done()


def reloader(config: BrokerConfig, read: Callable[[], BrokerConfig]) -> Callable[[], BrokerConfig | None]:
    """What SIGHUP does to a broker that was started with `config`. `read` raises ConfigError.

    The level of the log changes at once, and so do certificates: what was read is returned for them (None: it
    is not valid). Other keys are only named: those that may change while the broker
    runs are changed through it (`fastlog config alter`), where their values are kept and replicated.
    """

    def reload() -> BrokerConfig | None:
        try:
            found = read()
        except ConfigError as error:
            _LOG.error("SIGHUP: nothing changes, the configuration is not valid: %s", error)
            return None
        package = logging.getLogger("fastlog")
        before, names = logging.getLevelName(package.level), _changed(config, found)
        package.setLevel(found.log_level)
        # A level at which this would not be seen is no reason to say nothing.
        _LOG.log(
            max(logging.INFO, package.level),
            "SIGHUP: the configuration was read again; log level %s%s%s",
            found.log_level,
            "" if found.log_level == before else f", was {before}",
            f"; what waits for the next start: {', '.join(names)}" if names else "",
        )
        return found

    return reload


def _changed(before: BrokerConfig, after: BrokerConfig) -> list[str]:
    """Keys whose configured text differs, without the level."""
    old, new = before.layers.settings, after.layers.settings
    return sorted(
        name
        for name in {*old.values, *new.values} - {_LEVEL}
        if old.text(name) != new.text(name) and not is_renewable(name)
    )
