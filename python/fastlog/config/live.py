"""The configuration that is in force now, for parts of the broker that must see run-time changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastlog.config.broker_config import BrokerConfig

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

    def apply(
        self, *, cluster: Mapping[str, str] | None = None, broker: Mapping[str, str] | None = None
    ) -> BrokerConfig:
        """Puts run-time overrides in force; what is left out stays. On ConfigError nothing has changed."""
        before, after = self._current, self._current.with_overrides(cluster=cluster, broker=broker)
        self._current = after
        for listener in self._listeners:
            listener(before, after)
        return after
