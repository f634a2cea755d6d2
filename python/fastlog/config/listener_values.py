"""The values of one listener: keys with its prefix, `listener.name.<name>.`, go before those for all."""

from __future__ import annotations

from fastlog.config.layers import Layers
from fastlog.config.types import Value

__all__ = ["ListenerReader", "listener_key"]


def listener_key(listener: str, key: str) -> str:
    """The name of a key for one listener alone."""
    return f"listener.name.{listener.lower()}.{key}"


class ListenerReader:
    """Used while a configuration is put together."""

    def __init__(self, layers: Layers, listener: str) -> None:
        self._layers = layers
        self._listener = listener

    def name(self, key: str) -> str:
        """The key that has the say."""
        own = listener_key(self._listener, key)
        return own if self._layers.text(own) is not None else key

    def value(self, key: str) -> Value:
        """Its value."""
        return self._layers.value(self.name(key))

    def text(self, key: str) -> str | None:
        """The same of a text that may be left out."""
        value = self.value(key)
        return str(value) if value else None

    def raw(self, key: str) -> str | None:
        """Its text, which may be empty on purpose."""
        return self._layers.text(self.name(key))

    def words(self, key: str) -> tuple[str, ...]:
        """The same of a list."""
        value = self.value(key)
        return tuple(filter(None, value)) if isinstance(value, tuple) else ()

    def own_text(self, key: str) -> str | None:
        """The same of the key with the prefix alone."""
        value = self._layers.value(listener_key(self._listener, key))
        return str(value) if value else None
