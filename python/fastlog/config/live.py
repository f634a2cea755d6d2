"""The configuration that is in force now, for parts of the broker that must see run-time changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastlog.config.broker_config import BrokerConfig
from fastlog.config.lasting import lasting_overrides

__all__ = ["LiveConfig"]


class LiveConfig:
    """Holds the current `BrokerConfig` and tells listeners when another one takes its place.

    Used on the event loop only. `current` is immutable: what is read from one snapshot is consistent.
    """

    def __init__(self, config: BrokerConfig) -> None:
        self._current = config
        self._listeners: list[Callable[[BrokerConfig, BrokerConfig], None]] = []
        self._on_adoption: list[Callable[[], None]] = []
        self._examiners: list[Callable[[BrokerConfig], Awaitable[None]]] = []

    @property
    def current(self) -> BrokerConfig:
        """The configuration in force."""
        return self._current

    def on_change(self, listener: Callable[[BrokerConfig, BrokerConfig], None]) -> None:
        """Calls `listener(before, after)` after each change."""
        self._listeners.append(listener)

    def on_adoption(self, listener: Callable[[], None]) -> None:
        """Calls `listener()` whenever overrides were sent, the same as before as well: files that they name
        may be others by now."""
        self._on_adoption.append(listener)

    def examine_with(self, examiner: Callable[[BrokerConfig], Awaitable[None]]) -> None:
        """Has `examiner` asked before overrides are stored. It raises ConfigError."""
        self._examiners.append(examiner)

    async def examine(self, config: BrokerConfig) -> None:
        """Raises ConfigError when `config`, which is legal, cannot be put in force: it may name files."""
        for examiner in self._examiners:
            await examiner(config)

    def replace(self, config: BrokerConfig) -> None:
        """Puts another configuration in force: the file has been read again."""
        before, self._current = self._current, config
        for listener in self._listeners:
            listener(before, config)
        for heard in self._on_adoption:
            heard()

    def adopt(self, *, cluster: Mapping[str, str], broker: Mapping[str, str]) -> list[str]:
        """Puts run-time overrides in force as far as they hold. Returns why others do not.

        They were legal when they were made: since then the properties file may have changed, or another
        version has stored what this one does not know.
        """
        before = self._current
        after, left_out = lasting_overrides(before, cluster=cluster, broker=broker)
        if after is not before:
            self._current = after
            for listener in self._listeners:
                listener(before, after)
        for heard in self._on_adoption:
            heard()
        return left_out
