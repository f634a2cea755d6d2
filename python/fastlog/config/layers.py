"""The layers that decide about a broker key: run-time overrides over what was configured over the default."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.definitions import key_or_plugins, synonyms_of
from fastlog.config.sources import Settings
from fastlog.config.types import Value
from fastlog.errors import ConfigError

if TYPE_CHECKING:
    from fastlog.config.password_encoder import PasswordEncoder

__all__ = ["ConfigSource", "Layers", "SourcedText"]

T = TypeVar("T")
_SECRET: Final = "password.encoder.secret"  # noqa: S105 - the name of a key
_ENCODED: Final = "encryptedPassword:"
_KEPT: Final = 1024


class ConfigSource(IntEnum):
    """Origin of a value, with the numbers of `config_source` in DescribeConfigs."""

    UNKNOWN = 0
    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    DYNAMIC_BROKER_LOGGER = 6
    GROUP = 8


@dataclass(frozen=True, slots=True)
class SourcedText:
    """The text of one key in one layer."""

    name: str
    text: str
    source: ConfigSource


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers at one moment. `cluster` and `broker` hold the overrides made through AlterConfigs."""

    settings: Settings
    cluster: Mapping[str, str] = field(default_factory=dict)
    broker: Mapping[str, str] = field(default_factory=dict)
    _derived: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    def derived(self, question: Hashable, answer: Callable[[], T]) -> T:
        """What `answer` made of these layers, kept for the next one who asks: hundreds of topics have the
        same overrides. Nobody changes what this returns."""
        found: T | None = self._derived.get(question)
        if found is None:
            found = answer()
            if len(self._derived) >= _KEPT:
                self._derived.clear()
            self._derived[question] = found
        return found

    def encoder(self) -> PasswordEncoder | None:
        """What encrypts passwords that come through the API; None where nothing does. Raises ConfigError."""
        if not self.settings.text(_SECRET):
            return None
        from fastlog.config.password_encoder import password_encoder  # it computes, and few need it

        def text_of(name: str) -> str | None:
            return self.settings.text(name) or self.settings.default(name)

        return password_encoder(text_of)

    def decoded(self, name: str, text: str) -> str:
        """The password in a stored text, which may be one as it is. Raises ConfigError."""
        from fastlog.config.password_encoder import is_encoded  # as above

        if not key_or_plugins(name).sensitive or not is_encoded(text):
            return text
        encoder = self.derived(_SECRET, self.encoder)
        if encoder is None:
            raise ConfigError(name, f"is encrypted, and {_SECRET} is not set")
        return encoder.decode(name, text)

    def text(self, name: str) -> str | None:
        """The text in force for exactly this key (synonyms do not count), or None when it is not set."""
        found = self.found(name)
        return found[0].text if found else None

    def value(self, name: str) -> Value:
        """The parsed value in force for exactly this key."""
        text = self.text(name)
        return None if text is None else key_or_plugins(name).parse(text)

    def is_set(self, name: str) -> bool:
        """Whether any layer but the default holds the key."""
        return any(item.source is not ConfigSource.DEFAULT for item in self.found(name))

    def found(self, name: str) -> list[SourcedText]:
        """Every layer's text for exactly this key, the strongest first."""
        items = []
        if name in self.broker:
            text = self.broker[name]
            if _ENCODED in text:
                text = self.decoded(name, text)
            items.append(SourcedText(name, text, ConfigSource.DYNAMIC_BROKER))
        if name in self.cluster:
            items.append(SourcedText(name, self.cluster[name], ConfigSource.DYNAMIC_DEFAULT_BROKER))
        configured = self.settings.text(name)
        if configured is not None:
            items.append(SourcedText(name, configured, ConfigSource.STATIC_BROKER))
        default = self.settings.default(name)
        if default is not None:
            items.append(SourcedText(name, default, ConfigSource.DEFAULT))
        return items

    def with_synonyms(self, name: str) -> list[SourcedText]:
        """Texts of the key and its synonyms in the order DescribeConfigs lists them.

        Layer by layer, within a layer the strongest synonym first, as `ConfigHelper.configSynonyms`. Texts
        before the first one of the key itself are left out there, so that a listener's override does not
        show up under the base key; log.retention.hours and its like therefore list only themselves and what
        follows.
        """
        items = [item for synonym in synonyms_of(name) for item in self.found(synonym)]
        items.sort(key=lambda item: item.source)
        first = next((index for index, item in enumerate(items) if item.name == name), len(items))
        return items[first:]
