"""References to values kept elsewhere: `${file:/run/secrets/kafka:password}`, `${env:NAME}`.

KIP-297, KIP-421, KIP-887 and KIP-993. `config.providers` names providers, `config.providers.<name>.class`
says which of Kafka's three classes each one is; any other class would be Java code, which fastlog does not
run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.base.regular_file import read_regular_file
from fastlog.config.properties import read_properties
from fastlog.errors import ConfigError

if TYPE_CHECKING:
    from fastlog.config.sources import Setting

__all__ = ["resolve_references"]

_KEY: Final = "config.providers"
_REFERENCE: Final = re.compile(r"\$\{([^}]*?):(?:([^}]*?):)?([^}]*?)\}")
_ENVIRONMENT: Final = "EnvVarConfigProvider"
_ALLOWED_PATHS: Final = "allowed.paths"
_ALLOWED_NAMES: Final = "allowlist.pattern"
_PACKAGE: Final = "org.apache.kafka.common.config.provider."

Provider = Callable[[str, str], str]
"""(path, key) -> value. Raises OSError, KeyError, UnicodeDecodeError or _NotAllowedError."""


class _NotAllowedError(Exception):
    """The parameter of a provider that forbids it."""


def resolve_references(values: Mapping[str, Setting]) -> dict[str, Setting]:
    """`values` with every `${provider:path:key}` replaced, and without the keys that declare providers.

    A reference to a provider that is not declared stays as it is, as in Kafka. Raises ConfigError when a
    provider is of an unknown class or cannot give the value.
    """
    declared = {
        name: setting for name, setting in values.items() if name == _KEY or name.startswith(f"{_KEY}.")
    }
    if _KEY not in declared:
        return dict(values)
    names = [part.strip() for part in declared[_KEY].text.split(",") if part.strip()]
    providers = {name: _provider(name, declared) for name in names}
    return {name: _resolve(setting, providers) for name, setting in values.items() if name not in declared}


def _provider(name: str, declared: Mapping[str, Setting]) -> Provider:
    key = f"{_KEY}.{name}.class"
    if key not in declared:
        raise ConfigError(key, f"is not set, but {_KEY} names the provider {name}")
    kind = declared[key].text.strip()
    for known, provider in _PROVIDERS.items():
        if kind in (known, _PACKAGE + known):
            return _restricted(name, known, provider, declared)
    raise ConfigError(key, f"{kind} is not one of {', '.join(_PROVIDERS)}; other classes cannot be loaded")


def _restricted(name: str, kind: str, provider: Provider, declared: Mapping[str, Setting]) -> Provider:
    """What a provider may give, where its parameter says so (KIP-993)."""
    key = f"{_KEY}.{name}.param.{_ALLOWED_NAMES if kind == _ENVIRONMENT else _ALLOWED_PATHS}"
    if key not in declared:
        return provider
    text = declared[key].text.strip()
    is_allowed = _name_check(key, text) if kind == _ENVIRONMENT else _path_check(key, text)

    def of_what_is_allowed(path: str, name: str) -> str:
        if not is_allowed(path, name):
            raise _NotAllowedError(key)
        return provider(path, name)

    return of_what_is_allowed


def _name_check(key: str, pattern: str) -> Callable[[str, str], bool]:
    try:
        allowed = re.compile(pattern)
    except re.error as error:
        raise ConfigError(key, f"is no regular expression: {error}") from None
    return lambda _, name: allowed.fullmatch(name) is not None


def _path_check(key: str, text: str) -> Callable[[str, str], bool]:
    roots = [Path(part.strip()) for part in text.split(",") if part.strip()]
    for root in roots:
        if not root.is_absolute():
            raise ConfigError(key, f"{root} is not an absolute path")

    def is_below(path: str, _: str) -> bool:
        # Kafka compares texts; here neither a link nor `..` leads out.
        real = Path(path).resolve()
        return any(real.is_relative_to(root.resolve()) for root in roots)

    return is_below


def _resolve(setting: Setting, providers: Mapping[str, Provider]) -> Setting:
    def value_of(found: re.Match[str]) -> str:
        provider = providers.get(found[1])
        if provider is None:
            return found[0]
        try:
            return provider(found[2] or "", found[3])
        except _NotAllowedError as error:
            raise ConfigError(setting.name, f"{found[0]} is not allowed by {error}") from None
        except OSError as error:
            raise ConfigError(setting.name, f"{found[0]} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(setting.name, f"{found[0]} cannot be read: it is no UTF-8") from None
        except KeyError:
            raise ConfigError(setting.name, f"{found[0]} has no value") from None

    text = _REFERENCE.sub(value_of, setting.text)
    return setting if text == setting.text else replace(setting, text=text)


def _from_properties_file(path: str, key: str) -> str:
    return {entry.key: entry.value for entry in read_properties(Path(path))}[key]


def _from_directory(path: str, key: str) -> str:
    if Path(key).name != key:
        raise KeyError(key)
    return read_regular_file(Path(path) / key).decode()


def _from_environment(_path: str, key: str) -> str:
    return os.environ[key]


_PROVIDERS: Final[Mapping[str, Provider]] = {
    "FileConfigProvider": _from_properties_file,
    "DirectoryConfigProvider": _from_directory,
    _ENVIRONMENT: _from_environment,
}
