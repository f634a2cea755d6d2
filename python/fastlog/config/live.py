"""The configuration that is in force now, for parts of the broker that must see run-time changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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

    @property
    def current(self) -> BrokerConfig:
        """The configuration in force."""
        return self._current

    def on_change(self, listener: Callable[[BrokerConfig, BrokerConfig], None]) -> None:
        """Calls `listener(before, after)` after each change."""
        self._listeners.append(listener)

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
        return left_out
